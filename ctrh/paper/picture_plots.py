"""Pictures in rows: contact sheets, and what a query finds.

All pictures of a page share one axes, whose unit is a picture's side: a hundred axes take half a minute to lay out and draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from PIL import Image

from ctrh.data.photos import Images
from ctrh.paper.style import GREEN, RED

SIDE = 0.94  # of a picture in its unit square
CAPTION = 5  # points


def tile(
    ax: Axes, picture: Image.Image, column: float, row: float, colour: str = "#bfbfbf", width: float = 0.5
) -> None:
    """``picture`` in the middle of the unit square at (``column``, ``row``), with a frame; rows go down."""
    wide = SIDE * picture.width / max(picture.size)
    high = SIDE * picture.height / max(picture.size)
    left, top = column + (1 - wide) / 2, row + (1 - high) / 2
    ax.imshow(picture, extent=(left, left + wide, top + high, top))
    ax.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=width))


def tiled(ax: Axes, columns: float, rows: float) -> Axes:
    """To be called last: shows so many ``columns`` and ``rows`` of unit squares, and nothing else."""
    ax.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    ax.axis("off")
    return ax


def contact_sheet(
    fig: Figure | SubFigure, pictures: Sequence[Image.Image], captions: Sequence[str] = (), columns: int = 8
) -> Axes:
    """All ``pictures`` in rows of ``columns``, with ``captions`` below where given; the axes."""
    ax = fig.subplots()
    lines = max((1 + caption.count("\n") for caption in captions), default=0)
    square = 72 * fig.bbox.width / fig.figure.dpi / columns  # points
    height = 1 + 1.35 * CAPTION * lines / square
    for i, picture in enumerate(pictures):
        tile(ax, picture, i % columns, i // columns * height)
    for i, caption in enumerate(captions):
        middle, below = i % columns + 0.5, i // columns * height + 1
        ax.text(middle, below, caption, ha="center", va="top", fontsize=CAPTION, linespacing=1.1)
    return tiled(ax, columns, -(-len(pictures) // columns) * height)


def found_tile(ax: Axes, picture: Image.Image, column: float, row: float, relevant: bool) -> None:
    """A picture that a query found; a wrong one has a thick frame and a mark."""
    tile(ax, picture, column, row, GREEN if relevant else RED, 0.8 if relevant else 2.2)
    if not relevant:
        mark = {"boxstyle": "circle,pad=0.12", "facecolor": RED, "linewidth": 0}
        corner = column + 0.9, row + 0.1
        ax.text(*corner, "×", ha="right", va="top", fontsize=8, color="white", bbox=mark)


def retrieval_page(fig: Figure | SubFigure, images: Images, rows: pd.DataFrame) -> Axes:
    """Figure 8: what several queries find by several methods, a strip each: the query, then what was found for it, best
    first; wrong pictures are framed and marked. The axes.

    ``rows`` as :func:`ctrh.paper.comparisons.nearest` gives them; a query is a photo's index, or words.
    """
    ax = fig.subplots()
    strips = list(rows.groupby(["query", "label"], sort=False))
    for line, ((query, label), found) in enumerate(strips):
        if isinstance(query, str):
            ax.text(0.5, line + 0.5, query, ha="center", va="center", fontsize=7)
        else:
            tile(ax, images[query], 0, line, "black", 1.2)
        ax.text(-0.05, line + 0.5, label, rotation=90, ha="right", va="center", fontsize=7)
        for row in found.itertuples():
            found_tile(ax, images[row.photo], row.rank, line, row.relevant)
    return tiled(ax, 1 + int(rows["rank"].max()), len(strips))
