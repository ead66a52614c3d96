"""Tables as the page shows them: all in one form, whatever the rows were."""

from __future__ import annotations

from collections.abc import Sequence
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
class Grid:
    """``frame``: texts in the form of :func:`ctrh.paper.tables.wide`, index (group, name), columns (whose, head).

    ``title``: which metric this is; ``styles``: the classes of each column, "measured", "published", "words", "first".
    """

    title: str
    frame: pd.DataFrame
    styles: tuple[str, ...]


def grids(rows: pd.DataFrame, profile: Profile, file: str = "") -> list[Grid]:
    """One grid a metric for tables in the article's form, one for any other; none for what is too long to be read.

    ``file``: whose rows these are; costs and statistics have forms of their own.
    """
    if file == "table3":
        return [_grid(cost_frame(rows, profile))]
    if file == "tag_statistics":
        return [_plain(statistics_table(rows).reset_index())]
    name = rows.columns[0]
    keys = [name, "dataset", "bits", "metric"]
    if not ARTICLE_COLUMNS <= set(rows.columns) or rows.duplicated(keys).any():
        return [_plain(rows)] if 0 < len(rows) <= MOST_LINES else []
    found = []
    for metric, table in rows.groupby("metric", sort=False):
        title = (
            f"mAP@{metric.removeprefix('map_')} (%)"
            if metric.startswith("map_")
            else metric.replace("_", " ")
        )
        found.append(_grid(wide(table, name, profile), title))
    return found


def _plain(rows: pd.DataFrame) -> Grid:
    """Rows as they are, without groups, the first column as names."""
    name, *heads = (str(column).replace("_", " ").replace("dataset", "data set") for column in rows.columns)
    texts = rows.map(_text)
    frame = texts.iloc[:, 1:]
    frame.index = pd.MultiIndex.from_arrays([[""] * len(rows), texts.iloc[:, 0]], names=["", name])
    whose = ["published" if "published" in head else "" for head in heads]
    frame.columns = pd.MultiIndex.from_arrays([whose, heads])
    return _grid(frame, words=[not pd.api.types.is_numeric_dtype(kind) for kind in rows.dtypes.iloc[1:]])


def _grid(frame: pd.DataFrame, title: str = "", words: Sequence[bool] = ()) -> Grid:
    owners = [whose.partition(" ")[0] for whose in frame.columns.get_level_values(0)]  # "measured (demo)"
    styles = []
    for i, owner in enumerate(owners):
        first = i > 0 and owner != owners[i - 1]
        style = [owner, "words" if words and words[i] else "", "first" if first else ""]
        styles.append(" ".join(filter(None, style)))
    return Grid(title, frame, tuple(styles))


def _text(value: object) -> str:
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if pd.isna(value):
        return ""
    if isinstance(value, (int, np.integer)) or value % 1 == 0:
        return f"{value:,.0f}"
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"
