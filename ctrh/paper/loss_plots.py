"""Plots of what teaches: the focal weighting of Eq. (18), attention over tags, the text's targets for codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage


def focal_curves(ax: Axes, rows: pd.DataFrame, value: str = "loss") -> Axes:
    """``value`` over a tag's score, a line for each gamma; shaded where no normalised score can be.

    ``rows``: ``gamma``, ``score``, ``value``.
    """
    for gamma, part in rows.groupby("gamma", sort=True):
        ax.plot(part["score"], part[value], label=f"γ = {gamma:g}")
    low, high = rows["score"].min(), rows["score"].max()
    for left, right in ((low, -1), (1, high)):
        ax.axvspan(left, right, color="#f0f0f0", linewidth=0)
    ax.set(xlabel="score of a tag, Ã", ylabel=value, xlim=(low, high))
    ax.legend()
    return ax


def weight_map(ax: Axes, weights: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> AxesImage:
    """Weights in [0, 1], a cell each with its number; nothing is written where the weight is 0 (not one's own tag)."""
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (line, column), weight in np.ndenumerate(weights):
        if weight:
            shade = "white" if weight > 0.6 else "black"
            ax.text(column, line, f"{weight:.2f}", ha="center", va="center", fontsize=7, color=shade)
    ax.set(xticks=range(len(columns)), xticklabels=columns, yticks=range(len(rows)), yticklabels=rows)
    ax.tick_params(length=0)
    ax.grid(False)
    return image
