"""Methods and tags crossed: the runs, their rows against hand-made results, and the words."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ctrh.paper import teachers
from ctrh.paper.teachers import at_equal_rates, taught_in_words, taught_rows, taught_runs
from profiles.smoke import PROFILE as SMOKE

RATES = (("CTRH", "scenes-mir", 20.0), ("WSHRCA", "scenes-mir", 5.0), ("CTRH", "scenes-nus", 7.0))


def test_all_learn_at_the_rates_of_ctrh():
    equal = at_equal_rates(replace(SMOKE, rates=RATES), "scenes-mir", ("WDHT", "CTRH"))
    assert equal.rates == (("WDHT", "scenes-mir", 20.0), ("CTRH", "scenes-mir", 20.0))
    assert at_equal_rates(replace(SMOKE, rates=()), "mirflickr", ("WDHT",)).rates == ()


def test_methods_and_tags_are_crossed(monkeypatch):
    monkeypatch.setattr(teachers, "variants_of", lambda data: ("user", "clean"))
    runs = taught_runs(replace(SMOKE, methods=("LSH", "WDHT", "CTRH"), seeds=(4, 5)), "scenes-mir")
    assert [(run.method, run.tags and run.tags.variant) for run in runs] == [
        ("WDHT", "user"),
        ("WDHT", "clean"),
        ("CTRH", "user"),
        ("CTRH", "clean"),
        ("LSH", None),
    ]
    assert {run.seed for run in runs} == {4} and {run.bits for run in runs} == {SMOKE.study.bits}
    assert len({run.label for run in runs}) == 5


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    base = generator.random(50) / 2

    def result(method, tags, more):
        ap = base + more
        run = SimpleNamespace(
            data=SimpleNamespace(name="scenes"),
            bits=16,
            seed=0,
            method=method,
            label=f"{method}, {tags} tags" if tags else "",
            tags=SimpleNamespace(variant=tags),
        )
        scores = SimpleNamespace(ap_all=ap, ks=np.array([10]), ap_at=ap[None], map_all=ap.mean())
        return SimpleNamespace(run=run, scores=scores)

    gains = {("WDHT", "user"): -0.1, ("WDHT", "clean"): 0.2, ("CTRH", "user"): 0.1, ("CTRH", "clean"): 0.25}
    return taught_rows([*(result(*who, more) for who, more in gains.items()), result("LSH", "", 0.0)])


def test_rows_are_differences_to_the_untaught(rows):
    by = rows.set_index(["method", "tags"])
    assert by["difference"].to_dict() == pytest.approx(
        {("WDHT", "user"): -10, ("WDHT", "clean"): 20, ("CTRH", "user"): 10, ("CTRH", "clean"): 25}
    )
    assert set(rows["metric"]) == {"map_all"} and set(rows["over"]) == {"LSH"}
    assert by.loc[("CTRH", "clean"), "map_all"] - by.loc[("WDHT", "user"), "map_all"] == pytest.approx(35)


def test_in_words(rows):
    text = taught_in_words(rows)
    assert "scenes, **user** tags: better than LSH: CTRH (1 of 2)" in text
    assert "scenes, **clean** tags: better than LSH: WDHT, CTRH (2 of 2). Highest: CTRH" in text
    assert "clean in place of user tags are worth +15.0 (CTRH) to +30.0 points (WDHT)" in text
    assert (
        "CTRH less the best of the others, taught by the same tags: +20.0 points on user tags, +5.0 points on clean"
        in text
    )


def test_slower_runs_are_of_the_best_tags_at_shares_of_the_rates(monkeypatch):
    monkeypatch.setattr(teachers, "variants_of", lambda data: ("user", "clean"))
    untaught, *slower = teachers.slower_runs(replace(SMOKE, rates=RATES), "scenes-mir", "WDHT")
    assert untaught.method == "LSH"
    assert {(run.method, run.tags.variant) for run in slower} == {("WDHT", "clean")}
    rates = [run.settings.train.lr_head / SMOKE.train.lr_head for run in slower]
    assert rates == pytest.approx([20 / 3, 20 / 10])


@pytest.mark.parametrize(
    "slow, told", [("better", "mended by clean tags at lower rates"), ("undecided", "**not**")]
)
def test_who_is_not_mended_is_tried_at_lower_rates(monkeypatch, slow, told):
    asked = []
    monkeypatch.setattr(teachers, "slower_runs", lambda *which: asked.append(which[1:]))
    monkeypatch.setattr(teachers, "results", lambda runs: runs)
    rows = pd.DataFrame({"map_all": [60.0, 50.0], "verdict": [slow, "worse"]})
    monkeypatch.setattr(teachers, "taught_rows", lambda results: rows)
    missed = pd.DataFrame({"method": ["WDHT", "EWSH"], "dataset": ["scenes-mir"] * 2})
    taught = pd.DataFrame(
        {
            "method": ["WDHT", "EWSH", "WDHT", "EWSH"],
            "dataset": "scenes-mir",
            "tags": ["user", "user", "clean", "clean"],
            "verdict": ["worse", "worse", "better", "undecided"],
        }
    )
    first, second = teachers.mended_in_words(SMOKE, missed, taught).splitlines()
    assert first == "- WDHT, not better than LSH on scenes-mir with its own tags, is mended by clean tags."
    assert told in second and "60.0 at a third" in second and "50.0 at a tenth, worse than LSH" in second
    assert asked == [("scenes-mir", "EWSH")]
