"""Who asks and what is found: the explorer's rows, for queries that are photos and for queries that are words.

Both kinds are one table, a row for each photo found: ``dataset``, ``query`` (a photo's index, or the words), ``method``,
``bits``, ``rank`` from 1, ``photo`` (index of the photo found), ``distance``, ``relevant``; ``ap`` (the query's average
precision in [0, 1], NaN where it is not known). Indices count all photos of the profile's data set.

Photo queries come out of finished runs. Word queries are supplied by whoever has them, a notebook for example::

    save_text_queries(rows, profile.name)  # the page shows them from its next build on
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctrh.paper.comparisons import nearest, queries_at
from ctrh.paper.outputs import results_dir, save_rows
from ctrh.paper.report.results import TEXT_QUERIES
from ctrh.paper.runs import RunResult

COLUMNS = ["dataset", "query", "method", "bits", "rank", "photo", "distance", "relevant", "ap"]
QUERIES, FOUND = 18, 10


def chosen_queries(judge: RunResult, count: int = QUERIES) -> list[int]:
    """``count`` queries (positions among them) at equal steps from the worst AP by ``judge`` to the best; each once."""
    return list(dict.fromkeys(queries_at(judge.scores, np.linspace(0, 1, count))))


def photo_queries(results: Sequence[RunResult], queries: Sequence[int], found: int = FOUND) -> pd.DataFrame:
    """What some ``queries`` (positions among them) find in each of ``results``."""
    frames = []
    for result in results:
        asked = result.run.task.split.query[list(queries)]
        precision = dict(zip(asked, result.scores.ap_all[list(queries)]))
        rows = nearest(result, queries, found)
        about = {"dataset": result.run.data.name, "method": result.run.method, "bits": result.run.bits}
        frames.append(rows.assign(**about, ap=rows["query"].map(precision))[COLUMNS])
    return pd.concat(frames, ignore_index=True)


def save_text_queries(rows: pd.DataFrame, profile: str) -> Path:
    """Writes ``text_queries.csv`` among the profile's results: word queries for the explorer.

    ``rows``: as the module says, ``query`` the words and ``ap`` optional. Raises ``ValueError`` for rows that the
    page could not show: a column missing, or ranks that are not 1, 2, ... for each query, method and length.
    """
    return save_rows(_checked(rows, "these rows"), TEXT_QUERIES, profile)


def read_text_queries(profile: str) -> pd.DataFrame:
    """The rows that :func:`save_text_queries` left, none where it has not been called. ``ValueError`` for another file."""
    path = results_dir(profile) / f"{TEXT_QUERIES}.csv"
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    return _checked(pd.read_csv(path, dtype={"query": str}, keep_default_na=False, na_values=[""]), str(path))


def _checked(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    rows = rows if "ap" in rows else rows.assign(ap=np.nan)
    if missing := [column for column in COLUMNS if column not in rows]:
        raise ValueError(f"{what} lack {', '.join(missing)}")
    rankings = rows.groupby(["dataset", "query", "method", "bits"], sort=False)["rank"]
    if not (rows["rank"] == rankings.cumcount() + 1).all():
        raise ValueError(f"{what}: ranks must be 1, 2, ... for each data set, query, method and length")
    return rows[COLUMNS].astype({"relevant": bool})
