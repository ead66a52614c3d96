"""The profile of drawings: data out of a folder, every method of Table 1, nothing published beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ctrh.data.registry import load_photos
from ctrh.data.tables import FolderError, write_table
from ctrh.paper import own_data
from ctrh.paper.launch import PROFILES
from ctrh.paper.profiles import DataConfig, Profile
from ctrh.paper.report.page import data_note
from ctrh.paper.tasks import hashing_task, photos_of


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """A folder as `python -m ctrh data openclipart` leaves it: 30 drawings, two subjects."""
    folder = tmp_path / "openclipart"
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(30):
        subject, name = ("food", "animals")[i % 2], f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
            folder / "images" / name
        )
        rows.append((name, subject, f"{subject} drawing"))
    write_table(folder / "labels.csv", ("image", "labels"), [row[:2] for row in rows])
    write_table(folder / "tags.csv", ("image", "tags"), [(row[0], row[2]) for row in rows])
    (folder / "openclipart.json").write_text('{"size": 32}')
    monkeypatch.setenv("CTRH_DATA", str(tmp_path))
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))
    yield tmp_path
    photos_of.cache_clear()
    hashing_task.cache_clear()


def test_drawings_are_found_in_the_data_folder_or_below_it(converted, monkeypatch):
    photos = load_photos("openclipart", queries=4)
    assert (photos.name, len(photos), photos.label_names) == ("openclipart", 30, ("animals", "food"))
    assert len(photos.split.query) == 4
    monkeypatch.setenv("CTRH_DATA", str(converted / "openclipart"))
    assert load_photos("openclipart", queries=4).key == photos.key
    monkeypatch.setenv("CTRH_DATA", str(converted / "figures"))
    (converted / "figures").mkdir()
    with pytest.raises(FolderError, match="python -m ctrh data openclipart"):
        load_photos("openclipart")


def test_all_methods_of_table_1_are_planned_on_the_same_features():
    profile = Profile.named("openclipart")
    assert "openclipart" in PROFILES
    planned = own_data.runs(profile, "timm:tf_efficientnet_lite0")
    assert len(planned) == (len(profile.methods) + len(own_data.TAUGHT)) * len(profile.bits) * len(profile.seeds)
    taught = {run.label: run.tags.words for run in planned if run.tags and run.tags.variant != "concepts"}
    assert {"CTRH", "CTRH+", "WSHRCA"} <= set(taught) and set(taught.values()) == {profile.words}
    own = {run.label: run.tags.words for run in own_data.runs(profile, "guide") if run.tags}
    assert own["CTRH"] is None and own["WSHRCA"] == profile.words
    assert {run.inputs.backbone for run in planned} == {"timm:tf_efficientnet_lite0"}
    variants = {run.label: run.tags.variant if run.tags else None for run in planned}
    assert variants["CTRH"] == "replaced" and variants["WDHT"] == "user" and variants["ITQ"] is None


def test_tables_have_nothing_published_beside_them(converted):
    profile = Profile.named("openclipart")
    (settings,) = profile.datasets
    small = replace(settings, data=DataConfig("openclipart", queries=6))
    profile = replace(
        profile,
        datasets=(small,),
        methods=("LSH", "ITQ"),
        bits=(16,),
        study=replace(profile.study, backbones=(("guide", "guide"),)),
    )
    assert "the article has none on these photos" in data_note(profile)
    own_data.write_tables(profile)
    table = (converted / "figures" / "openclipart" / "table1.csv").read_text().splitlines()
    assert table[0].endswith("published") and len(table) == 3
    assert all(line.endswith(",") for line in table[1:])
    assert "on features of guide" in (converted / "figures" / "openclipart" / "table1.md").read_text()
