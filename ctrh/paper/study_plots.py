"""Plots of the studies: what changes are worth, mAP over one setting, mAP against cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ctrh.paper.claims import FAILS, HOLDS, OPEN
from ctrh.paper.code_plots import score_by_bits
from ctrh.paper.profiles import Profile
from ctrh.paper.style import BLUE, GREEN, GREY, RED, colour, marker
from ctrh.paper.tables import score_titles

VERDICT_SHADES = {HOLDS: GREEN, FAILS: RED, OPEN: GREY}
SHADES = {"better": GREEN, "worse": RED, "undecided": GREY}


def table_curves(fig: Figure, tables: Mapping[int, pd.DataFrame], name: str, profile: Profile) -> np.ndarray:
    """Tables of the article as curves over code lengths: a row a table, a column a data set, one legend; the axes.

    ``name``: what the tables compare, a column.
    """
    datasets = [each.data.name for each in profile.datasets]
    axes = fig.subplots(len(tables), len(datasets), squeeze=False)
    for line, table in zip(axes, tables.values(), strict=True):
        for ax, dataset in zip(line, datasets, strict=True):
            part = table[table["dataset"] == dataset]
            title = score_titles(profile)[part["metric"].iloc[0]].split(" ")[0]
            score_by_bits(ax, part, name).set(title=dataset, ylabel=f"{title} (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=4)
    return axes


def effect_dots(ax: Axes, rows: pd.DataFrame, name: str = "label") -> Axes:
    """A dot for each change with its interval; green and red where that leaves out 0, × where codes collapsed.

    ``rows``: ``name``, ``difference``, ``low``, ``high`` (NaN: a dot alone), ``verdict``, ``note``; first on top.
    """
    places = np.arange(len(rows))
    ax.axvline(0, color="#262626", linewidth=0.8)
    for place, row in zip(places, rows.itertuples()):
        shade, shape = SHADES[row.verdict], "X" if row.note else "o"
        if row.low == row.low:
            ax.plot([row.low, row.high], [place, place], color=shade, linewidth=1.3)
        ax.plot(row.difference, place, shape, color=shade, markersize=6 if row.note else 4)
    ax.set(yticks=places, yticklabels=rows[name], xlabel="points of mAP", ylim=(len(rows) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    return ax


def sensitivity_panel(ax: Axes, rows: pd.DataFrame, datasets: Sequence[str]) -> Axes:
    """mAP over the values of one parameter, a line with its interval for each of ``datasets``.

    ``rows``: ``parameter`` (one only), ``value``, ``dataset``, ``mean``, ``low``, ``high``, ``chosen`` (ringed: the
    article's value) and ``collapsed`` (marked × where codes did).
    """
    for number, dataset in enumerate(datasets):
        part = rows[rows["dataset"] == dataset].sort_values("value")
        shade = (BLUE, RED)[number % 2]
        ax.plot(part["value"], part["mean"], marker="os"[number % 2], color=shade, label=dataset)
        ax.fill_between(part["value"], part["low"], part["high"], color=shade, alpha=0.15, linewidth=0)
        for which, look in (
            ("chosen", {"marker": "o", "s": 60, "facecolors": "none"}),
            ("collapsed", {"marker": "x", "s": 60}),
        ):
            marked = part[part[which] > 0]
            ax.scatter(marked["value"], marked["mean"], color=shade, linewidths=1.2, zorder=3, **look)
    ax.set(xlabel=rows["parameter"].iloc[0], xticks=sorted(rows["value"].unique()), ylabel="mAP (%)")
    return ax


def cost_scatter(ax: Axes, rows: pd.DataFrame) -> Axes:
    """mAP against the time to encode a picture; the area of a mark grows with the network's parameters.

    ``rows``: ``backbone``, ``encode_ms``, ``parameters``, ``mean``, ``low``, ``high``.
    """
    largest = rows["parameters"].max()
    for number, row in enumerate(rows.itertuples()):
        shade = colour(row.backbone, number)
        if row.low == row.low:
            ax.plot([row.encode_ms] * 2, [row.low, row.high], color=shade, linewidth=1.2)
        area = 20 + 130 * row.parameters / largest
        shape = marker(row.backbone, number)
        ax.scatter(row.encode_ms, row.mean, s=area, color=shade, marker=shape, alpha=0.85, linewidths=0)
        label = f"{row.backbone}, {row.parameters / 1e6:.1f} M"
        # In turn above and below, so that neighbours do not write over each other.
        top = number % 2 == 0
        end = (max if top else min)(each for each in (row.mean, row.low, row.high) if each == each)
        place = {"xytext": (0, 8 if top else -8), "ha": "center", "va": "bottom" if top else "top"}
        ax.annotate(label, (row.encode_ms, end), textcoords="offset points", fontsize=6, **place)
    ax.set(xscale="log", xlabel="ms to encode a picture", ylabel="mAP (%)")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.margins(x=0.25, y=0.2)
    return ax


def claim_dots(ax: Axes, table: pd.DataFrame) -> Axes:
    """Every claim's measured value with its interval, coloured by verdict, and the article's own as a diamond.

    ``table``: ``claim``, ``published``, ``measured``, ``low``, ``high``, ``verdict``; first on top, the scale is linear
    within one point and logarithmic beyond.
    """
    places = np.arange(len(table))
    ax.axvline(0, color="#262626", linewidth=0.8)
    for place, row in zip(places, table.itertuples()):
        shade = VERDICT_SHADES[row.verdict]
        if row.low == row.low:
            ax.plot([row.low, row.high], [place, place], color=shade, linewidth=1.3)
        ax.plot(row.measured, place, "o", color=shade, markersize=3.5)
    ax.plot(table["published"], places, "D", color="#262626", markersize=2.6, markerfacecolor="white")
    for verdict, shade in VERDICT_SHADES.items():
        ax.plot([], [], "o-", color=shade, label=verdict)
    ax.plot([], [], "D", color="#262626", markerfacecolor="white", label="published")
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(yticks=places, ylim=(len(table) - 0.5, -0.5), xlabel="points of mAP (costs: percent)")
    ax.set_yticklabels(
        [textwrap.fill(claim, 82, break_on_hyphens=False) for claim in table["claim"]],
        fontsize=4.8,
        linespacing=1.0,
    )
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
    return ax
