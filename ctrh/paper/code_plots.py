"""Plots of training, codes and retrieval scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ctrh.paper.style import BLUE, RED, colour, marker


def loss_curves(ax: Axes, history: pd.DataFrame, term: str) -> Axes:
    """One term of the loss over the epochs. ``history``: ``epoch`` and a column ``term``, one row an epoch."""
    ax.plot(history["epoch"], history[term], color=BLUE)
    ax.set(xlabel="epoch", title=term.replace("_", " "))
    ax.margins(x=0.02)
    return ax


def bit_balance(ax: Axes, balance: np.ndarray) -> Axes:
    """Share of ones of each bit (K,); the dashed line is ½, where a bit says most."""
    ax.bar(np.arange(len(balance)), balance, 0.9, color=BLUE)
    ax.axhline(0.5, color=RED, linewidth=0.9, linestyle="--")
    ax.set(xlabel="bit", ylabel="share of ones", ylim=(0, 1))
    ax.grid(False, axis="x")
    ax.margins(x=0.01)
    return ax


def bit_correlation(ax: Axes, correlation: np.ndarray) -> AxesImage:
    """Correlation of the bits, (K, K) in [-1, 1]; the image, for a colour bar."""
    image = ax.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.grid(False)
    ax.set(xlabel="bit", ylabel="bit")
    return image


def score_by_bits(ax: Axes, table: pd.DataFrame, name: str = "method") -> Axes:
    """Scores over code lengths, a line for each ``name`` with its interval.

    ``table``: the columns ``name``, ``bits``, ``mean`` and, where there are several seeds, ``low`` and ``high``.
    """
    for number, (label, part) in enumerate(table.groupby(name, sort=False)):
        part = part.sort_values("bits")
        shade = colour(label, number)
        ax.plot(part["bits"], part["mean"], marker=marker(label, number), color=shade, label=label)
        ax.fill_between(part["bits"], part["low"], part["high"], color=shade, alpha=0.15, linewidth=0)
    ax.set(xlabel="bits", ylabel="mAP (%)", xticks=sorted(table["bits"].unique()))
    return ax
