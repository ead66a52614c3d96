"""Comparisons: chosen queries, what they find, the methods' order."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ctrh.data.photos import Split
from ctrh.paper import comparisons
from ctrh.paper.comparisons import (
    nearest,
    order_agreement,
    queries_at,
    side_by_side,
)


def test_queries_at_leaves_out_those_without_an_answer():
    ap, relevant = np.array([0.9, 0.0, 0.1, 0.5, 0.5]), np.array([3, 0, 3, 3, 3])
    scores = SimpleNamespace(asked=np.arange(5), ap_all=ap, relevant=relevant)
    assert queries_at(scores, (0, 1 / 3, 2 / 3, 1)) == [2, 3, 4, 0]
    scores = SimpleNamespace(asked=np.array([1, 3, 5, 7, 9]), ap_all=ap, relevant=relevant)
    assert queries_at(scores, (0, 1)) == [5, 1]


def test_nearest_gives_photos_distances_and_relevance():
    codes = np.array(
        [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1]], bool
    )
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [0, 1], [1, 1]], bool)
    split = Split(query=np.array([1, 2]), database=np.array([0, 3, 4, 5]), train=np.array([0]))
    task = SimpleNamespace(split=split, labels=labels)
    run = SimpleNamespace(task=task, bits=4, label="", method="LSH")
    result = SimpleNamespace(run=run, query_codes=codes[split.query], database_codes=codes[split.database])
    rows = nearest(result, [1, 0], count=3)
    assert rows["query"].tolist() == [2, 2, 2, 1, 1, 1]
    assert rows["photo"].tolist() == [0, 4, 3, 5, 3, 4]
    assert rows["distance"].tolist() == [0, 1, 2, 1, 2, 3]
    assert rows["relevant"].tolist() == [True, False, False, True, False, True]
    assert rows["rank"].tolist() == [1, 2, 3] * 2 and set(rows["label"]) == {"LSH"}


def test_side_by_side_goes_query_by_query(monkeypatch):
    monkeypatch.setattr(
        comparisons,
        "nearest",
        lambda result, queries, count: pd.DataFrame({"query": queries, "label": result}),
    )
    rows = side_by_side(["CTRH", "ITQ"], [7, 3])
    assert list(rows.itertuples(index=False, name=None)) == [(7, "CTRH"), (7, "ITQ"), (3, "CTRH"), (3, "ITQ")]


def test_order_agreement_is_spearmans():
    means, published = [50.0, 60.0, 70.0, 65.0], [51.0, 70.0, 80.0, 60.0]
    table = pd.DataFrame({"method": list("abcd"), "mean": means, "published": published})
    table = table.assign(dataset="scenes", metric="map_all", bits=16)
    extra = table.iloc[:1].assign(method="random", published=np.nan)
    (line,) = order_agreement(pd.concat([table, extra])).to_dict("records")
    assert line["methods"] == 4 and line["first"] == line["first_published"] == "c"
    assert line["correlation"] == pytest.approx(spearmanr(means, published).statistic)
