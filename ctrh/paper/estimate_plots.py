"""The estimates of what the article's experiments take, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ctrh.paper.style import BLUE, ORANGE

UNITS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0, "month": 24 * 30.0}


def hours_of_steps(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Hours of every step, on a logarithmic axis, a mark for each data set.  ``rows``: as of ``estimate_rows``."""
    steps = rows["step"].unique()
    places = np.arange(len(steps))[::-1]
    looks = ((BLUE, "o"), (ORANGE, "s"))
    for (name, part), (colour, marker) in zip(rows.groupby("dataset", sort=False), looks):
        hours = part.set_index("step")["hours"].reindex(steps)
        ax.scatter(hours, places, s=36, color=colour, marker=marker, label=name)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(
        yticks=places,
        yticklabels=steps,
        ylim=(-0.5, len(steps) - 0.5),
        xlabel="hours on this machine, estimated",
    )
    for name, hours in UNITS.items():
        ax.axvline(hours, color="#A6A6A6", linewidth=0.6, linestyle=":", zorder=0)
        ax.text(hours, len(steps) - 0.35, f"a {name}".replace("a hour", "an hour"), fontsize=6, ha="center")
    ax.legend(loc="lower right")
    return ax
