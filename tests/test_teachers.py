"""Methods and tags crossed: the runs, their rows against hand-made results."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ctrh.paper import teachers
from ctrh.paper.runs import make_run
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
    runs = taught_runs(replace(SMOKE, methods=("LSH", "WDHT", "UHSCM", "CTRH"), seeds=(4, 5)), "scenes-mir")
    assert [(run.method, run.tags and run.tags.variant) for run in runs] == [
        ("WDHT", "user"),
        ("WDHT", "clean"),
        ("WDHT", "clean"),
        ("WDHT", "replaced"),
        ("CTRH", "user"),
        ("CTRH", "clean"),
        ("CTRH", "clean"),
        ("CTRH", "replaced"),
        ("LSH", None),
    ]
    assert {run.seed for run in runs} == {4} and {run.bits for run in runs} == {SMOKE.study.bits}
    assert [run.label for run in runs[:3]] == ["WDHT, user", "WDHT, clean", "WDHT, clean, slowly"]
    rates = [run.settings.train.lr_head for run in runs[:3]]
    assert rates == pytest.approx([rates[0], rates[0], rates[0] / 10])
    # The guide's text for all, and so CTRH has the same supervision as ever.
    assert runs[3].tags == runs[7].tags == make_run(SMOKE, "scenes-mir", "CTRH", 32, 4).tags and runs[3].tags.words is None
    assert runs[3].settings.train.lr_head == rates[0]


def test_steps_add_up_to_the_whole():
    profile = replace(SMOKE, seeds=(4, 5))
    runs = teachers.step_runs(profile, "scenes-mir")
    generator, found = np.random.default_rng(1), []
    for run in runs:
        ap = generator.random(30)
        scores = SimpleNamespace(ap_all=ap, ks=np.array([10]), ap_at=ap[None])
        found.append(SimpleNamespace(run=run, scores=scores))
    rows = teachers.step_rows(found).set_index("step")["difference"]
    assert list(rows.index) == list(teachers.STEPS)
    assert rows.iloc[:4].sum() == pytest.approx(rows["all together"])
    means = {run.label or run.method: [] for run in runs}
    for result in found:
        means[result.run.label or result.run.method].append(100 * result.scores.ap_all.mean())
    assert rows["CTRH's network and losses"] == pytest.approx(
        np.mean(means["CTRH"]) - np.mean(means["WSHRCA, replaced, guide's text"])
    )


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
