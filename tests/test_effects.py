"""Differences against a plain bootstrap: pairing, verdicts, collapsed codes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ctrh.paper.effects import (
    collapses,
    differences,
    effect_table,
    effects,
    paired,
    precisions,
    published_effects,
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


def test_one_seed_is_resampled_over_queries():
    generator = np.random.default_rng(0)
    base = generator.random(QUERIES) / 2
    better = base + 0.1 + 0.02 * generator.normal(size=QUERIES)
    results = [made_up("worse", base), made_up("better", better), made_up("other", base)]
    row = differences(results, "better", "worse").iloc[0]
    gaps = 100 * (better - base)
    drawn = np.random.default_rng(1).integers(QUERIES, size=(10_000, QUERIES))
    low, high = np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])
    assert row["difference"] == pytest.approx(gaps.mean()) and row["method"] == "better"
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.1 * gaps.std() / np.sqrt(QUERIES))
    assert differences(results, "worse", "better").iloc[0]["verdict"] == "worse"


def test_every_length_has_the_interval_that_it_has_alone():
    generator = np.random.default_rng(0)
    pairs = [[made_up(label, generator.random(QUERIES), bits=bits) for label in "ab"] for bits in (16, 32)]
    together = differences([*pairs[0], *pairs[1]], "a", "b")
    pd.testing.assert_frame_equal(
        together, pd.concat([differences(pair, "a", "b") for pair in pairs], ignore_index=True)
    )


def test_what_cannot_be_paired_raises():
    one, two = (made_up("a", np.ones(3), seed=seed) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"seeds \[0\] cannot be paired with \[1\]"):
        effects([one, made_up("b", np.ones(3), seed=1)], "b")
    with pytest.raises(ValueError, match="48 bits: there is no run of 'b' to compare 'a' with"):
        differences([one], "a", "b")
    with pytest.raises(ValueError, match="no run of 'c'"):
        differences([one], "c", "a")
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


def test_effects_as_text():
    base = np.linspace(0, 0.5, QUERIES)
    results = [made_up("CTRH", base, seed) for seed in (0, 1)]
    results += [made_up("flat", base - 0.1, seed, collapsed=True) for seed in (0, 1)]
    table = effect_table(effects(results, "CTRH"))
    text = "-10.00 (-10.00 to -10.00) worse collapsed: 2 of 2"
    assert table.loc["flat"].to_dict() == {
        ("scenes-mir", "mAP@all"): text,
        ("scenes-mir", "mAP@10"): text.replace("10.00", "5.00"),
    }


def test_effects_stand_beside_the_published_differences():
    base = np.linspace(0, 0.5, QUERIES)
    results = [made_up(label, base + 0.1 * i, bits=bits) for bits in (16, 32) for i, label in enumerate("ab")]
    rows = effects(results, "a")
    rows = rows[rows["metric"] == "map_all"]
    printed = pd.DataFrame(
        {
            "method": ["a", "b", "a", "b"],
            "dataset": "scenes-mir",
            "bits": [16, 16, 32, 32],
            "metric": "map_all",
            "published": [50.0, 53, 60, np.nan],
        }
    )
    (line,) = published_effects(rows, {1: printed}).to_dict("records")
    assert line[("difference", 16)] == pytest.approx(10) and line[("verdict", 32)] == "better"
    assert line[("published", 16)] == 3 and np.isnan(line.get(("published", 32), np.nan))
    nothing = published_effects(rows, {1: printed.assign(published=np.nan)})
    assert list(nothing.columns.unique(0)) == ["difference", "verdict"]
