"""The noise study: which runs it asks for, rows against hand-made results, its table."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ctrh.data.photos import Split
from ctrh.paper import teachers
from ctrh.paper.runs import make_run
from ctrh.paper.teachers import (
    LEARNERS,
    ORACLE,
    WITHOUT,
    noise_rows,
    noise_runs,
    save_noise_table,
    tag_rows,
)
from profiles.smoke import PROFILE as SMOKE

PROFILE = replace(SMOKE, seeds=(0, 1), study=replace(SMOKE.study, noise_rates=(0.0, 1.0, 2.0), bits=16))


def test_runs_differ_in_tags_alone():
    runs = noise_runs(PROFILE, "scenes-mir")
    assert len(runs) == 3 * 2 * 3 + 2 * 3 and len(set(runs)) == len(runs)
    assert {run.bits for run in runs} == {16} and {run.seed for run in runs} == {0, 1}
    plain = PROFILE.dataset("scenes-mir").data
    assert {replace(run.data, noise=None) for run in runs} == {plain}
    assert {run.tags.refine.alpha for run in runs if run.tags} == {0.0}
    assert {run.method for run in runs if not run.tags} == set(WITHOUT)
    oracle = [run for run in runs if run.label == ORACLE]
    assert {(run.tags.variant, run.data.noise) for run in oracle} == {("clean", None)}
    for name in LEARNERS:
        assert {run.data.noise for run in runs if run.method == name and run not in oracle} == {
            0.0,
            None,
            2.0,
        }


def test_settings_are_those_of_the_comparison_at_the_rates_of_ctrh():
    rates = (("CTRH", "scenes-mir", 20.0), ("WSHRCA", "scenes-mir", 5.0), ("CTRH", "scenes-nus", 7.0))
    runs = noise_runs(replace(PROFILE, rates=rates), "scenes-mir")
    equal = replace(PROFILE, rates=tuple((name, "scenes-mir", 20.0) for name in LEARNERS))
    for name in LEARNERS:
        (run,) = (each for each in runs if (each.method, each.data.noise, each.seed) == (name, 2.0, 1))
        usual = make_run(equal, "scenes-mir", name, 16, 1)
        assert run.settings == usual.settings and run.inputs == usual.inputs


def result(label, rate, seed, value):
    run = SimpleNamespace(label=label, method="CTRH", data=SimpleNamespace(noise=rate))
    about = {"label": label, "dataset": "scenes-mir", "bits": 16, "seed": seed}
    rows = pd.DataFrame([{**about, "metric": m, "value": value} for m in ("map_all", "map_50")])
    return SimpleNamespace(run=run, rows=lambda: rows)


@pytest.fixture
def rows():
    values = {
        ("CTRH", 0.0): 70,
        ("CTRH", None): 66,
        ("WDHT", 0.0): 72,
        ("WDHT", None): 50,
        (ORACLE, None): 75,
        ("LSH", None): 60,
    }
    return noise_rows(
        result(label, rate, seed, value + seed) for (label, rate), value in values.items() for seed in (0, 1)
    )


def test_rows_are_means_over_seeds(rows):
    by = rows.set_index(["label", "rate"])
    assert by["mean"].to_dict() == {
        ("CTRH", 0.0): 70.5, ("CTRH", 1.0): 66.5, ("WDHT", 0.0): 72.5, ("WDHT", 1.0): 50.5, (ORACLE, 1.0): 75.5,
        ("LSH", 1.0): 60.5,
    }  # fmt: skip
    assert set(rows["metric"]) == {"map_all"} and set(rows["seeds"]) == {2}
    assert (rows["low"] < rows["mean"]).all()


def test_right_tags_are_counted_on_training_photos(monkeypatch):
    tags = sp.csr_array(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], bool))
    truth = sp.csr_array(np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]], bool))
    split = Split(query=np.array([2]), database=np.array([0, 1]), train=np.array([0, 1]))
    photos = SimpleNamespace(tags=tags, truth=truth, split=split, name="scenes-mir")
    monkeypatch.setattr(teachers, "photos_of", lambda data: photos)
    monkeypatch.setattr(teachers, "tags_of", lambda photos, data, config: photos.truth)
    rows = tag_rows(PROFILE, "scenes-mir")
    assert rows["rate"].tolist() == [0, 0, 1, 1, 2, 2] and set(rows["label"]) == {"user", "replaced"}
    assert rows.loc[rows["label"] == "user", "mean"].tolist() == [75.0] * 3
    assert rows.loc[rows["label"] == "replaced", "mean"].tolist() == [100.0] * 3


def test_table(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    tags = pd.DataFrame(
        {"label": ["user"], "dataset": "scenes-mir", "rate": [1.0], "mean": [30.0], "metric": "right_tags"}
    )
    text = save_noise_table(pd.concat([rows, tags]), PROFILE)
    assert "| CTRH | 70.50 ± 6.35 | 66.50 ± 6.35 |" in text
    assert f"| {ORACLE} |  | 75.50 ± 6.35 |" in text
    assert "| user |  | 30.00 |" in text
    assert (tmp_path / "smoke" / "noise.md").read_text() == text and (
        tmp_path / "smoke" / "noise.tex"
    ).exists()
