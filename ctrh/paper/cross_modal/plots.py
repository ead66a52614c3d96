"""Plots of the cross-modal study: what masking saves, what words find, what photos find."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrh.data.photos import Images
from ctrh.paper.picture_plots import found_tile, tiled
from ctrh.paper.style import BLUE, GREEN, GREY, RED, clear_ticks


def speed_bars(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Time of a training step at each masking ratio, in percent of an unmasked one, of one tower's ``rows`` of
    :func:`ctrh.paper.cross_modal.speed.speed_rows`; the dashed line is what a cost in proportion to the patches would be.
    """
    places = np.arange(len(rows))
    share = 100 / rows["speedup"].to_numpy()
    ax.bar(places, share, 0.6, color=BLUE)
    for place, height, factor in zip(places, share, rows["speedup"]):
        ax.text(place, height + 1.5, f"{factor:.1f}×", ha="center", va="bottom", fontsize=7)
    patches = rows["patches"].to_numpy()
    ax.plot(places, 100 * (1 + patches) / (1 + patches[0]), "--", color=RED, linewidth=0.9)
    ax.set(xticks=places, xticklabels=[f"{100 * ratio:.0f} %" for ratio in rows["ratio"]], ylim=(0, 115))
    ax.set(xlabel="hidden patches", ylabel="time of a step (%)", title=rows["tower"].iloc[0])
    ax.grid(False, axis="x")
    return ax


def word_page(fig: Figure, images: Images, rows: pd.DataFrame) -> Axes:
    """What words find: a line for each ``query`` and ``method`` of ``rows`` (:func:`word_answers`), best first; the axes.

    Wrong pictures are framed and marked.
    """
    ax = fig.subplots()
    strips = list(rows.groupby(["query", "method"], sort=False))
    for line, ((query, method), part) in enumerate(strips):
        ax.text(0.5, line + 0.5, f"{query}\n({method})", ha="center", va="center", fontsize=7)
        for row in part.itertuples():
            found_tile(ax, images[row.photo], row.rank, line, row.relevant)
    return tiled(ax, 1 + int(rows["rank"].max()), len(strips))


def text_page(fig: Figure, images: Images, rows: pd.DataFrame, width: int = 95) -> np.ndarray:
    """What photos find: each ``query`` beside the texts of ``rows`` (:func:`text_answers`), best first; the axes.

    Right texts are marked ✓, wrong ones ×; what is longer than ``width`` letters is cut.
    """
    queries = list(rows.groupby("query", sort=False))
    axes = fig.subplots(len(queries), 2, width_ratios=(1, 6), squeeze=False)
    for (picture, texts), (query, part) in zip(axes, queries, strict=True):
        clear_ticks(picture).imshow(images[query])
        texts.axis("off")
        for row in part.itertuples():
            height = 1 - (row.rank - 0.5) / len(part)
            mark, shade = ("✓", GREEN) if row.relevant else ("×", RED)
            look = {"transform": texts.transAxes, "va": "center", "fontsize": 7}
            texts.text(0.0, height, mark, color=shade, **look)
            texts.text(0.025, height, f"{row.distance}", color=GREY, **look)
            texts.text(0.06, height, textwrap.shorten(row.text, width, placeholder=" …"), **look)
    return axes
