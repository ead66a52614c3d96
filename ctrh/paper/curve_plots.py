"""Figures 4-7: precision at N and precision over recall, all methods, one panel a length; differences; noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrh.paper.style import GREY, colour, line_look, marker


def curve_panels(fig: Figure, rows: pd.DataFrame, x: str, xlabel: str) -> np.ndarray:
    """Precision over the column ``x``, a panel for each length, a line with its band for each label; the axes.

    ``rows`` as those of :mod:`ctrh.paper.curves`, of one data set. The axis of precision is as long as the lines need:
    the band of few seeds can be wider.
    """
    lengths = sorted(rows["bits"].unique())
    axes = fig.subplots(-(-len(lengths) // 2), min(2, len(lengths)), sharex=True, sharey=True, squeeze=False)
    for ax, bits in zip(axes.flat, lengths):
        for label, part in rows[rows["bits"] == bits].groupby("label", sort=False):
            ax.plot(part[x], part["precision"], label=label, **line_look(label))
            ax.fill_between(
                part[x], part["low"], part["high"], color=colour(label), alpha=0.13, linewidth=0, zorder=1
            )
        ax.set_title(f"{bits} bits")
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
    """Differences with their intervals, a group for each method compared with, a line in it for each length.

    ``rows`` as :func:`ctrh.paper.comparisons.differences` gives them, of one data set and metric; hollow: undecided.
    """
    methods, lengths = list(dict.fromkeys(rows["over"])), sorted(rows["bits"].unique())
    offsets = dict(zip(lengths, np.linspace(-0.3, 0.3, len(lengths))))
    for number, bits in enumerate(lengths):
        part = rows[rows["bits"] == bits]
        places = [methods.index(over) + offsets[bits] for over in part["over"]]
        shades = [colour(over) for over in part["over"]]
        ax.hlines(places, part["low"], part["high"], colors=shades, linewidth=1.1)
        faces = [
            "white" if verdict == "undecided" else shade for verdict, shade in zip(part["verdict"], shades)
        ]
        # The first in grey for the legend: shapes are lengths, colours are methods.
        ax.plot([], [], linestyle="", marker="osD^"[number % 4], color=GREY, label=f"{bits} bits")
        ax.scatter(
            part["difference"], places, s=14, marker="osD^"[number % 4], c=faces, edgecolors=shades, zorder=3
        )
    ax.axvline(0, color="black", linewidth=0.8)
    for edge in range(1, len(methods)):
        ax.axhline(edge - 0.5, color="#e6e6e6", linewidth=0.5, zorder=0)
    ax.set(yticks=range(len(methods)), yticklabels=methods, xlabel="difference (points)")
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.grid(False, axis="y")
    return ax


def noise_curves(ax: Axes, rows: pd.DataFrame, ylabel: str) -> Axes:
    """``mean`` over the noise ``rate`` with its interval, a line for each ``label``; a label of a single rate does not
    depend on it and is a horizontal line."""
    for label, part in rows.groupby("label", sort=False):
        part, look = part.sort_values("rate"), line_look(label)
        if part["rate"].nunique() == 1:
            one = part.iloc[0]
            ax.axhline(one["mean"], label=label, **look)
            ax.axhspan(one["low"], one["high"], color=colour(label), alpha=0.15, linewidth=0)
        else:
            ax.plot(part["rate"], part["mean"], label=label, marker=marker(label), **look)
            ax.fill_between(
                part["rate"], part["low"], part["high"], color=colour(label), alpha=0.15, linewidth=0
            )
    ax.set(xlabel="noise rate of the tags", ylabel=ylabel, xticks=sorted(rows["rate"].unique()))
    return ax
