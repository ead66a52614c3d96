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
    by_dataset,
    claims_table,
    cost_cells,
    judge,
    judged,
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


def test_a_missing_number_voids_only_its_own_comparison():
    claim = Claim("a is best", (above("a", "b", "c"),))
    whole, part = judge(claim, numbers(a=5, b=1, c=9)), judge(claim, numbers(a=5, b=1))
    assert whole.verdict == FAILS and whole.note == ""
    assert part.verdict == HOLDS and part.note == "1 of 2 comparisons, the others have no numbers"
    assert part[:3] == judge(Claim("a > b", (above("a", "b"),)), numbers(a=5, b=1))[:3]


def test_a_gain_is_as_large_as_said():
    made = numbers(spread=0.1, a=3, b=1)
    for by, verdict in ((2.0, HOLDS), (1.4, FAILS), (-2.0, FAILS)):
        assert judge(Claim("by", (above("a", "b"),), within=0.5, by=by), made).verdict == verdict
    outcome = judge(Claim("by", (above("a", "b"),), within=0.5, by=2.0), numbers(spread=4.0, a=3, b=1))
    half = (outcome.high - outcome.low) / 2
    assert outcome.verdict == OPEN and half > 0.5
    assert outcome.note == f"these queries and seeds cannot decide less than {half:.2g} points"


def test_verdicts_are_holm_s():
    """Beside the textbook's procedure on p-values, which are found by bisection of the level of the interval."""
    made = {cell("z", bits): np.zeros((5, 40)) for bits in range(12)}
    generator = np.random.default_rng(2)
    for bits in range(12):
        made[cell("a", bits)] = bits / 18 * (-1) ** bits + generator.normal(size=(5, 40))
    claims = [Claim(str(bits), ((Contrast((cell("a", bits),), (cell("z", bits),)),),)) for bits in range(12)]

    def p_value(claim):
        low, high = 1e-12, 1.0
        for _ in range(60):
            error = (low + high) / 2
            low, high = (low, error) if judge(claim, made, error).verdict != OPEN else (error, high)
        return high

    order = sorted(claims, key=p_value)
    passed = [p_value(claim) <= 0.05 / (len(order) - place) for place, claim in enumerate(order)]
    expected = {claim.text for claim, good in zip(order, np.cumprod(passed)) if good}
    outcomes = dict(zip((claim.text for claim in claims), judged(claims, made)))
    assert {text for text, outcome in outcomes.items() if outcome.verdict != OPEN} == expected
    alone = {claim.text for claim in claims if judge(claim, made).verdict != OPEN}
    bonferroni = {claim.text for claim in claims if judge(claim, made, 0.05 / 12).verdict != OPEN}
    assert bonferroni < expected < alone


def made_up(truth: dict[Cell, float], spread: float = 0.01, costs: float = 0.001) -> dict[Cell, np.ndarray | Estimate]:
    """Five seeds and 30 queries around the truth; costs with bounds of their own."""
    generator, made = np.random.default_rng(0), {}
    for cell, value in truth.items():
        if cell.study == "cost":
            made[cell] = Estimate(value, value * (1 - costs), value * (1 + costs))
        else:
            made[cell] = value + spread * generator.normal(size=(5, 30))
    return made


