"""Profiles are Python files: read by name or path, checked, and able to name a data set of one's own."""

import math
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

from ctrh.data.registry import DATASETS, register
from ctrh.data.tables import write_table
from ctrh.guide.finetune import FinetuneConfig
from ctrh.paper.launch import PROFILES
from ctrh.paper.outputs import results_dir
from ctrh.paper.own_data import write_tables
from ctrh.paper.profiles import DataConfig, GuideConfig, Profile
from ctrh.paper.tasks import hashing_task, photos_of
from ctrh.training import TrainConfig
from profiles.demo import PROFILE as DEMO
from profiles.full import PROFILE as FULL
from profiles.paper import PROFILE as PAPER

MINE = """
from dataclasses import replace
from profiles.paper import PROFILE as PAPER
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", PROFILES)
def test_the_repositorys_own(name):
    assert Profile.named(name).name == name


def test_full_is_the_demo_on_all_pictures_trained_longer_with_more_seeds():
    assert [each.data for each in FULL.datasets] == [DataConfig("scenes-mir"), DataConfig("scenes-nus")]
    assert {each.data for each in FULL.cross.datasets} == {FULL.datasets[0].data}
    assert len(FULL.seeds) >= 5 and FULL.seeds == FULL.cross.seeds and FULL.train.epochs > DEMO.train.epochs
    for ours, theirs in zip(FULL.datasets, DEMO.datasets, strict=True):
        assert (ours.article, ours.refine, ours.losses) == (theirs.article, theirs.refine, theirs.losses)
    assert (FULL.methods, FULL.bits, FULL.guide) == (DEMO.methods, DEMO.bits, DEMO.guide)


def test_a_file_changes_what_it_names_and_is_called_as_it(write, monkeypatch):
    path = write(MINE + "PROFILE = replace(PAPER, seeds=(5,), datasets=PAPER.datasets[:1])")
    own = Profile.named(str(path))
    assert own == replace(PAPER, name="mine", seeds=(5,), datasets=PAPER.datasets[:1])
    with pytest.raises(ValueError, match="choose smoke, demo, full, paper"):
        Profile.named("mine")
    monkeypatch.setenv("CTRH_PROFILE", str(path))
    assert Profile.current() == Profile.named("mine") == own
    assert Profile.named("paper") == PAPER
    assert results_dir(str(path)) == results_dir("mine") == results_dir("other").with_name("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PROFILE = (", "mine.py, line 1: '\\(' was never closed"),
        ("SETTINGS = 1", "mine.py must set PROFILE to a Profile.*it is None"),
        ("PROFILE = {}", "mine.py must set PROFILE to a Profile.*it is {}"),
        (MINE + "\nPROFILE = replace(PAPER, seed=(1,))", "mine.py, line 5: TypeError: .*'seed'"),
        (MINE + "PROFILE = replace(PAPER, seeds=())", "mine.py, line 4: ValueError: Profile.seeds must be"),
        ("from profiles.big import PROFILE", "mine.py, line 1: ModuleNotFoundError"),
    ],
)
def test_files_that_do_not_fit(write, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        Profile.named(str(write(text)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "field", "values"),
    [
        (DEMO, "seeds", [(), (-1,), (0, 0), (True,), [0], 0, ("0",), ((0,),)]),
        (DEMO, "bits", [(), (0,), (16, 16), (16.0,)]),
        (DEMO, "datasets", [(), DEMO.datasets[:1] * 2, ("scenes-mir",)]),
        (DEMO, "methods", [(), ("CTRH", "CTRH"), ("CTRX",), "CTRH"]),
        (DEMO, "rates", [(("CTRH", "scenes-mir", rate),) for rate in (0.0, -1.0, math.nan, math.inf, "1")]),
        (DEMO, "rates", [(("CTRH", "scenes-mir", 1.0), ("CTRH", "scenes-mir", 2.0))]),
        (DEMO, "top", [0, 0.5, None, (5,)]),
        (DEMO, "guide", ["small", None]),
        (DEMO, "end_to_end", [1]),
        (DEMO.study, "alphas", [(), (2.0,), (-0.1,), (math.nan,), (0.0, 0)]),
        (DEMO.study, "noise_rates", [(-1.0,), (math.inf,)]),
        (DEMO.study, "factors", [(), (0.0,), (math.nan,)]),
        (DEMO.study, "margins", [(-0.1,)]),
        (DEMO.study, "guides", [(), (("a", GuideConfig()),) * 2, (("a", "small"),)]),
        (DEMO.study, "bits", [0, (48,)]),
        (DEMO.cross, "ratios", [(1.0,), ()]),
        (DEMO.cross, "seeds", [(), (-1,)]),
        (DEMO.cross, "tuned", [0]),
        (DEMO.cross.datasets[0], "texts", ["sentences"]),
        (DEMO.datasets[0], "article", ["flickr", None]),
        (DataConfig("scenes-mir"), "queries", [0, -1, 1.5]),
        (DataConfig("scenes-mir"), "noise", [-1.0, math.nan]),
        (DataConfig("scenes-mir"), "photos", [300]),  # without a number of queries
        (TrainConfig(), "lr_head", [math.nan, -1.0, math.inf]),
        (FinetuneConfig(), "learning_rate", [math.nan, -1.0, 0.0]),
    ],
)
def test_values_that_no_profile_can_have(part, field, values):
    for value in values:
        with pytest.raises(ValueError) as caught:
            replace(part, **{field: value})
        assert field in str(caught.value) and "must be" in str(caught.value), str(caught.value)


def test_what_may_be_absent_or_whole():
    assert replace(DEMO, rates=()).rates == () and replace(DEMO.cross, tuned=None).tuned is None
    assert replace(DEMO.study, noise_rates=(0, 1)).noise_rates == (0, 1)


def test_names_of_data_sets_are_taken_once():
    with pytest.raises(ValueError, match="'scenes-mir' already"):
        register("scenes-mir")(lambda: None)


EXTENDING = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
HOLIDAY = textwrap.dedent(re.search(r"( *)```python\n((?:(?!```).)*holiday.*?)```", EXTENDING, re.S)[2])
TINY = """
study = replace(PROFILE.study, backbones=(("guide", "guide"),))
PROFILE = replace(PROFILE, methods=("LSH", "WDHT"), seeds=(0,), bits=(8, 16), study=study)
"""


@pytest.fixture
def holiday(write, tmp_path, monkeypatch):
    (tmp_path / "photos" / "images").mkdir(parents=True)
    names = [f"{i}.png" for i in range(24)]
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "images" / name)
    words = [("sea", "beach"), ("city", "house")]
    for column, count in (("tags", 2), ("labels", 1)):
        rows = [(name, " ".join(words[i % 2][:count])) for i, name in enumerate(names)]
        write_table(tmp_path / "photos" / f"{column}.csv", ("image", column), rows)
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CTRH_PROFILE", str(write(HOLIDAY.replace("200", "4") + TINY, "holiday.py")))
    yield Profile.current()
    DATASETS.pop("holiday")
    photos_of.cache_clear()
    hashing_task.cache_clear()


def _photos_key(data):
    return data.load().key


def test_a_data_set_of_ones_own_is_known_to_workers(holiday, monkeypatch, tmp_path):
    (settings,) = holiday.datasets
    here = settings.data.load().key
    # Processes started from nothing, which have read no profile.
    assert joblib.Parallel(n_jobs=2)([joblib.delayed(_photos_key)(settings.data)] * 2) == [here] * 2
    monkeypatch.setenv("CTRH_JOBS", "2")
    write_tables(holiday)
    rows = (tmp_path / "figures" / "holiday" / "table1.csv").read_text().splitlines()
    assert len(rows) == 5 and all("holiday" in row for row in rows[1:])
    assert Path(tmp_path / "figures" / "holiday" / "table1.md").exists()
