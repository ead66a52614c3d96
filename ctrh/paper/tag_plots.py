"""Plots of tags: how good they are, what the guide infers (Figure 2), what the removal of redundancy does (Figure 3)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ctrh.paper.style import GREEN, clear_ticks, colour


def tag_quality_panels(fig: Figure, rows: pd.DataFrame) -> np.ndarray:
    """Precision, recall and F1 of every kind of tags: a row of panels for each ``dataset``, a column for each
    ``prediction``; the axes.

    ``rows``: ``dataset``, ``tags``, ``prediction``, ``measure``, ``value`` in [0, 1] and ``best``, the value that Eq. (3)
    leaves possible, drawn as a short line over the bar. The users' tags (``prediction`` "user") stand in every panel.
    """
    datasets, kinds = rows["dataset"].unique(), rows["tags"].unique()
    predictions = [prediction for prediction in rows["prediction"].unique() if prediction != "user"]
    axes = fig.subplots(len(datasets), len(predictions), squeeze=False, sharey=True)
    for ax, (dataset, prediction) in zip(axes.flat, product(datasets, predictions)):
        shown = rows[rows["prediction"].isin(["user", prediction]) & (rows["dataset"] == dataset)]
        palette = {kind: colour(kind, number) for number, kind in enumerate(kinds)}
        sns.barplot(shown, x="measure", y="value", hue="tags", palette=palette, saturation=1, ax=ax)
        for bars, (_, group) in zip(ax.containers, shown.groupby("tags", sort=False)):
            ax.bar_label(bars, fmt="{:.2f}", fontsize=5.5, padding=1.5)
            for bar, best in zip(bars, group["best"]):
                ax.hlines(best, bar.get_x(), bar.get_x() + bar.get_width(), color="black", linewidth=0.8)
        ax.set(title=f"{dataset}: {prediction}", xlabel="", ylabel="", ylim=(0, 1.05))
        ax.grid(False, axis="x")
        handles, labels = ax.get_legend_handles_labels()
        ax.get_legend().remove()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return axes


def top_tags_bars(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Figure 3: the most probable tags of a photo, best on top.

    ``rows``: ``rank``, ``tag``, ``probability`` and, optionally, ``right``; wrong tags are hatched and grey.
    """
    rows = rows.sort_values("rank")
    right = rows["right"].to_numpy(dtype=bool) if "right" in rows else np.ones(len(rows), dtype=bool)
    y = np.arange(len(rows))
    bars = ax.barh(y, rows["probability"], 0.72, color=np.where(right, GREEN, "#d9d9d9"))
    for bar, good in zip(bars, right, strict=True):
        if not good:
            bar.set(hatch="////", edgecolor="#8c8c8c", linewidth=0)
    ax.bar_label(bars, fmt="{:.3f}", fontsize=5.5, padding=1.5)
    ax.set(yticks=y, yticklabels=rows["tag"], xlabel="probability")
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
        left, right, shade = column + 0.04, column + 0.92, colour(source, column)
        tags_ax.text(left, -0.1, source, va="center", fontsize=7, weight="bold", color="#262626")
        tags_ax.plot([left, right], [0.42, 0.42], color=shade, linewidth=1.2)
        for row in rows[rows["source"] == source].itertuples():
            look = {"color": "#262626"} if row.right else {"color": "#8c8c8c", "style": "italic"}
            text = row.tag if row.right else f"{row.tag} ×"
            tags_ax.text(left, row.rank, text, va="center", fontsize=6.5, **look)
    return tags_ax