def test_made_up_tables_with_obvious_truths(claims):
    """The article's own numbers, and curves and sensitivities after its text, all but without noise; the same upside down;
    behind much noise; and without one number."""
    printed = {cell: float(value[0, 0]) for cell, value in published_cells().items()}
    best = {"α": {"mirflickr": 0.5, "nuswide": 0.25}, "ε": {"mirflickr": 0.7, "nuswide": 0.9}, "λ4": dict.fromkeys(DATASETS, 15)}
    truth = dict(printed)
    for claim in claims:
        for contrast in (contrast for option in claim.options for contrast in option):
            for each in (*contrast.more, *contrast.less):
                if each.study == "sensitivity":
                    name, value = each.name.split(" = ")
                    truth[each] = 80 - abs(float(value) - best[name][each.dataset])
                elif each not in truth:  # a curve: as the method's mAP@all
                    truth[each] = printed[each._replace(metric="map_all")]
    outcomes = judged(claims, made_up(truth))
    assert {outcome.verdict for outcome in outcomes} == {HOLDS}

    bounded = [claim.within is not None for claim in claims]
    reverse = {cell: 1e4 / value if cell.study == "cost" else 100 - value for cell, value in truth.items()}
    for claim, outcome in zip(claims, judged(claims, made_up(reverse)), strict=True):
        about_equal = claim.within is not None and claim.by == 0
        assert outcome.verdict == (HOLDS if about_equal else FAILS), claim.text

    for claim, outcome, bound in zip(claims, judged(claims, made_up(truth, 1e3, 0.9)), bounded, strict=True):
        assert outcome.verdict == OPEN and ("cannot decide less than" in outcome.note) == bound, claim.text

    lost = Cell("comparison", "MGRN", "mirflickr", 16, "map_all")
    without = {cell: values for cell, values in made_up(truth).items() if cell != lost}
    for claim, before, after in zip(claims, outcomes, judged(claims, without), strict=True):
        needs = any(lost in (*part.more, *part.less) for option in claim.options for part in option)
        assert after.verdict == before.verdict
        assert after.note.startswith("27 of 28") if needs else after == before
    assert sum("27 of 28" in outcome.note for outcome in judged(claims, without)) == 1


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
    # Figures 4-7 and 9 print no numbers: six claims a data set rest on their curves.
    drawn = ("An α", "α =", "ε =", "λ4 =", "CTRH has the highest precision at")
    assert len(drawn_only) == 12 and all(text.startswith(drawn) for text in drawn_only)


def test_gains_over_wshrca_are_those_of_the_text(claims):
    table = claims_table(claims, {})
    gains = table[table["claim"].str.contains("ahead of WSHRCA in .* averaged")]["published"]
    assert gains.round(1).tolist() == [1.4, 0.8, 2.7, 1.1]
    sizes = table[table["claim"].str.contains("by .* points .* averaged")]
    assert sizes["published"].tolist() == gains.tolist()
    assert sizes["claim"].str.extract(r"by ([\d.]+) points")[0].tolist() == ["1.4", "0.8", "2.7", "1.1"]
    assert set(table["verdict"]) == {OPEN} and table["measured"].isna().all()
    assert list(table.columns) == ["claim", "published", "measured", "low", "high", "verdict", "note"]


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
    assert len({claim.text for claim in claims}) == len(claims) == 56
    for claim in claims:
        for contrast in (contrast for option in claim.options for contrast in option):
            for each in (*contrast.more, *contrast.less):
                assert each in printed or each.study == "sensitivity" or each.metric.lower().startswith("p")


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
    # How large the gains are is judged on the article's data.
    assert len(all_claims(SMOKE)) == 51 and not any("points (give" in text for text in texts)


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
    curves = {each.metric: values for each, values in cells.items() if each[:4] == ("comparison", "CTRH", DATASETS[0], 16)}
    assert {each.dataset for each in cells} == {DATASETS[0]}
    assert {*curves} == {"map_all", "map_5000", "P@1", "P@10"} | {f"precision at {x} % recall" for x in (10, 30, 50, 70, 90)}
    assert {each.name for each in cells if each.study == "backbones"} == {
        *("AlexNet", "ResNet-50", "ViT-B-16", "CLIP (ViT-B-32)")
    }
    runs = [make_run(small, "mirflickr", "CTRH", 16, seed) for seed in (0, 1)]
    found = results(runs, jobs=1)
    expected = 100 * np.stack([result.scores.ap_at[0] for result in found])
    assert curves["P@10"].tolist() == [[100 * result.scores.precision_at[9]] for result in found]
    ends = [100 * result.scores.curve_precision[[0, -1]] for result in found]
    for share in (10, 50):
        middle = curves[f"precision at {share} % recall"]
        assert all(min(end) - 1e-9 <= value <= 100 for (value,), end in zip(middle, ends, strict=True))
    np.testing.assert_array_equal(cells[Cell("comparison", "CTRH", "mirflickr", 16, "map_5000")], expected)
    np.testing.assert_array_equal(
        cells[Cell("sensitivity", "α = 0.5", "mirflickr", 16, "map_5000")], expected
    )


def test_the_data_set_is_taken_out_of_a_claims_text():
    table = pd.DataFrame({"claim": ["A is best on NUS-WIDE (here scenes-nus), averaged", "A is best on MirFlickr", "A costs little"]})
    split = by_dataset(table)
    assert split["subject"].tolist() == ["A is best, averaged", "A is best", "A costs little"]
    assert split["dataset"].tolist() == ["NUS-WIDE (here scenes-nus)", "MirFlickr", ""]
