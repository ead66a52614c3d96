"""Retrieval scores over code lengths."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from ctrh.paper.style import colour, marker


def score_by_bits(ax: Axes, table: pd.DataFrame, name: str = "method") -> Axes:
    """Scores over code lengths, a line for each ``name`` with its interval.

    ``table``: the columns ``name``, ``bits``, ``mean`` and, where there are several seeds, ``low`` and ``high``.
    """
    for number, (label, line) in enumerate(table.groupby(name, sort=False)):
        line = line.sort_values("bits")
        shade = colour(label, number)
        ax.plot(line["bits"], line["mean"], marker=marker(label, number), color=shade, label=label)
        ax.fill_between(line["bits"], line["low"], line["high"], color=shade, alpha=0.15, linewidth=0)
    ax.set(xlabel="bits", ylabel="mAP (%)", xticks=sorted(table["bits"].unique()))
    return ax
