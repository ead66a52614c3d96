"""Claims: verdicts on hand-made numbers, intervals by simulation, the article's own tables, the profile's runs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from study_task import TINY, task  # noqa: F401

from ctrh.paper.claims import (
    FAILS,
    HOLDS,
    OPEN,
    Cell,
    Claim,
    Contrast,
    Estimate,
    all_claims,
    claims_table,
    cost_cells,
    judge,
    measured_cells,
    parts_table,
    published_cells,
    stated,
)
from ctrh.paper.published import published_table
from ctrh.paper.runs import make_run, results
from ctrh.paper.statistics import interval
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE

BITS, DATASETS = (16, 32, 48, 64), ("mirflickr", "nuswide")
METHODS = ("LSH", "SH", "ITQ", "WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH")


def cell(name: str, bits: int = 16) -> Cell:
    return Cell("comparison", name, "mirflickr", bits, "map_all")


def numbers(generator=None, seeds=3, queries=50, spread=1.0, **means) -> dict[Cell, np.ndarray]:
    generator = generator or np.random.default_rng(0)
    shared = 20 * generator.normal(size=queries)
    return {
        cell(name): mean + shared + spread * generator.normal(size=(seeds, queries))
        for name, mean in means.items()
    }


def above(more: str, *less: str) -> tuple[Contrast, ...]:
    return tuple(Contrast((cell(more),), (cell(other),)) for other in less)


@pytest.mark.parametrize(
    ("best", "verdict"),
    [({"a": 5, "b": 1, "c": 0}, HOLDS), ({"a": 5, "b": 1, "c": 9}, FAILS), ({"a": 5, "b": 5, "c": 0}, OPEN)],
)
def test_all_differences_must_be_above_zero(best, verdict):
    made = numbers(**best)
    outcome = judge(Claim("a is best", (above("a", "b", "c"),)), made)
    assert outcome.verdict == verdict
    gaps = [(made[cell("a")] - made[cell(other)]) for other in "bc"]
    assert outcome.value == pytest.approx(min(gap.mean() for gap in gaps))
    assert outcome.low == pytest.approx(min(interval(gap)[1] for gap in gaps))
    assert outcome.high == pytest.approx(min(interval(gap, 0.975)[2] for gap in gaps))


def test_one_of_several_options_is_enough():
    claim = Claim("b or c lies above both ends", (above("b", "a", "d"), above("c", "a", "d")))
    assert judge(claim, numbers(a=0, b=-5, c=5, d=1)).verdict == HOLDS
    assert judge(claim, numbers(a=0, b=-5, c=5, d=9)).verdict == FAILS
    assert judge(claim, numbers(a=5, b=5, c=5, d=1)).verdict == OPEN
    best = judge(claim, numbers(a=0, b=-5, c=5, d=1))
    assert best.value == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize(
    ("other", "spread", "verdict"),
    [(0.1, 0.1, HOLDS), (2.0, 0.1, FAILS), (0.4, 3.0, OPEN), (-2.0, 0.1, FAILS)],
)
def test_about_equal_means_within_the_bound(other, spread, verdict):
    claim = Claim("equal", (above("a", "b"),), within=0.5)
    assert judge(claim, numbers(spread=spread, a=0, b=other)).verdict == verdict


def test_costs_are_compared_in_percent_with_bounds_at_their_worst():
    claim = Claim("about as fast", ((Contrast((cell("a"),), (cell("b"),)),),), within=20.0)
    made = {cell("a"): Estimate(11.0, 10.8, 11.2), cell("b"): Estimate(10.0, 9.9, 10.1)}
    outcome = judge(claim, made)
    expected = [100 * (more / less - 1) for more, less in ((11.0, 10.0), (10.8, 10.1), (11.2, 9.9))]
    assert [outcome.value, outcome.low, outcome.high] == pytest.approx(expected)
    assert outcome.verdict == HOLDS
    assert judge(replace(claim, within=12.0), made).verdict == OPEN
    assert judge(replace(claim, within=5.0), made).verdict == FAILS


def test_cost_cells_are_those_of_alexnet():
    about = {"dataset": "scenes-nus", "bits": 64}
    rows = pd.DataFrame(
        [
            {
                "method": "CTRH",
                "backbone": "guide",
                "metric": "time_ms",
                "mean": 1.0,
                "low": 0.9,
                "high": 1.1,
            },
            {
                "method": "CTRH",
                "backbone": "alexnet",
                "metric": "alexnet_time_ms",
                "mean": 4.0,
                "low": 3.0,
                "high": 5.0,
            },
            {"method": "CTRH", "backbone": "alexnet", "metric": "alexnet_memory_mb", "mean": 229.0},
        ]
    ).assign(**about)
    assert cost_cells(rows, DEMO) == {
        Cell("cost", "CTRH", "nuswide", 64, "time_ms"): Estimate(4.0, 3.0, 5.0),
        Cell("cost", "CTRH", "nuswide", 64, "memory_mb"): Estimate(229.0, 229.0, 229.0),
    }


def test_averages_are_taken_within_seed_and_query():
    made = {cell(name, bits): np.full((2, 3), value) for name, bits, value in
            (("a", 16, 3.0), ("a", 32, 5.0), ("b", 16, 1.0), ("b", 32, 2.0))}  # fmt: skip
    both = Contrast((cell("a"), cell("a", 32)), (cell("b"), cell("b", 32)))
    assert judge(Claim("on average", ((both,),)), made).value == pytest.approx(2.5)


def test_one_seed_or_a_missing_number_decides_nothing():
    claim = Claim("a > b", (above("a", "b"),))
    single = judge(claim, numbers(seeds=1, a=50, b=1))
    assert single.verdict == OPEN and single.value > 40 and np.isnan(single.low)
    missing = judge(claim, numbers(a=50))
    assert missing.verdict == OPEN and np.isnan(missing.value)


def test_intervals_cover_the_smallest_and_the_best_of_smallest():
    generator, inside, wrong = np.random.default_rng(0), [], 0
    claim = Claim("b or c", (above("b", "a", "d"), above("c", "a", "d")))
    for _ in range(300):
        outcome = judge(claim, numbers(generator, queries=30, spread=3.0, a=0, b=0, c=-0.2, d=-0.1))
        inside.append(outcome.low <= 0 <= outcome.high)
        wrong += outcome.verdict == HOLDS
    assert np.mean(inside) >= 0.93 and wrong / 300 <= 0.04


@pytest.fixture(scope="module")
def claims():
    return all_claims(PAPER)


def test_the_article_s_own_tables_bear_its_claims_out(claims):
    printed = published_cells()
    verdicts = {claim.text: stated(claim, printed) for claim in claims}
    drawn_only = {text for text, (_, borne_out) in verdicts.items() if borne_out is None}
    assert all(borne_out for _, borne_out in verdicts.values() if borne_out is not None)
    # Figure 9 prints no numbers: four claims a data set rest on its curves.
    assert len(drawn_only) == 8 and all(
        text.startswith(("An α", "α =", "ε =", "λ4 =")) for text in drawn_only
    )


def test_gains_over_wshrca_are_those_of_the_text(claims):
    table = claims_table(claims, {})
    gains = table[table["claim"].str.contains("ahead of WSHRCA")]["published"]
    assert gains.round(1).tolist() == [1.4, 0.8, 2.7, 1.1]
    assert set(table["verdict"]) == {OPEN} and table["measured"].isna().all()
    assert list(table.columns) == ["claim", "published", "measured", "low", "high", "verdict"]


def test_leads_are_recomputed_from_the_tables_by_other_means(claims):
    table = claims_table(claims, {}).set_index("claim")["published"]
    wide = published_table(1).pivot(index=["dataset", "bits"], columns="method", values="published")
    lead = wide["CTRH"] - wide.drop(columns="CTRH").max(axis=1)
    assert table["CTRH has the highest mAP@all at every length on MirFlickr"] == pytest.approx(
        lead["mirflickr"].min()
    )
    guides = published_table(9).pivot(index=["dataset", "bits"], columns="guide", values="published")
    lead = (guides["CLIP"] - guides["OpenCLIP"]).loc["nuswide"].min()
    assert table[
        "CLIP is a better guide than OpenCLIP in mAP@5000 at every length on NUS-WIDE"
    ] == pytest.approx(lead)


def test_no_claim_is_made_twice_and_all_cells_exist(claims):
    printed = published_cells()
    assert len({claim.text for claim in claims}) == len(claims) == 46
    for claim in claims:
        for contrast in (contrast for option in claim.options for contrast in option):
            for each in (*contrast.more, *contrast.less):
                assert each in printed or each.study == "sensitivity"


def test_a_profile_tells_what_stands_for_what():
    texts = [claim.text for claim in all_claims(DEMO)]
    assert (
        f"CTRH has the highest mAP@5000 (here mAP@{DEMO.top}) at every length on NUS-WIDE (here scenes-nus)"
        in texts
    )
    assert any(
        text.startswith("CLIP (here small) is a better guide than OpenCLIP (here small-b)") for text in texts
    )
    assert any(text.startswith("CLIP (ViT-B-32) (here guide) is a better backbone") for text in texts)
    half = replace(PAPER, datasets=PAPER.datasets[1:])
    assert {text for text in (c.text for c in all_claims(half)) if "MirFlickr" in text} == set()
    assert len(all_claims(SMOKE)) == 46


def test_parts_say_what_a_verdict_rests_on(claims):
    claim = next(
        c for c in claims if c.text.startswith("CTRH has the highest mAP@all at every length on MirF")
    )
    parts = parts_table([claim], published_cells())
    assert len(parts) == (len(METHODS) - 1) * len(BITS) and set(parts["more"]) == {"CTRH"}
    assert parts["published"].min() == pytest.approx(stated(claim, published_cells())[0])
    lengths = next(c for c in claims if c.text.startswith("48 bits give"))
    assert parts_table([lengths], {})["less"].tolist() == ["CTRH, 16 bits", "CTRH, 32 bits"]


def test_measured_cells_have_the_article_s_names(task, monkeypatch):  # noqa: F811
    monkeypatch.setenv("CTRH_JOBS", "1")
    small = replace(TINY, datasets=TINY.datasets[:1], seeds=(0, 1), methods=("LSH", "CTRH"))
    small = replace(small, study=replace(small.study, alphas=(0.5,), margins=(0.7,), tag_balances=(15.0,)))
    cells = measured_cells(small)
    assert {each.study for each in cells} == {"comparison", "ablation", "sensitivity", "backbones", "guides"}
    assert {each.dataset for each in cells} == {DATASETS[0]} and {each.metric for each in cells} == {
        "map_all",
        "map_5000",
    }
    assert {each.name for each in cells if each.study == "backbones"} == {
        *("AlexNet", "ResNet-50", "ViT-B-16", "CLIP (ViT-B-32)")
    }
    runs = [make_run(small, "mirflickr", "CTRH", 16, seed) for seed in (0, 1)]
    expected = 100 * np.stack([result.scores.ap_at[0] for result in results(runs, jobs=1)])
    np.testing.assert_array_equal(cells[Cell("comparison", "CTRH", "mirflickr", 16, "map_5000")], expected)
    np.testing.assert_array_equal(
        cells[Cell("sensitivity", "α = 0.5", "mirflickr", 16, "map_5000")], expected
    )
