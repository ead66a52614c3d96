"""Figures 4-7: precision at N and precision over recall, their rows and their panels; differences with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrh.paper.runs import RunResult
from ctrh.paper.statistics import half_width, seeds_that_differ
from ctrh.paper.style import GREY, colour, line_look

# Points of a curve that is drawn: more would not be seen, and every one is a row of the figure's CSV.
POINTS = 80


def precision_rows(results: Iterable[RunResult], last: int = 1000) -> pd.DataFrame:
    """Precision at N = 1 ... ``last`` in percent, a row for each drawn point; ``low`` and ``high`` bound it
    with 95 % confidence over seeds alone, since a run keeps no curve of a single query (NaN for one seed)."""

    def curve(result: RunResult) -> dict[str, np.ndarray]:
        scores = result.scores
        shown = drawn(np.searchsorted(scores.ns, min(last, scores.curve_ranks[-1]), side="right"))
        return {"n": scores.ns[shown], "precision": 100 * scores.precision_at[shown]}

    return _over_seeds(results, curve).astype({"n": int})


def recall_rows(results: Iterable[RunResult]) -> pd.DataFrame:
    """As :func:`precision_rows`, over ``recall`` by Hamming ranking (its mean over seeds at a ``rank``)."""

    def curve(result: RunResult) -> dict[str, np.ndarray]:
        scores = result.scores
        shown = drawn(len(scores.curve_ranks))
        recall, precision = 100 * scores.curve_recall[shown], 100 * scores.curve_precision[shown]
        return {"rank": scores.curve_ranks[shown], "recall": recall, "precision": precision}

    return _over_seeds(results, curve).astype({"rank": int})


def drawn(count: int) -> np.ndarray:
    """Which of ``count`` points of a curve are drawn: the first, the last, and more at the steep start."""
    share = np.linspace(0, 1, POINTS) ** 1.5
    return np.unique((share * (count - 1)).round().astype(int))


def _over_seeds(
    results: Iterable[RunResult], curve: Callable[[RunResult], dict[str, np.ndarray]]
) -> pd.DataFrame:
    """The mean over seeds of the named (P,) arrays of ``curve``, and bounds of the one called "precision"."""
    found: dict[tuple[str, str, int], list[dict[str, np.ndarray]]] = {}
    for result in results:
        run = result.run
        found.setdefault((run.data.name, run.label or run.method, run.bits), []).append(curve(result))
    frames = []
    for key, curves in found.items():
        points = pd.DataFrame({name: np.mean([x[name] for x in curves], axis=0) for name in curves[0]})
        seeds = seeds_that_differ(np.stack([x["precision"] for x in curves]))  # (S, P)
        half = half_width(seeds.std(axis=0, ddof=min(1, len(seeds) - 1)), len(seeds))
        points = points.assign(low=points["precision"] - half, high=points["precision"] + half)
        frames.append(points.round(4).assign(**dict(zip(("dataset", "label", "bits"), key, strict=True))))
    rows = pd.concat(frames, ignore_index=True)
    return rows[["dataset", "label", "bits", *rows.columns.drop(["dataset", "label", "bits"])]]


def banded(ax: Axes, rows: pd.DataFrame, x: str, y: str) -> Axes:
    """``y`` over ``x``, a line for each ``label``; those of CTRH with a band from ``low`` to ``high``: nine would drown them."""
    for label, line in rows.groupby("label", sort=False):
        ax.plot(line[x], line[y], label=label, **line_look(label))
        if label.startswith("CTRH"):
            ax.fill_between(line[x], line["low"], line["high"], color=colour(label), alpha=0.14, linewidth=0)
    return ax


def curve_panels(fig: Figure, rows: pd.DataFrame, x: str, xlabel: str) -> np.ndarray:
    """Precision over the column ``x`` of one data set, a panel for each length, cut to what the lines need."""
    lengths = sorted(rows["bits"].unique())
    axes = fig.subplots(-(-len(lengths) // 2), min(2, len(lengths)), sharex=True, sharey=True, squeeze=False)
    for ax, bits in zip(axes.flat, lengths):
        banded(ax, rows[rows["bits"] == bits], x, "precision").set_title(f"{bits} bits")
        ax.margins(x=0.01)
    low, high = rows["precision"].min(), rows["precision"].max()
    space = 0.05 * (high - low) + 0.5
    axes[0, 0].set_ylim(max(0, low - space), min(100, high + space))
    for ax in axes.flat[len(lengths) :]:
        ax.axis("off")
    fig.supxlabel(xlabel, fontsize=7.5)
    fig.supylabel("precision (%)", fontsize=7.5)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, handlelength=2.6)
    return axes


def forest(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Rows of :func:`ctrh.paper.effects.differences` of one data set and metric with their intervals, a group
    for each method compared with, a line in it for each length; hollow: undecided."""
    methods, lengths = list(dict.fromkeys(rows["over"])), sorted(rows["bits"].unique())
    for number, bits in enumerate(lengths):
        part, shape = rows[rows["bits"] == bits], "osD^"[number % 4]
        offset = np.linspace(-0.3, 0.3, len(lengths))[number]
        places = [methods.index(over) + offset for over in part["over"]]
        shades = part["over"].map(colour)
        ax.hlines(places, part["low"], part["high"], colors=shades, linewidth=1.1)
        faces = shades.where(part["verdict"] != "undecided", "white")
        ax.scatter(part["difference"], places, s=14, marker=shape, c=faces, edgecolors=shades, zorder=3)
        # In grey for the legend: shapes are lengths, colours are methods.
        ax.plot([], [], shape, color=GREY, label=f"{bits} bits")
    ax.axvline(0, color="black", linewidth=0.8)
    places = {"yticks": range(len(methods)), "yticklabels": methods, "ylim": (len(methods) - 0.5, -0.5)}
    ax.set(**places, xlabel="difference (points)")
    ax.grid(False, axis="y")
    return ax
