"""The runs of Tables 1 and 2, whether the order is the article's, and what a query finds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from ctrh.methods.registry import references
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, make_run
from ctrh.retrieval.codes import pack
from ctrh.retrieval.metrics import Scores
from ctrh.retrieval.search import HammingIndex


def comparison_runs(profile: Profile) -> list[Run]:
    """Tables 1 and 2: the profile's methods and the references, on all data sets, lengths and seeds."""
    grid = product(profile.datasets, (*profile.methods, *references()), profile.bits, profile.seeds)
    return [make_run(profile, dataset.data.name, *which) for dataset, *which in grid]


def queries_at(scores: Scores, shares: Sequence[float]) -> list[int]:
    """The queries at ``shares`` in [0, 1] of the way from the worst AP@all to the best, as positions among all; those
    without a relevant item are left out, and of equal AP the earlier is the worse."""
    answerable = np.flatnonzero(scores.relevant > 0)
    order = answerable[np.argsort(scores.ap_all[answerable], kind="stable")]
    return [int(scores.asked[order[round(share * (len(order) - 1))]]) for share in shares]


def nearest(result: RunResult, queries: Sequence[int], count: int = 10) -> pd.DataFrame:
    """The ``count`` nearest photos of some queries (positions among them), as :func:`ranked`, behind ``label``."""
    run, task, queries = result.run, result.run.task, list(queries)
    asked, database = task.split.query[queries], task.split.database
    labels = task.labels[asked], task.labels[database]
    rows = ranked(asked, database, result.query_codes[queries], result.database_codes, *labels, count)
    rows.insert(0, "label", run.label or run.method)
    return rows


def ranked(
    queries: Sequence, photos: np.ndarray, query_codes: np.ndarray, database_codes: np.ndarray,
    query_labels: np.ndarray, database_labels: np.ndarray, count: int,
) -> pd.DataFrame:  # fmt: skip
    """The ``count`` nearest of M ``photos`` to each of Q queries, of equal distance the earlier first.

    codes: (Q, K), (M, K) bool; labels: (Q, L), (M, L) bool.
    """
    index = HammingIndex(pack(database_codes), database_codes.shape[1])
    distances, places = index.search(pack(query_codes), count)  # (Q, count)
    shared = query_labels[:, None] & database_labels[places]  # (Q, count, L)
    lines, ranks = np.indices(places.shape)
    columns = {"query": np.asarray(queries)[lines], "rank": ranks + 1, "photo": photos[places]}
    columns |= {"distance": distances, "relevant": shared.any(axis=2)}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def side_by_side(results: Sequence[RunResult], queries: Sequence[int], count: int = 10) -> pd.DataFrame:
    """:func:`nearest` of several results, query by query, in the order of ``queries`` and ``results``."""
    return pd.concat([nearest(x, [query], count) for query in queries for x in results], ignore_index=True)


def order_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How many ``methods`` the article has too, Spearman's ``correlation`` with its order, and who is first,
    for each column of :func:`ctrh.paper.tables.article_table`."""
    lines, columns = [], ["dataset", "metric", "bits"]
    for key, part in table.dropna(subset="published").groupby(columns, sort=False):
        correlation = part["mean"].corr(part["published"], method="spearman")
        firsts = (part.loc[part[score].idxmax(), "method"] for score in ("mean", "published"))
        lines.append((*key, len(part), correlation, *firsts))
    return pd.DataFrame(lines, columns=[*columns, "methods", "correlation", "first", "first_published"])
