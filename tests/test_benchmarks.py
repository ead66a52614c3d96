"""Every benchmark at its tiny size: it runs, and what it compares gives the same answers. No times are looked at."""

import importlib

import numpy as np
import pandas as pd
import pytest

from benchmarks.__main__ import TOPICS, main
from benchmarks.measuring import Result, timed_with_memory
from benchmarks.records import COLUMNS, keep, rows_of


@pytest.mark.parametrize("topic", TOPICS)
def test_both_sides_agree(topic):
    results = list(importlib.import_module(f"benchmarks.{topic}").run("tiny"))
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


def test_memory_is_noticed():
    _, megabytes, value = timed_with_memory(lambda: np.ones(40_000_000, dtype=np.uint8).sum())
    assert value == 40_000_000 and 30 < megabytes < 200


def test_an_unknown_topic_is_answered_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "evaluation" in capsys.readouterr().err
