# ruff: noqa: F811 (the fixture ``task`` is imported)
"""A new method: its class and its place in the registry are all that tables and figures need."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from study_task import TINY, task  # noqa: F401

from ctrh.methods.method import Method
from ctrh.methods.registry import METHODS, compared, estimator, printed_name, references, untaught
from ctrh.methods.wdht import WDHT
from ctrh.paper import selection, tables
from ctrh.paper.comparisons import comparison_runs
from ctrh.paper.curves import curve_panels, precision_rows
from ctrh.paper.runs import default_settings, results
from ctrh.paper.studies import training

OLD = compared()


class Signs(TransformerMixin, BaseEstimator, Method):
    """The signs of the first features."""

    name, needs = "Signs", "features"
    colour = "#123456"

    def __init__(self, bits: int = 32):
        self.bits = bits

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.resize(X.T, (self.bits, len(X))).T > 0


class Late(WDHT):
    """WDHT under another name."""

    name, colour = "Late", "#654321"


@pytest.fixture
def profile(monkeypatch):
    for method in (Signs, Late):
        monkeypatch.setitem(METHODS, method.name, method)
    return replace(TINY, methods=compared(), seeds=(0,))


def test_a_new_method_is_in_table_1_with_its_colour_and_in_the_trials(profile, task):
    few = replace(profile, bits=(8,), datasets=profile.datasets[:1])
    found = results(comparison_runs(few), jobs=1)
    rows = pd.concat([result.rows() for result in found], ignore_index=True)
    frame = tables.wide(tables.article_table(rows, 1, few), "method", few)
    assert frame.index.get_level_values(-1).tolist() == [*map(printed_name, OLD), "Signs", "Late", *references()]
    assert not frame.loc[(slice(None), ["Signs", "Late"]), :].isna().all(axis=None)

    axes = curve_panels(plt.figure(), precision_rows(found), "n", "N")
    drawn = {line.get_label(): line.get_color() for line in axes.flat[0].lines}
    assert drawn["Signs"] == "#123456" and drawn["Late"] == "#654321" and len(drawn) == len(frame)
    plt.close("all")

    assert "Signs" in untaught() and few.learners[-1] == "Late"
    assert {method for method, *_ in selection.trial_runs(few)} == set(few.learners)
    assert {run.method for run in training.training_runs(few)} >= {"random", "Signs"}


def test_a_method_gets_the_settings_that_it_leaves_open():
    dataset = TINY.dataset("nuswide")
    settings = {name: default_settings(name, TINY, dataset) for name in TINY.learners}
    assert settings["CTRH"].losses == dataset.losses and settings["CTRH"].heads == TINY.heads
    assert settings["MGRN"].margin == settings["WSHRCA"].margin == dataset.losses.margin
    assert settings["WDHT"].margin == settings["EWSH"].margin == 0.2
    assert all(each.train == TINY.train_of(name, "scenes-nus") for name, each in settings.items())


def test_estimators_draw_by_the_seed_where_they_draw():
    assert estimator("LSH", 8, seed=3).get_params() == {"bits": 8, "seed": 3, "center": True}
    assert estimator("SH", 8, seed=3).get_params() == {"bits": 8}
