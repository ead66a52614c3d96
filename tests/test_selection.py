"""The trials: the same for all methods, on training photos alone; the choice out of hand-made rows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ctrh.paper import profiles, selection
from ctrh.paper.launch import PROFILES
from ctrh.paper.profiles import Profile
from ctrh.paper.tasks import photos_of
from ctrh.training import TrainingDiverged
from profiles.demo import PROFILE as DEMO
from profiles.smoke import PROFILE as SMOKE


def test_every_method_has_the_same_trials_and_differs_in_its_rates_alone():
    runs = selection.trial_runs(DEMO)
    assert len(runs) == len(DEMO.learners) * len(DEMO.datasets) * len(DEMO.study.factors) * len(DEMO.seeds)
    for (method, name, factor, seed), run in runs.items():
        assert (run.data.validation, run.data.name, run.method) == (seed, name, method)
        assert run.settings.train == replace(DEMO.train.faster(factor), seed=seed)
        assert run.tags.refine.alpha == 0


def test_no_query_of_the_data_set_is_asked_and_none_of_its_labels_seen():
    run = next(iter(selection.trial_runs(SMOKE).values()))
    held, whole = photos_of(run.data), photos_of(replace(run.data, validation=None))
    assert np.isin(held.split.query, whole.split.train).all()
    assert held.label_names != whole.label_names and set(held.label_names) <= set(whole.vocabulary)


def rows(scores: list[float], used: int) -> pd.DataFrame:
    best = int(np.argmax(scores))
    return pd.DataFrame(
        {
            "dataset": "scenes",
            "method": "CTRH",
            "factor": [3.0, 10.0, 30.0],
            "validation": scores,
            "note": ["", "", "collapsed"],
            "best": [place == best for place in range(3)],
            "used": [place == used for place in range(3)],
        }
    )


def test_a_trial_that_diverges_loses_to_the_others(monkeypatch):
    few = replace(SMOKE, datasets=SMOKE.datasets[:1], methods=("CTRH",))
    diverged = TrainingDiverged("hinge", 1, 2, "lower the learning rates")
    run = next(iter(selection.trial_runs(few).values()))
    split = photos_of(run.data).split
    codes = {"query_codes": len(split.query), "database_codes": len(split.database)}
    codes = {kind: np.eye(count, 8, dtype=bool) for kind, count in codes.items()}
    fine = SimpleNamespace(run=run, rows=lambda: pd.DataFrame({"note": [""]}), **codes)
    monkeypatch.setattr(selection, "attempts", lambda runs, jobs=None: [fine, diverged])
    trials = selection.trial_rows(few)
    assert trials["best"].tolist() == [True, False] and trials["note"].tolist() == ["", "diverged"]


def test_profiles_rates_name_methods_and_data_sets_that_exist():
    for profile in map(Profile.named, PROFILES):
        names = {each.data.name for each in profile.datasets}
        for method, dataset, factor in profile.rates:
            assert method in DEMO.learners and dataset in names and factor in (1.0, *DEMO.study.factors)


def test_the_trials_of_a_profile_are_judged_and_one_of_each_method_is_best():
    few = replace(SMOKE, datasets=SMOKE.datasets[:1], methods=("ITQ", "WDHT", "CTRH"))
    trials = selection.trial_rows(few, jobs=1)
    assert len(trials) == 2 * len(SMOKE.study.factors)
    assert (trials["validation"].between(-100, 100) & trials["by_labels"].between(0, 100)).all()
    for _, part in trials.groupby("method"):
        assert (
            part["best"].sum() == 1
            and part.loc[part["best"], "validation"].item() == part["validation"].max()
        )


def test_the_best_factors_are_written_beside_those_of_other_profiles(tmp_path, monkeypatch):
    path = tmp_path / "rates.csv"
    path.write_text("profile,method,dataset,factor\ndemo,CTRH,scenes,300\nmine,WDHT,scenes,10\n")
    selection.write_rates("mine", rows([20.0, 30.0, 10.0], used=1), path)
    assert path.read_text() == "profile,method,dataset,factor\ndemo,CTRH,scenes,300\nmine,CTRH,scenes,10\n"
    monkeypatch.setattr(profiles, "RATES", path)
    assert profiles.read_rates("mine") == (("CTRH", "scenes", 10.0),) and profiles.read_rates("paper") == ()


def test_agreement_is_the_mean_correlation_of_codes_and_words():
    rng = np.random.default_rng(0)
    codes, words = rng.random((30, 16)) < 0.5, rng.random((30, 7)) < 0.3
    words[:, 0] = codes[:, 0]
    share, correlations = words[10:].mean(axis=0), []
    for i in range(10):
        similar = [sum(1 if a == b else -1 for a, b in zip(codes[i], codes[j])) for j in range(10, 30)]
        told = [
            sum((words[i, w] - p) * (words[j, w] - p) / np.sqrt(p * (1 - p)) for w, p in enumerate(share))
            for j in range(10, 30)
        ]
        correlations.append(np.corrcoef(similar, told)[0, 1])
    found = selection.agreement(codes[:10], codes[10:], words[:10], words[10:])
    np.testing.assert_allclose(found, np.mean(correlations), rtol=1e-9)
    assert selection.agreement(words[:10], words[10:], words[:10], words[10:]) > 0.5 > found > 0


def test_codes_and_words_that_are_all_alike_agree_with_nothing():
    same, words = np.ones((6, 8), dtype=bool), np.eye(6, 3, dtype=bool)
    assert selection.agreement(same[:2], same[2:], words[:2], words[2:]) == 0
    assert selection.agreement(np.eye(6, 8, dtype=bool), same, words, np.ones((6, 3), dtype=bool)) == 0


def test_the_judge_is_checked_within_each_method_by_labels_of_training_photos():
    trials = pd.DataFrame(
        {
            "dataset": "scenes",
            "method": ["WDHT"] * 3 + ["CTRH"] * 3,
            "validation": [1.0, 2.0, 3.0, 1.0, 3.0, 2.0],
            "by_labels": [40.0, 50.0, 60.0, 60.0, 45.0, 50.0],
            "best": [False, False, True, False, True, False],
        }
    )
    checked = selection.checked_rows(trials).set_index("method")
    assert checked.loc["WDHT", ["correlation", "chosen", "best", "lost"]].tolist() == [1, 60, 60, 0]
    assert checked.loc["CTRH", ["correlation", "chosen", "best", "lost"]].tolist() == [-1, 45, 60, 15]
