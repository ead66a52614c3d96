"""Costs: megabytes against a hand count, a measurement in a process of its own, Table 3's rows."""

from dataclasses import replace

import pandas as pd
import pytest

from ctrh.methods.ctrh import CTRHConfig
from ctrh.methods.wshrca import WSHRCAConfig
from ctrh.paper import cost_tables, costs
from ctrh.paper.cost_tables import cost_frame, cost_rows, memory_gaps, save_cost_table
from ctrh.paper.costs import Candidate, Cost, article_candidates, parameter_megabytes
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE

CTRH_SMALL = Candidate("CTRH", CTRHConfig(bits=8), "small-alexnet", None, (5, 16))
WSHRCA_SMALL = Candidate("WSHRCA", WSHRCAConfig(bits=8), "small-alexnet", None, (5, 12))


def linear(inputs, outputs, bias=True):
    return inputs * outputs + (outputs if bias else 0)


def test_alexnet_has_the_articles_megabytes_but_for_a_known_rest():
    (candidate,) = (each for each in article_candidates(DEMO) if each.method == "CTRH")
    found = parameter_megabytes(candidate.build()[0])
    convolutions = sum(
        kernel * kernel * inputs * outputs + outputs
        for kernel, inputs, outputs in (
            (11, 3, 64),
            (5, 64, 192),
            (3, 192, 384),
            (3, 384, 256),
            (3, 256, 256),
        )
    )
    backbone = convolutions + linear(256 * 6 * 6, 4096) + linear(4096, 4096)
    mapped = backbone + linear(4096, 64) + linear(64, 512)
    weighting = 4 * linear(512, 512, bias=False) + linear(512, 2048) + linear(2048, 512)
    assert found["encoding"] == pytest.approx(4e-6 * (backbone + linear(4096, 64)))
    assert found["image"] == pytest.approx(4e-6 * mapped)
    assert found["training"] == pytest.approx(4e-6 * (mapped + weighting))
    assert found["image"] == pytest.approx(228.95, abs=0.26)


def test_what_reads_tags_is_counted_in_training_alone():
    ours, theirs = (parameter_megabytes(each.build()[0]) for each in (CTRH_SMALL, WSHRCA_SMALL))
    width = 256 * 3 * 3
    assert ours["encoding"] == theirs["encoding"]
    assert ours["image"] - ours["encoding"] == pytest.approx(4e-6 * linear(8, 16))
    assert theirs["image"] - theirs["encoding"] == pytest.approx(4e-6 * linear(8, 12))
    assert ours["training"] > ours["image"] > 4e-6 * linear(width, 8)


def test_every_deep_method_is_measured_as_the_article_has_it():
    found = {each.method: each for each in article_candidates(PAPER)}
    assert set(found) == {"WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH"}
    assert {each.settings.bits for each in found.values()} == {64}
    assert found["CTRH"].text == (1386, 512) and found["WDHT"].text == (1386, 300)


def test_a_process_of_its_own_measures_once(monkeypatch):
    (first,) = costs.costs([CTRH_SMALL])
    assert first.one[1] <= first.one[0] <= first.one[2] and first.batched[0] > 0
    assert first.idle <= first.peak_one <= first.peak_batched
    assert first.training == pytest.approx(parameter_megabytes(CTRH_SMALL.build()[0])["training"])
    monkeypatch.setattr(costs, "measured_apart", None)
    assert costs.costs([CTRH_SMALL]) == [first]


def test_a_failure_is_told():
    with pytest.raises(KeyError, match="no-such-backbone"):
        costs.costs([replace(CTRH_SMALL, backbone="no-such-backbone")])


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    monkeypatch.setattr(cost_tables, "own_candidates", lambda profile: [CTRH_SMALL, WSHRCA_SMALL])
    article = [each for each in article_candidates(DEMO) if each.method in ("CTRH", "WSHRCA")][::-1]
    monkeypatch.setattr(cost_tables, "article_candidates", lambda profile: article)

    def measured(candidates):
        return [
            Cost((2.0, 1.0, 3.0), (1.0, 0.5, 1.5), 4.0, 200.0 + number % 2, 6.0, 7.0, 8.0, 5.0)
            for number, _ in enumerate(candidates)
        ]

    monkeypatch.setattr(cost_tables, "costs", measured)
    return tmp_path


def test_rows_follow_the_design(made_up):
    rows = cost_rows(DEMO)
    design = ["method", "dataset", "bits", "metric", "mean", "low", "high", "seeds", "published"]
    assert list(rows.columns[: len(design)]) == design
    assert not rows.duplicated(["method", "dataset", "bits", "metric"]).any()
    by = rows.set_index(["method", "dataset", "metric"])
    assert by.loc[("CTRH", "scenes-mir", "alexnet_time_ms"), "published"] == 1.35
    assert by.loc[("CTRH", "scenes-nus", "alexnet_time_ms"), "published"] == 1.13
    assert by.loc[("CTRH", "scenes-nus", "alexnet_memory_mb"), "published"] == 228.95
    alone = by.loc[("CTRH", "scenes-mir", "time_ms")]
    assert (alone["mean"], alone["low"], alone["high"], alone["batch"]) == (2, 1, 3, 1)
    assert by.loc[("CTRH", "scenes-mir", "alexnet_peak_mb"), ["published"]].isna().all()
    gaps = memory_gaps(rows)
    assert gaps.index.tolist() == ["CTRH", "WSHRCA"]
    assert gaps["difference"].tolist() == pytest.approx([200 - 228.95, 201 - 228.89])


def test_table_as_text(made_up):
    text = save_cost_table(cost_rows(DEMO), DEMO)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 2 * 3 and lines[2].startswith("| *small-alexnet* |")
    assert lines[3].startswith("| CTRH | 2.00 | 1.00 | 200.00 |")
    assert lines[6].startswith("| CTRH |") and lines[6].endswith("| 1.35 / 1.13 | 228.95 |")
    assert (made_up / "demo" / "table3.md").read_text() == text
    assert "1.35 / 1.13" in (made_up / "demo" / "table3.tex").read_text()
    assert len(pd.read_csv(made_up / "demo" / "table3.csv")) == 2 * 2 * 2 * 8


def test_on_alexnet_nothing_is_measured_twice(made_up, monkeypatch):
    monkeypatch.setattr(cost_tables, "own_candidates", lambda profile: article_candidates(PAPER)[:1])
    rows = cost_rows(PAPER)
    assert not rows["metric"].str.startswith("alexnet_").any() and set(rows["backbone"]) == {"alexnet"}
    assert cost_frame(rows, PAPER).index.tolist() == [("alexnet", "WDHT")]


def test_a_profile_can_leave_out_the_full_size_networks(made_up):
    assert set(cost_rows(SMOKE)["backbone"]) == {"small-alexnet"} and memory_gaps(cost_rows(SMOKE)).empty
