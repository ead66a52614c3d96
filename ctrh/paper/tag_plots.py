"""Plots of tags: how good they are, what the guide infers (Figure 2), what the removal of redundancy does (Figure 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ctrh.paper.style import GREEN, GREY, RED, clear_ticks, colour

MEASURES = {"precision": "precision", "recall": "recall", "f1": "F1"}


def tag_quality_bars(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Bars of precision, recall and F1 for every kind of tags.

    ``rows``: ``tags``, ``measure`` (precision, recall, f1), ``value`` in [0, 1] and, optionally, ``best``: the value
    that Eq. (3) leaves possible, drawn as a short line over the bar.
    """
    kinds = list(dict.fromkeys(rows["tags"]))
    measures = [measure for measure in MEASURES if measure in set(rows["measure"])]
    width = 0.8 / len(kinds)
    for number, kind in enumerate(kinds):
        part = rows[rows["tags"] == kind].set_index("measure").reindex(measures)
        x = np.arange(len(measures)) + (number - (len(kinds) - 1) / 2) * width
        bars = ax.bar(x, part["value"], 0.92 * width, color=colour(kind, number), label=kind)
        ax.bar_label(bars, fmt="{:.2f}", fontsize=5.5, padding=1.5)
        if "best" in part and part["best"].notna().any():
            ends = width * np.array([[-0.46], [0.46]])
            ax.plot(x + ends, np.tile(part["best"], (2, 1)), color="black", linewidth=0.8)
    ax.set(xticks=range(len(measures)), xticklabels=[MEASURES[each] for each in measures], ylim=(0, 1.05))
    ax.grid(False, axis="x")
    ax.legend(ncols=min(3, len(kinds)), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def tag_quality_panels(fig: Figure, rows: pd.DataFrame) -> np.ndarray:
    """A row of :func:`tag_quality_bars` for each ``dataset``, a column for each ``prediction``, one legend; the axes.

    The users' tags (``prediction`` "user") stand in every panel, to be compared with.
    """
    datasets, predictions = (list(dict.fromkeys(rows[name])) for name in ("dataset", "prediction"))
    predictions = [each for each in predictions if each != "user"]
    axes = fig.subplots(len(datasets), len(predictions), squeeze=False, sharey=True)
    for line, dataset in zip(axes, datasets, strict=True):
        for ax, prediction in zip(line, predictions, strict=True):
            shown = rows["prediction"].isin(["user", prediction]) & (rows["dataset"] == dataset)
            tag_quality_bars(ax, rows[shown]).set_title(f"{dataset}: {prediction}")
            ax.get_legend().remove()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return axes


def top_tags_bars(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Figure 3: the most probable tags of a photo, best on top.

    ``rows``: ``rank``, ``tag``, ``probability`` and, optionally, ``right``; wrong tags are hatched and grey.
    """
    rows = rows.sort_values("rank")
    right = rows["right"].to_numpy(dtype=bool) if "right" in rows else np.ones(len(rows), dtype=bool)
    places = np.arange(len(rows))
    bars = ax.barh(places, rows["probability"], 0.72, color=np.where(right, GREEN, "#d9d9d9"))
    for bar, good in zip(bars, right, strict=True):
        if not good:
            bar.set(hatch="////", edgecolor="#8c8c8c", linewidth=0)
    ax.bar_label(bars, fmt="{:.3f}", fontsize=5.5, padding=1.5)
    ax.set(yticks=places, yticklabels=rows["tag"], xlabel="probability")
    ax.set_xlim(0, 1.22 * rows["probability"].max())
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    return ax


def tag_inference(photo_ax: Axes, tags_ax: Axes, photo: Image.Image, rows: pd.DataFrame) -> Axes:
    """Figure 2 for one photo: its picture, and the tags from every source in columns of ``tags_ax``.

    ``rows``: ``source`` (a column each, in order of appearance), ``rank``, ``tag``, ``right``. Wrong tags are grey, in
    italics and marked ×.
    """
    clear_ticks(photo_ax).imshow(photo)
    sources = list(dict.fromkeys(rows["source"]))
    lines = max(7, int(rows["rank"].max()))
    tags_ax.set(xlim=(0, len(sources)), ylim=(lines + 0.5, -0.6))
    tags_ax.axis("off")
    for column, source in enumerate(sources):
        head = {"fontsize": 7, "weight": "bold", "color": "#262626"}
        tags_ax.text(column + 0.04, -0.1, source, va="center", **head)
        tags_ax.plot(
            [column + 0.04, column + 0.92], [0.42, 0.42], color=colour(source, column), linewidth=1.2
        )
        for row in rows[rows["source"] == source].itertuples():
            look = {"color": "#262626"} if row.right else {"color": "#8c8c8c", "style": "italic"}
            text = row.tag if row.right else f"{row.tag} ×"
            tags_ax.text(column + 0.04, row.rank, text, va="center", fontsize=6.5, **look)
    return tags_ax


def tag_frequencies(ax: Axes, counts: np.ndarray, name: str, number: int = 0) -> Axes:
    """How many photos carry each tag, by rank, both axes logarithmic: a Zipf tail is a straight line.

    ``counts``: (C,) in any order; tags that nobody uses are left out.
    """
    used = np.sort(counts[counts > 0])[::-1]
    ax.loglog(np.arange(1, len(used) + 1), used, color=(RED, GREY)[number % 2], label=name)
    ax.set(xlabel="rank of the tag", ylabel="photos that carry it")
    ax.legend()
    return ax
