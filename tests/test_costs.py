"""Costs: megabytes against a hand count, a measurement in a process of its own, Table 3's rows."""


import pandas as pd
import pytest

from ctrh.methods.ctrh import CTRHConfig
from ctrh.methods.uhscm import UHSCMConfig
from ctrh.methods.wshrca import WSHRCAConfig
from ctrh.paper import costs
from ctrh.paper.costs import (
    Candidate,
    article_candidates,
    cost_frame,
    cost_rows,
    parameter_megabytes,
    save_cost_table,
)
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE

CTRH_SMALL = Candidate("CTRH", CTRHConfig(bits=8), "small-alexnet", None, (5, 16))
WSHRCA_SMALL = Candidate("WSHRCA", WSHRCAConfig(bits=8), "small-alexnet", None, (5, 12))


def linear(inputs, outputs, bias=True):
    return inputs * outputs + (outputs if bias else 0)


def test_alexnet_has_the_articles_megabytes_but_for_a_known_rest():
    (candidate,) = (x for x in article_candidates(DEMO) if x.method == "CTRH")
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
    assert found["encoding_mb"] == pytest.approx(4e-6 * (backbone + linear(4096, 64)))
    assert found["memory_mb"] == pytest.approx(4e-6 * mapped)
    assert found["training_mb"] == pytest.approx(4e-6 * (mapped + weighting))
    assert found["memory_mb"] == pytest.approx(228.95, abs=0.26)


def test_what_reads_tags_is_counted_in_training_alone():
    ours, theirs = (parameter_megabytes(x.build()[0]) for x in (CTRH_SMALL, WSHRCA_SMALL))
    width = 256 * 3 * 3
    assert ours["encoding_mb"] == theirs["encoding_mb"]
    assert ours["memory_mb"] - ours["encoding_mb"] == pytest.approx(4e-6 * linear(8, 16))
    assert theirs["memory_mb"] - theirs["encoding_mb"] == pytest.approx(4e-6 * linear(8, 12))
    assert ours["training_mb"] > ours["memory_mb"] > 4e-6 * linear(width, 8)


def test_every_deep_method_is_measured_as_the_article_has_it():
    found = {x.method: x for x in article_candidates(PAPER)}
    assert set(found) == {"WDHT", "MGRN", "EWSH", "WSHRCA", "UHSCM", "CTRH"}
    assert {x.settings.bits for x in found.values()} == {64}
    assert found["CTRH"].text == (1386, 512) and found["WDHT"].text == (1386, 300)


def test_a_process_of_its_own_measures_once(monkeypatch):
    found = costs.cost(CTRH_SMALL)
    median, low, high = found["time_ms"]
    assert low <= median <= high and found["time_batched_ms"][0] > 0
    assert found["idle_mb"] <= found["peak_mb"] <= found["peak_batched_mb"]
    assert found["training_mb"] == pytest.approx(parameter_megabytes(CTRH_SMALL.build()[0])["training_mb"])
    monkeypatch.setattr(costs, "measured_apart", lambda *_: pytest.fail("measured again"))
    assert all((costs.cost(CTRH_SMALL)[metric] == found[metric]).all() for metric in costs.BATCHES)


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    monkeypatch.setattr(costs, "own_candidates", lambda profile: [CTRH_SMALL, WSHRCA_SMALL])
    article = [x for x in article_candidates(DEMO) if x.method in ("CTRH", "WSHRCA")][::-1]
    monkeypatch.setattr(costs, "article_candidates", lambda profile: article)

    found = {metric: (7.0,) for metric in costs.BATCHES} | {"memory_mb": (200.0,)}
    found |= {"time_ms": (2.0, 1.0, 3.0), "time_batched_ms": (1.0, 0.5, 1.5)}
    monkeypatch.setattr(costs, "cost", lambda candidate: found)
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


def test_table_as_text(made_up):
    text = save_cost_table(cost_rows(DEMO), DEMO)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 2 * 3 and lines[2].startswith("| *small-alexnet* |")
    assert lines[3].startswith("| CTRH | 2.00 | 1.00 | 200.00 |")
    assert lines[6].startswith("| CTRH |") and lines[6].endswith("| 1.35 / 1.13 | 228.95 |")
    assert (made_up / "demo" / "table3.md").read_text() == text
    assert "1.35 / 1.13" in (made_up / "demo" / "table3.tex").read_text()
    assert len(pd.read_csv(made_up / "demo" / "table3.csv")) == 2 * 2 * 2 * 8


def test_what_the_article_does_not_print_stays_empty(made_up, monkeypatch):
    other = Candidate("UHSCM", UHSCMConfig(bits=8), "small-alexnet", None, (5, 12))
    monkeypatch.setattr(costs, "own_candidates", lambda profile: [other])
    frame = cost_frame(cost_rows(DEMO), DEMO)
    assert frame.loc[("small-alexnet", "UHSCM"), "published"].tolist() == ["", ""]
    assert other.build()[0].hash.out_features == 8


def test_on_alexnet_nothing_is_measured_twice(made_up, monkeypatch):
    monkeypatch.setattr(costs, "own_candidates", lambda profile: article_candidates(PAPER)[:1])
    rows = cost_rows(PAPER)
    assert not rows["metric"].str.startswith("alexnet_").any() and set(rows["backbone"]) == {"alexnet"}
    assert cost_frame(rows, PAPER).index.tolist() == [("alexnet", "WDHT")]


def test_a_profile_can_leave_out_the_full_size_networks(made_up):
    assert set(cost_rows(SMOKE)["backbone"]) == {"small-alexnet"}
