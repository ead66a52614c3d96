"""Retrieval scores over code lengths, and what changes are worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrh.paper.style import GREEN, GREY, RED, colour, marker

# Of differences, and of claims.
SHADES = {"better": GREEN, "worse": RED, "undecided": GREY, "holds": GREEN, "does not hold": RED}


def score_by_bits(ax: Axes, table: pd.DataFrame, name: str = "method") -> Axes:
    """Scores (``mean``) over ``bits``, a line for each ``name`` with intervals from ``low`` to ``high``, side by side so that
    lines that coincide are seen."""
    lines = list(table.groupby(name, sort=False))
    for number, (label, line) in enumerate(lines):
        line = line.sort_values("bits")
        x = line["bits"] + (number - (len(lines) - 1) / 2)
        errors = (line["mean"] - line["low"], line["high"] - line["mean"])
        look = {"marker": marker(label, number), "color": colour(label, number), "label": label}
        ax.errorbar(x, line["mean"], errors, markersize=3, linewidth=1, elinewidth=0.8, **look)
    ax.set(xlabel="bits", ylabel="mAP (%)", xticks=sorted(table["bits"].unique()))
    return ax


def table_curves(fig: Figure, tables: Mapping[int, pd.DataFrame], name: str) -> np.ndarray:
    """The article's tables as :func:`score_by_bits`: a row a table, a column a data set; the axes."""
    datasets = next(iter(tables.values()))["dataset"].unique()
    axes = fig.subplots(len(tables), len(datasets), squeeze=False)
    for line, table in zip(axes, tables.values(), strict=True):
        title = "mAP@" + table["metric"].iloc[0].removeprefix("map_")
        for ax, dataset in zip(line, datasets, strict=True):
            score_by_bits(ax, table[table["dataset"] == dataset], name).set(
                title=dataset, ylabel=f"{title} (%)"
            )
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return axes


def effect_dots(ax: Axes, rows: pd.DataFrame, name: str = "label") -> Axes:
    """A dot and interval for each of :func:`ctrh.paper.effects.effects`, by verdict; × where codes collapsed."""
    for place, row in enumerate(rows.itertuples()):
        shade = SHADES[row.verdict]
        ax.plot([row.low, row.high], [place, place], color=shade, linewidth=1.3)
        ax.plot(row.difference, place, "X" if row.note else "o", color=shade, markersize=4)
    ax.axvline(0, color="#262626", linewidth=0.8)
    places = {"yticks": range(len(rows)), "yticklabels": rows[name], "ylim": (len(rows) - 0.5, -0.5)}
    ax.set(**places, xlabel="points of mAP")
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    return ax
