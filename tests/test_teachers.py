"""Methods and tags crossed: the runs, their rows against hand-made results."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ctrh.paper import teachers
from ctrh.paper.teachers import at_equal_rates, taught_rows, taught_runs
from profiles.smoke import PROFILE as SMOKE

RATES = (("CTRH", "scenes-mir", 20.0), ("WSHRCA", "scenes-mir", 5.0), ("CTRH", "scenes-nus", 7.0))


def test_all_learn_at_the_rates_of_ctrh():
    equal = at_equal_rates(replace(SMOKE, rates=RATES), "scenes-mir", ("WDHT", "CTRH"))
    assert equal.rates == (("WDHT", "scenes-mir", 20.0), ("CTRH", "scenes-mir", 20.0))
    tenth = at_equal_rates(replace(SMOKE, rates=RATES), "scenes-mir", ("WDHT",), 0.1)
    assert tenth.rates == (("WDHT", "scenes-mir", 2.0),)
    assert at_equal_rates(replace(SMOKE, rates=()), "mirflickr", ("WDHT",)).rates == (("WDHT", "scenes-mir", 1.0),)


def test_methods_and_tags_are_crossed(monkeypatch):
    monkeypatch.setattr(teachers, "variants_of", lambda data: ("user", "clean"))
    runs = taught_runs(replace(SMOKE, methods=("LSH", "WDHT", "CTRH"), seeds=(4, 5)), "scenes-mir")
    assert [(run.method, run.tags and run.tags.variant) for run in runs] == [
        ("WDHT", "user"),
        ("WDHT", "clean"),
        ("WDHT", "clean"),
        ("CTRH", "user"),
        ("CTRH", "clean"),
        ("CTRH", "clean"),
        ("LSH", None),
    ]
    assert {run.seed for run in runs} == {4} and {run.bits for run in runs} == {SMOKE.study.bits}
    assert [run.label for run in runs[:3]] == ["WDHT, user", "WDHT, clean", "WDHT, clean, slowly"]
    rates = [run.settings.train.lr_head for run in runs[:3]]
    assert rates == pytest.approx([rates[0], rates[0], rates[0] / 10])


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
            label=f"{method}, {tags}" if tags else "",
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
