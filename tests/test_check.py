"""What is missing is said at once and with its remedy; what is there is named."""

from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from flickr_fixtures import write_mirflickr
from huggingface_hub import constants
from paper_fixture import write_word_vectors

from ctrh import backbones
from ctrh.guide import weights
from ctrh.guide.word_vectors import StoredVectors
from ctrh.paper import check as module
from ctrh.paper.check import preflight
from ctrh.paper.profiles import DataConfig
from ctrh.paper.tasks import photos_of
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No network, no hub's cache, no data."""

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights.open_clip, "download_pretrained", offline)
    monkeypatch.setattr(backbones.zoo._api, "load_state_dict_from_url", offline)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CTRH_DATA", "CTRH_WEIGHTS", "CTRH_WORD2VEC"):
        monkeypatch.delenv(name, raising=False)
    photos_of.cache_clear()


def test_the_embedded_profiles_need_nothing(capsys):
    assert preflight(DEMO)
    assert capsys.readouterr().out == ""


def test_everything_missing_is_said_at_once():
    with torch.device("meta"), pytest.raises(ValueError) as caught:
        preflight(PAPER)
    lines = str(caught.value).splitlines()
    assert lines[0] == "profile paper cannot run yet:"
    expected = {
        "mirflickr": "--data DIR",
        "nuswide": "--data DIR",
        "ViT-B-32-quickgelu, openai": "--weights DIR",
        "ViT-B-32, laion2b_s34b_b79k": "--weights DIR",
        "alexnet": "--weights DIR",
        "resnet50": "--weights DIR",
        "vit_b_16": "--weights DIR",
        "word vectors (for WDHT, MGRN, EWSH, WSHRCA)": "CTRH_WORD2VEC",
    }
    assert len(lines) == 1 + len(expected)
    for number, (line, (what, remedy)) in enumerate(zip(lines[1:], expected.items()), start=1):
        assert line.startswith(f"  ({number}) {what}: ") and remedy in line


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """MIRFLICKR-25K and stored word vectors with the small networks."""
    write_mirflickr(tmp_path / "data", photos=20)
    write_word_vectors(tmp_path / "weights" / StoredVectors().file)
    monkeypatch.setenv("CTRH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CTRH_WORD2VEC", str(tmp_path / "weights"))
    data = replace(DEMO.datasets[0], data=DataConfig("mirflickr", queries=4, train=8))
    return replace(DEMO, datasets=(data,), words=StoredVectors())


def test_what_is_there_is_named_and_counted(profile, capsys, tmp_path):
    key = preflight(profile)
    shown = capsys.readouterr().out
    assert "mirflickr: 19 photos (4 queries, 15 database, 8 training), " in shown and "38 labels" in shown
    assert "warning: " in shown and "has 25,000 photos (1): found 20" in shown
    assert "word vectors" in shown and "no GPU" not in shown
    photos_of.cache_clear()
    assert preflight(profile) == key
    (tmp_path / "data" / "mirflickr" / "im2.jpg").unlink()
    photos_of.cache_clear()
    assert preflight(profile) != key


def test_word_vectors_are_needed_by_the_baselines_alone(profile, monkeypatch):
    monkeypatch.delenv("CTRH_WORD2VEC")
    assert preflight(replace(profile, methods=("LSH", "CTRH")))
    with pytest.raises(ValueError, match="word vectors .for WDHT."):
        preflight(replace(profile, methods=("LSH", "WDHT", "CTRH")))


def test_too_small_a_disk_for_the_cache(profile, monkeypatch):
    usage = module.shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=0))
    monkeypatch.setattr(module, "SMALL", ())
    with pytest.raises(ValueError, match=r"cache .* will take .* 0.0 GB are free: set CTRH_CACHE"):
        preflight(profile)
