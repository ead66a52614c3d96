"""Effects: intervals against hand-made layouts and simulation, pairing, verdicts, collapsed codes."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ctrh.paper.effects import (
    collapses,
    collapses_in_words,
    counted,
    effects,
    interval,
    listed,
    paired,
    precisions,
    verdict,
)

QUERIES = 60


def made_up(label, ap, seed=0, bits=48, dataset="scenes-mir", collapsed=False):
    generator = np.random.default_rng(seed)
    codes = np.zeros((400, bits), dtype=bool) if collapsed else generator.random((400, bits)) < 0.5
    run = SimpleNamespace(
        data=SimpleNamespace(name=dataset), bits=bits, label=label, method="CTRH", seed=seed
    )
    scores = SimpleNamespace(ap_all=ap, ks=np.array([10]), ap_at=ap[None] / 2)
    return SimpleNamespace(run=run, scores=scores, database_codes=codes)


def crossed(generator, seeds, queries, mean, of_seed, of_query, rest):
    values = mean + of_seed * generator.normal(size=(seeds, 1)) + of_query * generator.normal(size=queries)
    return values + rest * generator.normal(size=(seeds, queries))


@pytest.mark.parametrize(
    ("spreads", "least"), [((1, 0, 3), 0.93), ((0, 3, 3), 0.93), ((0.5, 4, 4), 0.93), ((0, 0, 1), 0.93)]
)
def test_intervals_cover_the_truth_as_often_as_they_say(spreads, least):
    generator = np.random.default_rng(1)
    inside = [
        low <= 2 <= high
        for _, low, high in (interval(crossed(generator, 3, 80, 2, *spreads)) for _ in range(600))
    ]
    assert least < np.mean(inside)
    if spreads == (1, 0, 3):
        assert np.mean(inside) < 0.98  # not so wide as to say nothing


def test_two_way_layout_by_hand():
    values = np.array([[1.0, 2, 6], [3, 4, 5]])
    # Means 3, 4 of seeds and 2, 3, 5.5 of queries around 3.5.
    of_seeds = 3 * ((3 - 3.5) ** 2 + (4 - 3.5) ** 2) / 1
    of_queries = 2 * ((2 - 3.5) ** 2 + (3 - 3.5) ** 2 + (5.5 - 3.5) ** 2) / 2
    rest = sum(
        (values[s, q] - values[s].mean() - values[:, q].mean() + 3.5) ** 2 for s in range(2) for q in range(3)
    )
    rest /= 1 * 2
    variance = max(of_seeds + of_queries - rest, of_seeds, of_queries)
    freedom = variance**2 / (of_seeds**2 / 1 + of_queries**2 / 2 + rest**2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance / 6)
    assert interval(values) == pytest.approx((3.5, 3.5 - half, 3.5 + half))


def test_one_number_a_seed_gives_students_interval():
    values = np.array([[3.0], [5.0], [4.5]])
    low, high = stats.t.interval(0.95, 2, values.mean(), values.std(ddof=1) / np.sqrt(3))
    assert interval(values) == pytest.approx((values.mean(), low, high))
    wide = interval(values, 0.99)
    assert wide[1] < low and wide[2] > high


def test_one_seed_says_nothing_of_others_and_equal_values_everything():
    mean, low, high = interval(np.arange(5.0)[None])
    assert mean == 2 and np.isnan(low) and np.isnan(high)
    assert verdict(low, high) == "undecided"
    assert interval(np.full((3, 4), 1.5)) == (1.5, 1.5, 1.5)


def test_effects_are_paired_by_seed_and_query():
    generator = np.random.default_rng(0)
    base = [generator.random(QUERIES) / 2 for _ in range(3)]
    results = [made_up("CTRH", ap, seed) for seed, ap in enumerate(base)]
    results += [made_up("better", ap + 0.1, seed) for seed, ap in enumerate(base)]
    results += [
        made_up("noise", ap + 0.1 * generator.normal(size=QUERIES), seed) for seed, ap in enumerate(base)
    ]
    rows = effects(results, "CTRH").set_index(["label", "metric"])
    assert len(rows) == 4
    better = rows.loc["better", "map_all"]
    assert better[["difference", "low", "high"]].to_list() == pytest.approx([10, 10, 10])
    assert better["verdict"] == "better" and (better["seeds"], better["queries"]) == (3, QUERIES)
    assert rows.loc[("better", "map_10"), "difference"] == pytest.approx(5)
    noise = rows.loc["noise", "map_all"]
    assert noise["verdict"] == "undecided" and noise["low"] < 0 < noise["high"]
    turned = effects(results, "better")
    assert set(turned.loc[turned["label"] == "CTRH", "verdict"]) == {"worse"}


def test_what_cannot_be_paired_raises():
    one, two = (made_up("a", np.ones(3), seed=seed) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"seeds \[0\] cannot be paired with \[1\]"):
        effects([one, made_up("b", np.ones(3), seed=1)], "b")
    with pytest.raises(ValueError, match="two runs are called"):
        precisions([one, one])
    np.testing.assert_array_equal(
        paired({1: np.ones(3), 0: np.zeros(3)}, {0: np.ones(3), 1: np.ones(3)})[1], 0
    )
    assert set(precisions([one, two])["scenes-mir", 48, "map_all", "a"]) == {0, 1}


def test_collapsed_codes_are_told():
    results = [made_up("CTRH", np.ones(3)), made_up("flat", np.ones(3), collapsed=True)]
    assert collapses(results) == {("scenes-mir", 48, "flat"): 1}
    assert effects(results, "CTRH")["note"].unique().tolist() == ["collapsed: 1 of 1"]
    assert (
        collapses_in_words(results) == "Codes have collapsed in 1 of 2 runs: flat (scenes-mir, 48 bits: 1)."
    )
    assert collapses_in_words(results[:1]) == "Codes have collapsed in 0 of 1 runs."


def test_effects_in_words():
    base = np.linspace(0, 0.5, QUERIES)
    results = [made_up("CTRH", base, seed) for seed in (0, 1)]
    results += [made_up("better", base + 0.1, seed, collapsed=True) for seed in (0, 1)]
    rows = effects(results, "CTRH").query("metric == 'map_all'")
    assert counted(rows) == "better in 1, worse in 0, undecided in 0 of 1"
    assert listed(rows) == "- **better**: scenes-mir +10.0 (+10.0 to +10.0: better), collapsed: 2 of 2"
    single = effects([made_up("CTRH", base), made_up("x", base)], "CTRH").query("metric == 'map_all'")
    assert listed(single) == "- **x**: scenes-mir +0.0 (one seed: no interval)"
