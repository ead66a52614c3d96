"""Every benchmark at its tiny size: it runs, and what it compares gives the same answers. No times are looked at."""

import importlib

import numpy as np
import pandas as pd
import pytest

from benchmarks import report
from benchmarks.__main__ import TOPICS, main
from benchmarks.measuring import Result, timed_with_memory
from benchmarks.records import COLUMNS, keep, rows_of


@pytest.mark.parametrize("topic", TOPICS)
def test_both_sides_agree(topic):
    try:
        results = list(importlib.import_module(f"benchmarks.{topic}").run("tiny"))
    except PermissionError as error:
        pytest.skip(str(error))
    assert results and len({(result.name, result.size) for result in results}) == len(results)
    for result in results:
        assert result.difference <= 1e-5, (result.name, result.size)
        assert result.ours_s > 0 and result.reference_s > 0


def test_a_new_measurement_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "results.csv"
    for name, ours in (("a", 1.0), ("b", 2.0), ("a", 4.0)):
        keep(rows_of(Result(name, "3 x 4", ours, 8.0))[0], path)
    rows = pd.read_csv(path)
    assert rows.columns.tolist() == COLUMNS["results"]
    assert rows[["name", "ours_s", "ratio"]].to_numpy().tolist() == [["b", 2.0, 4.0], ["a", 4.0, 2.0]]


def test_facts_have_a_row_each(tmp_path):
    path = tmp_path / "facts.csv"
    for value in (1.0, 2.0):
        keep(rows_of(Result("a", "1", 1, 1, facts={"MB": value, "recall": 0.5}))[1], path)
    assert pd.read_csv(path)[["quantity", "value"]].to_numpy().tolist() == [["MB", 2.0], ["recall", 0.5]]


def test_the_report_multiplies_what_was_measured(tmp_path, monkeypatch):
    """Made-up tables with round numbers: a nanosecond a code, 100 pictures a second."""
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setattr(report, "PAGE_FILE", tmp_path / "docs" / "scale.md")
    measured = [
        Result(name, f"{size} things, each", 1e-9 * size, 1e-7 * size)
        for name in report.PANELS
        for size in (100, 1000, 10_000)
    ]
    told = {"recall@10": 0.9, "queries per second": 1000, "seconds to build": 90}
    told["bytes per code, beside the codes"] = 24
    measured += [
        Result("search, ivf", "1000000 codes", 1, 2, facts=told),
        Result("encoding", "pictures", 1, 1, facts={"images per second": 100}),
    ]
    stored = {"recall@10": 1, "queries per second": 50, "codes added per second": 7000}
    stored["bytes per code, with all indexes"] = 80
    for size in ("9 codes; reference: none", "5000 codes; reference: none"):
        measured.append(Result("search, PostgreSQL, exact", size, 1, 1, facts=stored))
    results, facts = (pd.concat(part) for part in zip(*map(rows_of, measured), strict=True))
    report.write(results, facts)
    page = (tmp_path / "docs" / "scale.md").read_text()
    assert "| exact search, one query | 1.00 | 1e-09 |" in page
    assert "| ivf | 0.900 | 1,000 | 24 | 1.5 |" in page
    assert "`benchmarks/postgres.py`; 5000 codes, all of them" in page
    assert "| exact | 1.000 | 50 | 7,000 | 80 |" in page
    assert "| codes | 8 GB | 800 GB |" in page
    assert "| exact scan of one query, on this machine | 1.0 s | 100 s |" in page
    assert "| encoding every picture once, on this machine | 116 days | 32 years |" in page
    assert (tmp_path / "figures" / "benchmarks" / "cost_against_size.png").exists()


def test_memory_is_noticed():
    _, megabytes, value = timed_with_memory(lambda: np.ones(40_000_000, dtype=np.uint8).sum())
    assert value == 40_000_000 and 30 < megabytes < 200


def test_an_unknown_topic_is_answered_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "evaluation" in capsys.readouterr().err
