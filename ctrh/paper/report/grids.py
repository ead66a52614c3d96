"""Tables as the page shows them: heads, groups of lines, and cells that know whose number they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctrh.paper.costs import cost_frame
from ctrh.paper.profiles import Profile
from ctrh.paper.tables import wide
from ctrh.paper.tag_tables import statistics_table

ARTICLE_COLUMNS = frozenset({"dataset", "bits", "metric", "mean", "low", "high", "seeds"})
# Longer ones are data, not reading: the page links to them.
MOST_LINES = 60


@dataclass(frozen=True)
class Cell:
    """``owner``: "measured", "published" or "" (a table that has no such difference); ``words``: not a number."""

    text: str
    owner: str = ""
    best: bool = False
    words: bool = False

    @property
    def style(self) -> str:
        return f"{self.owner}{' words' * self.words}"


@dataclass(frozen=True)
class Group:
    """Lines under a common heading (``title``, "" for none): the name of each and its cells."""

    title: str
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Grid:
    """``title``: which metric this is; ``owners``: (name, columns that it spans); ``heads``: of all columns, the first
    the names' own.
    """

    title: str
    owners: tuple[tuple[Cell, int], ...]
    heads: tuple[str, ...]
    groups: tuple[Group, ...]


def grids(rows: pd.DataFrame, profile: Profile, file: str = "") -> list[Grid]:
    """One grid a metric for tables in the article's form, one for any other; none for what is too long to be read.

    ``file``: whose rows these are; costs and statistics have forms of their own.
    """
    if file == "table3":
        return [_framed(cost_frame(rows, profile))]
    if file == "tag_statistics":
        return [_plain(statistics_table(rows).reset_index())]
    name = rows.columns[0]
    keys = [name, "dataset", "bits", "metric"]
    if ARTICLE_COLUMNS <= set(rows.columns) and not rows.duplicated(keys).any():
        parts = rows.groupby("metric", sort=False)
        return [_framed(wide(part, name, profile), metric_title(metric)) for metric, part in parts]
    return [_plain(rows)] if 0 < len(rows) <= MOST_LINES else []


def _framed(frame: pd.DataFrame, title: str = "") -> Grid:
    """A frame as :func:`ctrh.paper.tables.wide` makes it: index (group, name), columns (owner, head), cells of text."""
    owners = ["published" if who == "published" else "measured" for who, _ in frame.columns]
    who = frame.columns.get_level_values(0)
    spans = tuple((Cell(each, owners[list(who).index(each)]), list(who).count(each)) for each in who.unique())
    groups = []
    for data, part in frame.groupby(level=0, sort=False):
        lines = [
            (
                label,
                tuple(
                    Cell(text.strip("*"), owner, text.startswith("*")) for text, owner in zip(line, owners)
                ),
            )
            for (_, label), line in zip(part.index, part.to_numpy())
        ]
        groups.append(Group(str(data), tuple(lines)))
    return Grid(title, spans, (frame.index.names[1], *frame.columns.get_level_values(1)), tuple(groups))


def _plain(rows: pd.DataFrame) -> Grid:
    owners = ["published" if "published" in str(column) else "" for column in rows.columns]
    words = [not pd.api.types.is_numeric_dtype(rows[column]) for column in rows]
    lines = []
    for line in rows.itertuples(index=False):
        cells = [Cell(_text(value), owner, words=word) for value, owner, word in zip(line, owners, words)]
        lines.append((cells[0].text, tuple(cells[1:])))
    heads = tuple(str(column).replace("_", " ").replace("dataset", "data set") for column in rows.columns)
    return Grid("", (), heads, (Group("", tuple(lines)),))


def metric_title(metric: str) -> str:
    """What a metric of the rows is called on the page: "map_1000" -> "mAP@1000 (%)"."""
    return f"mAP@{metric.removeprefix('map_')} (%)" if metric.startswith("map_") else metric.replace("_", " ")


def _text(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return ""
        return (
            f"{value:,.0f}"
            if value == round(value)
            else f"{value:,.3g}"
            if abs(value) < 100
            else f"{value:,.1f}"
        )
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
        return f"{value:,}"
    return str(value)
