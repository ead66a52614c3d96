"""Curves: the points that are drawn, their means and intervals over seeds; panels and differences as drawn."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy import stats

from ctrh.methods.registry import METHODS
from ctrh.paper.curves import POINTS, curve_panels, drawn, forest, precision_rows, recall_rows
from ctrh.paper.style import colour, line_look, marker, use_style
from ctrh.retrieval.metrics import evaluate


@pytest.fixture(autouse=True)
def style():
    with plt.style.context("default"):
        use_style()
        yield
    plt.close("all")


def made_up(seed, bits=16, label="", database=150):
    generator = np.random.default_rng([seed, bits])
    codes, labels = (generator.random((database + 10, width)) < 0.5 for width in (bits, 3))
    labels[:, 0] |= ~labels.any(axis=1)  # recall of a query without an answer would stay 0
    scores = evaluate(codes[:10], codes[10:], labels[:10], labels[10:], ks=(10,), threads=1)
    run = SimpleNamespace(
        data=SimpleNamespace(name="scenes"), label=label, method="LSH", bits=bits, seed=seed
    )
    return SimpleNamespace(run=run, scores=scores, database_codes=codes[10:])


def test_drawn_points_begin_and_end_with_the_curve():
    for count in (1, 2, 60, 201, 1000):
        points = drawn(count)
        assert points[0] == 0 and points[-1] == count - 1 and len(points) <= POINTS
        assert (np.diff(points) > 0).all()
    assert drawn(201)[:3].tolist() == [0, 1, 2]


def test_precision_at_n_with_students_interval():
    found = [made_up(seed) for seed in range(3)]
    rows = precision_rows(found)
    assert set(rows["label"]) == {"LSH"} and set(rows["bits"]) == {16} and set(rows["dataset"]) == {"scenes"}
    assert rows["n"].iloc[[0, -1]].tolist() == [1, 150]  # the database has no more
    row = rows.iloc[5]
    values = np.array([100 * each.scores.precision_at[row["n"] - 1] for each in found])
    low, high = stats.t.interval(0.95, 2, values.mean(), values.std(ddof=1) / np.sqrt(3))
    assert (row["precision"], row["low"], row["high"]) == pytest.approx((values.mean(), low, high), abs=1e-4)
    assert precision_rows(found, last=20)["n"].max() == 20


def test_a_curve_that_is_the_same_for_all_seeds_has_no_interval():
    rows = precision_rows([made_up(0)] * 3)
    assert rows[["low", "high"]].isna().all(axis=None) and rows.equals(precision_rows([made_up(0)]))


def test_recall_goes_up_to_everything():
    rows = recall_rows([made_up(0), made_up(0, bits=32, label="CTRH")])
    assert rows["low"].isna().all()
    for (label, bits), part in rows.groupby(["label", "bits"]):
        assert (label, bits) in {("LSH", 16), ("CTRH", 32)}
        assert part["recall"].is_monotonic_increasing and part["recall"].iloc[-1] == pytest.approx(100)
        assert part["rank"].iloc[[0, -1]].tolist() == [1, 150]
    scores = made_up(0).scores
    first = rows[rows["label"] == "LSH"].iloc[0]
    assert first["precision"] == pytest.approx(100 * scores.curve_precision[0], abs=1e-4)


def test_a_panel_for_each_length_and_a_line_for_each_label():
    rows = precision_rows(
        made_up(seed, bits, label) for bits in (16, 32, 48) for label in ("CTRH", "LSH") for seed in (0, 1)
    )
    fig = plt.figure()
    axes = curve_panels(fig, rows, "n", "N")
    assert [ax.get_title(loc="left") for ax in axes.flat] == ["16 bits", "32 bits", "48 bits", ""]
    assert [line.get_label() for line in axes[0, 1].lines] == ["CTRH", "LSH"]
    part = rows[(rows["bits"] == 32) & (rows["label"] == "LSH")]
    np.testing.assert_array_equal(axes[0, 1].lines[1].get_xydata(), part[["n", "precision"]])
    assert len(axes[0, 1].collections) == 1  # CTRH's band alone
    low, high = axes[0, 0].get_ylim()
    assert 0 <= low < rows["precision"].min() and rows["precision"].max() < high <= 100
    fig.canvas.draw()


def test_every_method_looks_different_without_colours_too():
    for look in (colour, marker, lambda name: line_look(name)["linestyle"]):
        assert len({look(name) for name in METHODS}) == len(METHODS)
    assert line_look("CTRH")["linewidth"] > line_look("WSHRCA")["linewidth"]
    assert marker("something else", 9) == "s"


def test_forest_puts_differences_where_they_belong():
    rows = pd.DataFrame(
        [
            ("ITQ", 16, 2.0, 1.0, 3.0, "better"),
            ("ITQ", 32, 0.1, -1, 1, "undecided"),
            ("LSH", 16, 5, 4, 6, "better"),
        ],
        columns=["over", "bits", "difference", "low", "high", "verdict"],
    )
    fig, ax = plt.subplots()
    forest(ax, rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ITQ", "LSH"]
    intervals, points = ax.collections[0], ax.collections[1]
    np.testing.assert_allclose([path[:, 0] for path in intervals.get_segments()], [[1, 3], [4, 6]])
    np.testing.assert_allclose(points.get_offsets()[:, 0], [2, 5])
    np.testing.assert_allclose(points.get_offsets()[:, 1], [-0.3, 0.7])
    level = ax.collections[3].get_facecolor()[0]
    assert tuple(level) == to_rgba("white") and tuple(points.get_facecolor()[0]) == to_rgba(colour("ITQ"))
    fig.canvas.draw()
