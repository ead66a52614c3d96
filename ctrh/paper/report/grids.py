"""Tables as the page shows them: all in one form, whatever the rows were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.paper.costs import cost_frame
from ctrh.paper.profiles import Profile
from ctrh.paper.tables import wide
from ctrh.paper.tag_tables import statistics_table

ARTICLE_COLUMNS = frozenset({"dataset", "bits", "metric", "mean", "low", "high", "seeds"})
MOST_LINES = 60  # longer ones are data, not reading: the page links to them


class Grid(NamedTuple):
    """``frame``: texts in the form of :func:`ctrh.paper.tables.wide`, index (group, name), columns (whose, head);
    ``styles``: the classes of each column, "measured", "published", "words", "first"."""

    title: str
    frame: pd.DataFrame
    styles: tuple[str, ...]


def grids(rows: pd.DataFrame, profile: Profile, file: str = "") -> list[Grid]:
    """One grid a metric for tables in the article's form, one for any other, none for what is too long to read."""
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
        score = f"mAP@{metric.removeprefix('map_')} (%)"
        title = score if metric.startswith("map_") else metric.replace("_", " ")
        found.append(_grid(wide(table, name, profile), title))
    return found


def _plain(rows: pd.DataFrame) -> Grid:
    """Rows as they are, without groups, the first column as names."""
    name, *heads = (str(column).replace("_", " ").replace("dataset", "data set") for column in rows.columns)
    names, frame = rows.iloc[:, 0].map(_text), rows.iloc[:, 1:].map(_text)
    frame.index = pd.MultiIndex.from_arrays([[""] * len(rows), names], names=["", name])
    whose = ["published" if "published" in head else "" for head in heads]
    frame.columns = pd.MultiIndex.from_arrays([whose, heads])
    return _grid(frame, words=[not pd.api.types.is_numeric_dtype(kind) for kind in rows.dtypes.iloc[1:]])


def _grid(frame: pd.DataFrame, title: str = "", words: Sequence[bool] = ()) -> Grid:
    owners = [whose.partition(" ")[0] for whose in frame.columns.get_level_values(0)]  # "measured (demo)"
    styles = []
    for i, owner in enumerate(owners):
        first = "first" if i > 0 and owner != owners[i - 1] else ""
        styles.append(" ".join(filter(None, [owner, "words" if words and words[i] else "", first])))
    return Grid(title, frame, tuple(styles))


def _text(value: object) -> str:
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if pd.isna(value):
        return ""
    if isinstance(value, (int, np.integer)) or value % 1 == 0:
        return f"{value:,.0f}"
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"
