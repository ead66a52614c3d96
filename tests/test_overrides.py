"""Settings changed by name: what is named changes, all else stays, and slips are told with their place."""

import json
from dataclasses import dataclass, replace

import pytest

from ctrh.guide.word_vectors import TrainedVectors
from ctrh.paper.overrides import OverrideError, overridden
from ctrh.paper.profiles import PAPER, Profile


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    count: int | None = None

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("rate must not be negative")


@dataclass(frozen=True)
class Outer:
    name: str = "n"
    deep: bool = False
    inner: Inner = Inner()
    seeds: tuple[int, ...] = (0, 1)
    pair: tuple[float, float] = (0.0, 1.0)
    named: tuple[tuple[str, Inner], ...] = (("a", Inner()), ("b", Inner(1.0)))
    words: tuple[tuple[str, str], ...] = (("x", "one"), ("y", "two"))


def test_what_is_named_changes_and_all_else_stays():
    assert overridden(Outer(), {}) == Outer()
    changes = {"deep": True, "inner": {"rate": 2, "count": 3}, "seeds": [7], "pair": [1, 2.5]}
    expected = replace(Outer(), deep=True, inner=Inner(2.0, 3), seeds=(7,), pair=(1.0, 2.5))
    assert overridden(Outer(), changes) == expected
    assert isinstance(overridden(Outer(), changes).inner.rate, float)
    assert overridden(expected, {"inner": {"count": None}}).inner.count is None


def test_parts_with_names():
    changed = overridden(Outer(), {"named": {"a": None, "b": {"count": 2}}, "words": {"y": "three"}})
    assert changed.named == (("b", Inner(1.0, 2)),)
    assert changed.words == (("x", "one"), ("y", "three"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nme": 1}, "nme does not exist; there are name, deep"),
        ({"inner": {"rte": 1}}, "inner.rte does not exist; there are rate, count"),
        ({"inner": 3}, "inner must be an object"),
        ({"inner": {"rate": "fast"}}, "inner.rate must be float, got 'fast'"),
        ({"inner": {"rate": -1}}, "inner: rate must not be negative"),
        ({"inner": {"count": 1.5}}, "inner.count must be int | None, got 1.5"),
        ({"deep": 1}, "deep must be bool, got 1"),
        ({"seeds": 3}, "seeds must be tuple"),
        ({"seeds": ["a"]}, "seeds must be int, got 'a'"),
        ({"seeds": {"0": 1}}, "seeds has no names: give a list"),
        ({"pair": [1]}, "pair must be tuple"),
        ({"named": {"c": {}}}, "named.c does not exist; there are a, b"),
        ({"named": {"a": None, "b": None}}, "named must keep one of a, b"),
        ([], "the file must be an object"),
    ],
)
def test_slips_are_told_with_their_place(changes, message):
    with pytest.raises(OverrideError) as caught:
        overridden(Outer(), changes)
    assert message in str(caught.value)


@pytest.fixture
def write(tmp_path, monkeypatch):
    def write(content, name="mine.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv("CTRH_PROFILE_FILE", str(path))
        return path

    return write


def test_a_profile_of_ones_own(write):
    write(
        {"base": "paper", "seeds": [5], "datasets": {"nuswide": None, "mirflickr": {"data": {"queries": 9}}}}
    )
    own = Profile.named("mine")
    data = replace(PAPER.datasets[0], data=replace(PAPER.datasets[0].data, queries=9))
    assert own == replace(PAPER, name="mine", seeds=(5,), datasets=(data,))
    change = {"backbones": {"ViT-B-16": None}, "guides": {"CLIP": {"pretrained": "laion400m_e32"}}}
    write({"base": "paper", "study": change})
    study = Profile.named("mine").study
    assert [label for label, _ in study.backbones] == ["AlexNet", "ResNet-50", "CLIP (ViT-B-32)"]
    assert dict(study.guides)["CLIP"].pretrained == "laion400m_e32"
    write({"base": "paper", "words": "TrainedVectors"})
    assert Profile.named("mine").words == TrainedVectors()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "mine.json is not valid JSON"),
        ({"base": "other"}, "mine.json: base must be one of smoke, demo, paper"),
        ({"seed": [1]}, "mine.json: seed does not exist; there are"),
        ({"name": "other"}, "mine.json: name does not exist"),
    ],
)
def test_profile_files_that_do_not_fit(write, content, message):
    write(content)
    with pytest.raises(ValueError, match=message):
        Profile.named("mine")


def test_other_names_are_unknown_still(write, monkeypatch):
    write({})
    assert Profile.named("paper") is PAPER
    with pytest.raises(ValueError, match="no profile is called 'another'"):
        Profile.named("another")
    monkeypatch.setenv("CTRH_PROFILE_FILE", "/nowhere/mine.json")
    with pytest.raises(FileNotFoundError):
        Profile.named("mine")
