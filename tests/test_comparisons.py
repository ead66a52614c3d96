"""Comparisons: differences query by query against a plain bootstrap, phrases, chosen queries, what they find, what is listened to."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr

from ctrh.data.photos import Split
from ctrh.paper import comparisons
from ctrh.paper.comparisons import (
    attention_on_truth,
    differences,
    in_words,
    nearest,
    order_agreement,
    order_in_words,
    queries_at,
    sentences,
    side_by_side,
    tally,
    weighted_tags,
)
from ctrh.paper.statistics import interval

QUERIES = 40


def made_up(label: str, ap: np.ndarray, bits: int = 16, seed: int = 0) -> SimpleNamespace:
    run = SimpleNamespace(
        data=SimpleNamespace(name="scenes"), bits=bits, label=label, method="CTRH", seed=seed
    )
    scores = SimpleNamespace(ap_all=ap, ks=np.array([10]), ap_at=ap[None] / 2, relevant=np.ones(len(ap)))
    return SimpleNamespace(run=run, scores=scores)


@pytest.fixture
def pair() -> list[SimpleNamespace]:
    generator = np.random.default_rng(0)
    base = generator.random(QUERIES) / 2
    return [
        made_up("worse", base),
        made_up("better", base + 0.1 + 0.02 * generator.normal(size=QUERIES)),
        made_up("same", base + 0.02 * generator.permutation(np.linspace(-1, 1, QUERIES))),
    ]


def test_differences_are_paired_bootstrap_intervals(pair):
    rows = differences(pair, "better", "worse").set_index("metric")
    gaps = 100 * (pair[1].scores.ap_all - pair[0].scores.ap_all)
    drawn = np.random.default_rng(1).integers(QUERIES, size=(10_000, QUERIES))
    low, high = np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])
    row = rows.loc["map_all"]
    assert row["difference"] == pytest.approx(gaps.mean())
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.1 * gaps.std() / np.sqrt(QUERIES))
    assert rows.loc["map_10", "difference"] == pytest.approx(gaps.mean() / 2)
    assert list(rows["verdict"]) == ["better", "better"] and set(rows["queries"]) == {QUERIES}


def test_every_length_has_the_interval_that_it_has_alone(pair):
    other = [made_up(each.run.label, each.scores.ap_all[::-1] ** 2, bits=32) for each in pair]
    together = differences([*pair, *other], "better", "worse")
    apart = [differences(part, "better", "worse") for part in (pair, other)]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True))


@pytest.mark.parametrize(
    ("name", "over", "verdict"),
    [("better", "worse", "better"), ("worse", "better", "worse"), ("same", "worse", "undecided")],
)
def test_verdicts(pair, name, over, verdict):
    assert set(differences(pair, name, over)["verdict"]) == {verdict}


def test_seeds_are_paired(pair):
    base, ap = pair[0].scores.ap_all, pair[1].scores.ap_all
    results = [made_up("worse", base, seed=seed) for seed in (0, 1)]
    results += [made_up("better", ap + move, seed=seed) for seed, move in ((0, 0.05), (1, -0.05))]
    row = differences(results, "better", "worse").iloc[0]
    gaps = 100 * np.stack([ap - base + 0.05, ap - base - 0.05])
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(interval(gaps))
    assert row["seeds"] == 2


def test_a_missing_partner_and_a_single_query():
    with pytest.raises(ValueError, match="16 bits: there is no run of 'a' or none of 'b'"):
        differences([made_up("a", np.ones(3))], "a", "b")
    alone = differences([made_up("a", np.ones(1)), made_up("b", np.zeros(1))], "a", "b")
    assert set(alone["verdict"]) == {"undecided"}


def test_in_words_names_every_length():
    rows = pd.DataFrame(
        {
            "bits": [16, 32, 48, 64],
            "difference": [1.24, 3.0, -0.2, -4.0],
            "verdict": ["better", "better", "undecided", "worse"],
        }
    )
    expected = "better at 16 and 32 bits (+1.2 to +3.0 points); undecided at 48 bits (-0.2 points); worse at 64 bits (-4.0 points)"
    assert in_words(rows) == expected
    assert in_words(rows.assign(verdict="undecided")).startswith("undecided at 16, 32, 48 and 64 bits")
    with pytest.raises(ValueError, match="one metric"):
        in_words(pd.concat([rows, rows]))


def test_queries_at_leaves_out_those_without_an_answer():
    scores = SimpleNamespace(ap_all=np.array([0.9, 0.0, 0.1, 0.5, 0.5]), relevant=np.array([3, 0, 3, 3, 3]))
    assert queries_at(scores, (0, 1 / 3, 2 / 3, 1)) == [2, 3, 4, 0]


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


ROWS = pd.DataFrame(
    [
        ("CTRH", "ITQ", "scenes", "map_all", 16, 2.0, 1.0, 3.0, "better"),
        ("CTRH", "ITQ", "scenes", "map_all", 32, -3.0, -4.0, -2.0, "worse"),
        ("CTRH", "ITQ", "scenes", "map_10", 16, 0.5, -0.5, 1.5, "undecided"),
        ("CTRH", "LSH", "scenes", "map_all", 16, 8.0, 7.0, 9.0, "better"),
        ("CTRH", "LSH", "scenes", "map_10", 16, 8.0, 7.0, 9.0, "better"),
    ],
    columns=["method", "over", "dataset", "metric", "bits", "difference", "low", "high", "verdict"],
)


def test_tally_counts_lengths():
    table = tally(ROWS)
    assert table.index.tolist() == [("CTRH", "ITQ"), ("CTRH", "LSH")]
    assert table["scenes", "map_all"].tolist() == ["1 · 0 · 1 (-0.5)", "1 · 0 · 0 (+8.0)"]
    assert table["scenes", "map_10"].tolist() == ["0 · 1 · 0 (+0.5)", "1 · 0 · 0 (+8.0)"]


def test_sentences():
    better, worse, undecided = sentences(ROWS)[:3]
    assert better == "CTRH is better than ITQ on scenes at 16 bits (+2.0 points of map_all, +1.0 to +3.0)."
    assert "is worse than ITQ" in worse and "is not told apart from ITQ" in undecided


def test_order_agreement_is_spearmans():
    means, published = [50.0, 60.0, 70.0, 65.0], [51.0, 70.0, 80.0, 60.0]
    table = pd.DataFrame({"method": list("abcd"), "mean": means, "published": published})
    table = table.assign(dataset="scenes", metric="map_all", bits=16)
    extra = table.iloc[:1].assign(method="random", published=np.nan)
    (line,) = order_agreement(pd.concat([table, extra])).to_dict("records")
    assert line["methods"] == 4 and line["first"] == line["first_published"] == "c"
    assert line["correlation"] == pytest.approx(spearmanr(means, published).statistic)


def test_order_in_words():
    nothing = pd.DataFrame(
        {"dataset": ["a"], "metric": ["m"], "bits": [4], "method": ["x"], "mean": 1.0, "published": np.nan}
    )
    assert "no numbers" in order_in_words(order_agreement(nothing))
    rows = {"correlation": [1.0, 0.0], "first": ["x", "y"], "first_published": ["x", "x"]}
    told = order_in_words(pd.DataFrame(rows))
    assert "+0.50 in the mean, between +0.00 and +1.00" in told and "in 1 of 2 columns" in told


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
    monkeypatch.setattr(comparisons, "trained", lambda run: hasher)
    split = Split(query=np.array([0]), database=np.array([1, 2, 3]), train=np.array([1, 2, 3]))
    task = SimpleNamespace(split=split, inputs=lambda rows: rows, tags=truth)
    named = {"data": SimpleNamespace(name="scenes"), "tags": SimpleNamespace(variant="user")}
    row = comparisons.attention_gain(SimpleNamespace(task=task, **named), truth)
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
