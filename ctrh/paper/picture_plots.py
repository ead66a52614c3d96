"""Pictures in rows: contact sheets, and what a query finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from ctrh.data.photos import Images
from ctrh.paper.style import GREEN, RED, clear_ticks


def contact_sheet(
    fig: Figure | SubFigure, pictures: Sequence[Image.Image], captions: Sequence[str] = (), columns: int = 8
) -> np.ndarray:
    """All ``pictures`` in rows of ``columns``, with ``captions`` below where given; the axes."""
    rows = -(-len(pictures) // columns)
    axes = fig.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(pictures) :]:
        ax.axis("off")
    for ax, picture in zip(axes.flat, pictures, strict=False):
        clear_ticks(ax).imshow(picture)
    for ax, caption in zip(axes.flat, captions, strict=False):
        ax.set_xlabel(caption, fontsize=5, labelpad=1.5, linespacing=1.1)
    return axes


def retrieval_strip(
    axes: Sequence[Axes],
    query: Image.Image,
    found: Sequence[Image.Image],
    relevant: Sequence[bool],
    name: str = "",
) -> None:
    """Figure 8, one row: the query, then what was found for it, best first; wrong pictures are framed and marked.

    ``axes``: one more than ``found``. ``name``: whose ranking this is, written beside the query.
    """
    if len(axes) != len(found) + 1 or len(found) != len(relevant):
        raise ValueError(f"{len(axes)} axes for a query and {len(found)} pictures, {len(relevant)} judged")
    clear_ticks(axes[0]).imshow(query)
    axes[0].set_ylabel(name, fontsize=7)
    axes[0].spines[:].set(color="black", linewidth=1.2)
    for ax, picture, right in zip(axes[1:], found, relevant, strict=True):
        clear_ticks(ax).imshow(picture)
        ax.spines[:].set(color=GREEN if right else RED, linewidth=0.8 if right else 2.2)
        if not right:
            ax.text(
                0.93,
                0.93,
                "×",
                transform=ax.transAxes,
                ha="right",
                va="top",
                fontsize=8,
                color="white",
                bbox={"boxstyle": "circle,pad=0.12", "facecolor": RED, "linewidth": 0},
            )


def retrieval_page(fig: Figure | SubFigure, images: Images, rows: pd.DataFrame) -> np.ndarray:
    """What several queries find by several methods, a strip each; the axes.

    ``rows`` as :func:`ctrh.paper.comparisons.nearest` gives them, of as many photos for every query and label.
    """
    strips = list(rows.groupby(["query", "label"], sort=False))
    axes = fig.subplots(len(strips), 1 + int(rows["rank"].max()), squeeze=False)
    for line, ((query, label), part) in zip(axes, strips, strict=True):
        found = [images[photo] for photo in part["photo"]]
        retrieval_strip(line, images[query], found, part["relevant"], label)
    return axes
