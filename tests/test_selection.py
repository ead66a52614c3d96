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
    assert len(runs) == len(DEMO.learners) * len(DEMO.datasets) * len(DEMO.study.factors)
    for (method, name, factor), run in runs.items():
        assert run.data.validation and run.data.name == name and run.method == method
        train = run.settings.train
        assert train == replace(DEMO.train.faster(factor), seed=DEMO.seeds[0])
        assert run.tags.refine.alpha == 0


def test_no_query_of_the_data_set_is_asked_and_none_of_its_labels_seen():
    run = next(iter(selection.trial_runs(SMOKE).values()))
    held, whole = photos_of(run.data), photos_of(replace(run.data, validation=False))
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
    scores = SimpleNamespace(map_all=0.5)
    fine = SimpleNamespace(scores=scores, rows=lambda: pd.DataFrame({"note": [""]}))
    monkeypatch.setattr(selection, "attempts", lambda runs, jobs: [fine, diverged])
    monkeypatch.setattr(selection, "_judged", lambda profile, result: 0.25)
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
    assert (trials["validation"].between(0, 100) & trials["by_users"].between(0, 100)).all()
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
