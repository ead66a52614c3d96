"""Rows about trainings, against hand-made histories and loops."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ctrh.data.photos import Split
from ctrh.losses import LossConfig
from ctrh.methods.ctrh import CTRHConfig
from ctrh.paper.studies import training
from ctrh.paper.studies.training import attention_on_truth, tag_balanced_room, weighted_tags


@pytest.fixture
def result() -> SimpleNamespace:
    history = pd.DataFrame({"epoch": [1, 2, 3], "tag_balanced": [3.0, 2.0, 1.0]})
    tags = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool)
    split = Split(query=np.array([0]), database=np.array([1, 2, 3]), train=np.array([1, 2, 3]))
    task = SimpleNamespace(tags=sp.csr_array(tags), split=split)
    run = SimpleNamespace(
        data=SimpleNamespace(name="scenes"), label="", method="CTRH", bits=16, task=task,
        settings=CTRHConfig(losses=LossConfig(weights=(1, 10, 1, 15), gamma=2)),
    )  # fmt: skip
    return SimpleNamespace(run=run, history=history)


def test_the_room_of_the_tag_balanced_loss(result):
    def focal(score: float) -> float:
        p = 1 / (1 + math.exp(-score))
        return -((1 - p) ** 2) * math.log(p)

    room = tag_balanced_room(result)
    # Of the training images one has four tags, one none (left out), one two; there are four words.
    assert room["unknowing"] == pytest.approx(6 * focal(0) / 2 / 4)
    assert room["knowing"] == pytest.approx((4 * focal(1 / 2) + 2 * focal(1 / math.sqrt(2))) / 2 / 4)
    assert (room["first"], room["last"]) == (3, 1)


def test_attention_on_truth_compares_with_equal_weights():
    weights = sp.csr_array(np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0], [0, 0, 1.0], [0, 0, 0]]))
    truth = sp.csr_array(np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0]], bool))
    rows = attention_on_truth(weights, truth)
    assert rows["photo"].tolist() == [0] and rows["tags"].tolist() == [3]
    assert rows.loc[0, "attention"] == pytest.approx(0.8) and rows.loc[0, "plain"] == pytest.approx(2 / 3)


def test_attention_gain_is_the_mean_over_the_training_photos(monkeypatch):
    weights = sp.csr_array(np.array([[0.7, 0.3, 0], [0.5, 0.2, 0.3], [0, 1.0, 0]]))
    truth = sp.csr_array(np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 1]], bool))
    hasher = SimpleNamespace(tag_weights=lambda inputs, tags: weights)
    monkeypatch.setattr(training, "trained", lambda run: hasher)
    split = Split(query=np.array([0]), database=np.array([1, 2, 3]), train=np.array([1, 2, 3]))
    task = SimpleNamespace(split=split, inputs=lambda rows: rows, tags=truth)
    named = {"data": SimpleNamespace(name="scenes"), "tags": SimpleNamespace(variant="user")}
    row = training.attention_gain(SimpleNamespace(task=task, **named), truth)
    # The first has 0.7 on its right tag, which is one of two; the second 0.8 on two of three; the third none wrong.
    assert (row["dataset"], row["tags"], row["photos"]) == ("scenes", "user", 2)
    assert row["gain"] == pytest.approx(100 * (0.2 + 0.8 - 2 / 3) / 2)
    assert row["attention"] == pytest.approx(75) and (row["low"], row["verdict"]) == (
        pytest.approx(100 * (0.8 - 2 / 3)),
        "better",
    )


def test_weighted_tags_are_in_order():
    weights = sp.csr_array(np.array([[0.0, 0.3, 0.7]]))
    truth = sp.csr_array(np.array([[True, True, False]]))
    rows = weighted_tags(weights, 0, ("a", "b", "c"), truth)
    assert rows["tag"].tolist() == ["c", "b"] and rows["right"].tolist() == [False, True]
    assert "right" not in weighted_tags(weights, 0, ("a", "b", "c"))
