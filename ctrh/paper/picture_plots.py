"""Pictures in rows (contact sheets, what a query finds), and their tags (Figures 2 and 3).

All pictures of a page share one axes, whose unit is a picture's side: a hundred axes take half a minute to lay out and draw.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from ctrh.data.photos import Photos
from ctrh.paper.style import GREEN, RED, clear_ticks, colour

SIDE = 0.94  # of a picture in its unit square
CAPTION = 5  # points
HEIGHT = 1.17  # of a strip: a picture and a line of words


def tile(
    ax: Axes, picture: Image.Image, column: float, row: float, colour: str = "#bfbfbf", width: float = 0.5
) -> None:
    """``picture`` in the middle of the unit square at (``column``, ``row``), with a frame; rows go down."""
    wide, high = (SIDE * side / max(picture.size) for side in picture.size)
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


def retrieval_page(fig: Figure | SubFigure, photos: Photos, rows: pd.DataFrame) -> Axes:
    """Figure 8: a strip for each query (a photo's index, or words) and method, best first; wrong pictures are framed and
    marked. Below stand a photo query's labels, and those that an answer shares with it.
    ``rows``: of :func:`ctrh.paper.comparisons.nearest`."""
    ax = fig.subplots()
    strips = list(rows.groupby(["query", "label"], sort=False))
    mark = {"boxstyle": "circle,pad=0.12", "facecolor": RED, "linewidth": 0}
    labels = np.asarray(photos.labels, dtype=bool)
    for number, ((query, label), found) in enumerate(strips):
        line, asked = HEIGHT * number, np.ones(labels.shape[1], dtype=bool)
        if isinstance(query, str):
            ax.text(0.5, line + 0.5, query, ha="center", va="center", fontsize=7)
        else:
            asked = labels[query]
            tile(ax, photos.images[query], 0, line, "black", 1.2)
            _below(ax, photos, asked, 0, line)
        ax.text(-0.05, line + 0.5, label, rotation=90, ha="right", va="center", fontsize=7)
        for row in found.itertuples():
            tile(ax, photos.images[row.photo], row.rank, line, *((GREEN, 0.8) if row.relevant else (RED, 2.2)))
            if not isinstance(query, str):
                _below(ax, photos, asked & labels[row.photo], row.rank, line)
            if not row.relevant:
                cross = {"ha": "right", "va": "top", "fontsize": 8, "color": "white", "bbox": mark}
                ax.text(row.rank + 0.9, line + 0.1, "×", **cross)
    return tiled(ax, 1 + int(rows["rank"].max()), HEIGHT * len(strips))


def _below(ax: Axes, photos: Photos, shown: np.ndarray, column: float, row: float) -> None:
    words = textwrap.shorten(", ".join(np.asarray(photos.label_names)[shown]), 17, placeholder=" …")
    ax.text(column + 0.5, row + 0.98, words, ha="center", va="top", fontsize=CAPTION)


def top_tags_bars(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Figure 3: the most probable tags of a photo (``rank``, ``tag``, ``probability``), best on top; where
    ``right`` is known, wrong ones are hatched and grey."""
    rows = rows.sort_values("rank")
    right = rows["right"].to_numpy(dtype=bool) if "right" in rows else np.ones(len(rows), dtype=bool)
    y = np.arange(len(rows))
    bars = ax.barh(y, rows["probability"], 0.72, color=np.where(right, GREEN, "#d9d9d9"))
    for i in np.flatnonzero(~right):
        bars[i].set(hatch="////", edgecolor="#8c8c8c", linewidth=0)
    for number in ax.bar_label(bars, fmt="{:.3f}", fontsize=5.5, padding=1.5):
        number.set_bbox({"facecolor": "white", "linewidth": 0, "pad": 0.4})  # a line may pass behind it
    limits = (0, 1.22 * rows["probability"].max())
    ax.set(yticks=y, yticklabels=rows["tag"], xlabel="probability", xlim=limits)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    return ax


def right_and_wrong(fig: Figure | SubFigure) -> None:
    """The legend of :func:`top_tags_bars`."""
    patches = [
        Patch(facecolor=GREEN, label="true of the picture"),
        Patch(facecolor="#d9d9d9", edgecolor="#8c8c8c", hatch="////", linewidth=0, label="not true"),
    ]
    fig.legend(handles=patches, loc="outside upper right", ncols=2)


def tag_inference(photo_ax: Axes, tags_ax: Axes, photo: Image.Image, rows: pd.DataFrame) -> Axes:
    """Figure 2 for one photo: its picture, and the tags from every source in columns of ``tags_ax``; wrong
    ones are grey, in italics and marked ×. ``rows``: of :func:`ctrh.paper.tag_tables.inference_rows`."""
    clear_ticks(photo_ax).imshow(photo)
    sources = list(dict.fromkeys(rows["source"]))
    lines = max(7, int(rows["rank"].max()))
    tags_ax.set(xlim=(0, len(sources)), ylim=(lines + 0.5, -0.6))
    tags_ax.axis("off")
    for column, source in enumerate(sources):
        left, right, shade = column + 0.04, column + 0.92, colour(source, column)
        tags_ax.text(left, -0.1, source, va="center", fontsize=7, weight="bold", color="#262626")
        tags_ax.plot([left, right], [0.42, 0.42], color=shade, linewidth=1.2)
        for row in rows[rows["source"] == source].itertuples():
            look = {"color": "#262626"} if row.right else {"color": "#8c8c8c", "style": "italic"}
            text = row.tag if row.right else f"{row.tag} ×"
            tags_ax.text(left, row.rank, text, va="center", fontsize=6.5, **look)
    return tags_ax
