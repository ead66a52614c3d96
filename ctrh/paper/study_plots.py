"""Plots of the studies: what changes are worth, mAP over one setting, mAP against cost, hours of steps."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ctrh.paper.claims import FAILS, HOLDS, OPEN
from ctrh.paper.code_plots import score_by_bits
from ctrh.paper.profiles import Profile
from ctrh.paper.style import BLUE, GREEN, GREY, ORANGE, RED, colour, marker
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
    shades = rows["verdict"].map(SHADES)
    collapsed = rows["note"].fillna("").astype(bool)
    places = _interval_dots(ax, rows, rows["difference"].where(~collapsed), shades, size=16)
    ax.scatter(rows["difference"].where(collapsed), places, s=36, c=shades, marker="X", zorder=3)
    ax.set(yticks=places, yticklabels=rows[name], xlabel="points of mAP")
    return ax


def _interval_dots(
    ax: Axes, rows: pd.DataFrame, values: pd.Series, shades: pd.Series, size: float
) -> np.ndarray:
    """A dot and, from ``low`` to ``high``, a line for each row, the first on top, beside a line at 0; their places."""
    places = np.arange(len(rows))
    ax.axvline(0, color="#262626", linewidth=0.8)
    ax.hlines(places, rows["low"], rows["high"], colors=shades, linewidth=1.3)
    ax.scatter(values, places, s=size, c=shades, zorder=3)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    return places


def sensitivity_panel(ax: Axes, rows: pd.DataFrame, datasets: Sequence[str]) -> Axes:
    """mAP over the values of one parameter, a line with its interval for each of ``datasets``.

    ``rows``: ``parameter`` (one only), ``value``, ``dataset``, ``mean``, ``low``, ``high``, ``chosen`` (ringed: the
    article's value) and ``collapsed`` (marked × where codes did).
    """
    rows = rows.sort_values("value")
    shades = dict(zip(datasets, (BLUE, RED)))
    sns.lineplot(
        rows,
        x="value",
        y="mean",
        hue="dataset",
        style="dataset",
        palette=shades,
        hue_order=datasets,
        style_order=datasets,
        markers=["o", "s"],
        markeredgewidth=0,
        dashes=False,
        ax=ax,
    )
    ax.legend_.remove()
    for dataset, part in rows.groupby("dataset"):
        ax.fill_between(
            part["value"], part["low"], part["high"], color=shades[dataset], alpha=0.15, linewidth=0
        )
    colours = rows["dataset"].map(shades)
    chosen, collapsed = rows["chosen"] > 0, rows["collapsed"] > 0
    ax.scatter(
        rows["value"][chosen],
        rows["mean"][chosen],
        s=60,
        facecolors="none",
        edgecolors=colours[chosen],
        linewidths=1.2,
    )
    ax.scatter(
        rows["value"][collapsed],
        rows["mean"][collapsed],
        s=60,
        marker="x",
        c=colours[collapsed],
        linewidths=1.2,
    )
    ax.set(xlabel=rows["parameter"].iloc[0], xticks=sorted(rows["value"].unique()), ylabel="mAP (%)")
    return ax


def cost_scatter(ax: Axes, rows: pd.DataFrame) -> Axes:
    """mAP against the time to encode a picture; the area of a mark grows with the network's parameters.

    ``rows``: ``backbone``, ``encode_ms``, ``parameters``, ``mean``, ``low``, ``high``.
    """
    names = enumerate(rows["backbone"])
    looks = {name: (colour(name, number), marker(name, number)) for number, name in names}
    shades = {name: shade for name, (shade, _) in looks.items()}
    shapes = {name: shape for name, (_, shape) in looks.items()}
    ax.vlines(
        rows["encode_ms"], rows["low"], rows["high"], colors=rows["backbone"].map(shades), linewidth=1.2
    )
    sns.scatterplot(
        rows,
        x="encode_ms",
        y="mean",
        hue="backbone",
        palette=shades,
        style="backbone",
        markers=shapes,
        size="parameters",
        sizes=(20, 150),
        size_norm=(0, rows["parameters"].max()),
        alpha=0.85,
        linewidth=0,
        legend=False,
        ax=ax,
    )
    for number, row in enumerate(rows.itertuples()):
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
    shades = table["verdict"].map(VERDICT_SHADES)
    places = _interval_dots(ax, table, table["measured"], shades, size=12)
    ax.plot(table["published"], places, "D", color="#262626", markersize=2.6, markerfacecolor="white")
    for verdict, shade in VERDICT_SHADES.items():
        ax.plot([], [], "o-", color=shade, label=verdict)
    ax.plot([], [], "D", color="#262626", markerfacecolor="white", label="published")
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(yticks=places, xlabel="points of mAP (costs: percent)")
    ax.set_yticklabels(
        [textwrap.fill(claim, 82, break_on_hyphens=False) for claim in table["claim"]],
        fontsize=4.8,
        linespacing=1.0,
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
    return ax


def hours_of_steps(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Hours of every step, on a logarithmic axis, a mark for each data set. ``rows``: as of ``estimate_rows``."""
    look = {"hue": "dataset", "style": "dataset", "palette": [BLUE, ORANGE], "markers": ["o", "s"]}
    sns.scatterplot(rows, x="hours", y="step", **look, s=36, linewidth=0, ax=ax)
    steps = rows["step"].nunique()
    ax.set(xscale="log", ylim=(steps - 0.5, -0.5), xlabel="hours on this machine, estimated", ylabel="")
    ax.xaxis.set_major_formatter("{x:g}")
    for name, hours in {"a minute": 1 / 60, "an hour": 1, "a day": 24, "a month": 24 * 30}.items():
        ax.axvline(hours, color="#A6A6A6", linewidth=0.6, linestyle=":", zorder=0)
        ax.text(hours, -0.65, name, fontsize=6, ha="center")
    ax.legend(loc="lower right")
    return ax
