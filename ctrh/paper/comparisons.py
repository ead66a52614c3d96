"""Who is ahead of whom, and whether by more than the luck of the queries; what a query finds; what attention finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.paper.effects import paired, precisions
from ctrh.paper.runs import Run, RunResult, trained
from ctrh.paper.statistics import VERDICTS, interval, verdict
from ctrh.retrieval.codes import pack
from ctrh.retrieval.metrics import Scores
from ctrh.retrieval.search import HammingIndex

STANDS = {"better": "better than", "undecided": "not told apart from", "worse": "worse than"}


def differences(results: Sequence[RunResult], name: str, over: str) -> pd.DataFrame:
    """mAP of the runs labelled ``name`` minus that of those labelled ``over``, paired by seed and query.

    One row per data set, bits and metric (``map_all``, ``map_k``): ``difference`` in points, ``low`` and ``high`` bound it
    with 95 % confidence (:func:`ctrh.paper.statistics.interval`), ``seeds``, ``queries``, ``verdict``. With one seed, they
    tell what other queries would change, not what another training would. Raises ``ValueError`` where one of the two is
    missing.
    """
    found = precisions(
        result for result in results if (result.run.label or result.run.method) in (name, over)
    )
    rows = []
    for dataset, bits, metric in dict.fromkeys(key[:3] for key in found):
        pair = [found.get((dataset, bits, metric, label)) for label in (name, over)]
        if None in pair:
            raise ValueError(f"{dataset}, {bits} bits: there is no run of {name!r} or none of {over!r}")
        values = paired(*pair)
        difference, low, high = interval(values)
        row = {"dataset": dataset, "bits": bits, "metric": metric, "method": name, "over": over}
        row |= {"difference": difference, "low": low, "high": high}
        row |= {"seeds": len(values), "queries": values.shape[1], "verdict": verdict(low, high)}
        rows.append(row)
    return pd.DataFrame(rows)


def in_words(rows: pd.DataFrame) -> str:
    """Rows of :func:`differences`, of one data set and metric, as a phrase that names every length.

    Raises ``ValueError`` for more than one row of a length.
    """
    if rows["bits"].duplicated().any():
        raise ValueError("one data set, one metric and one pair of methods at a time")
    phrases = []
    for word in VERDICTS:
        part = rows[rows["verdict"] == word].sort_values("bits")
        if len(part):
            lengths = [str(bits) for bits in part["bits"]]
            listed = " and ".join([", ".join(lengths[:-1]), lengths[-1]] if len(lengths) > 1 else lengths)
            span = dict.fromkeys(
                f"{value:+.1f}" for value in (part["difference"].min(), part["difference"].max())
            )
            phrases.append(f"{word} at {listed} bits ({' to '.join(span)} points)")
    return "; ".join(phrases)


def queries_at(scores: Scores, shares: Sequence[float]) -> list[int]:
    """The queries at ``shares`` in [0, 1] of the way from the worst AP@all to the best, as positions among them.

    Queries without a relevant item in the database, which nothing can answer, are left out; of equal AP the earlier
    query is the worse.
    """
    answerable = np.flatnonzero(scores.relevant > 0)
    order = answerable[np.argsort(scores.ap_all[answerable], kind="stable")]
    return [int(order[round(share * (len(order) - 1))]) for share in shares]


def nearest(result: RunResult, queries: Sequence[int], count: int = 10) -> pd.DataFrame:
    """The ``count`` nearest photos of some queries (positions among them): ``label`` of the run, and :func:`ranked`."""
    run, task, queries = result.run, result.run.task, list(queries)
    asked, database = task.split.query[queries], task.split.database
    labels = task.labels[asked], task.labels[database]
    rows = ranked(asked, database, result.query_codes[queries], result.database_codes, *labels, count)
    rows.insert(0, "label", run.label or run.method)
    return rows


def ranked(
    queries: Sequence,
    photos: np.ndarray,
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    count: int,
) -> pd.DataFrame:
    """The ``count`` nearest of a database to each query, of equal distance the earlier first.

    ``queries``: Q names, ``photos``: (M,) indices; codes: (Q, K), (M, K) bool; labels: (Q, L), (M, L) bool. Rows:
    ``query``, ``rank`` from 1, ``photo``, ``distance``, ``relevant``.
    """
    index = HammingIndex(pack(database_codes), database_codes.shape[1])
    distances, places = index.search(pack(query_codes), count)  # (Q, count)
    shared = query_labels[:, None] & database_labels[places]  # (Q, count, L)
    lines, ranks = np.indices(places.shape)
    return pd.DataFrame(
        {
            "query": np.asarray(queries)[lines].ravel(),
            "rank": ranks.ravel() + 1,
            "photo": photos[places].ravel(),
            "distance": distances.ravel(),
            "relevant": shared.any(axis=2).ravel(),
        }
    )


def side_by_side(results: Sequence[RunResult], queries: Sequence[int], count: int = 10) -> pd.DataFrame:
    """:func:`nearest` of several results, query by query, in the order of ``queries`` and ``results``."""
    parts = [nearest(result, [query], count) for query in queries for result in results]
    return pd.concat(parts, ignore_index=True)


def sentences(rows: pd.DataFrame) -> list[str]:
    """Every row of :func:`differences` as a sentence."""
    return [
        f"{row.method} is {STANDS[row.verdict]} {row.over} on {row.dataset} at {row.bits} bits ({row.difference:+.1f} "
        f"points of {row.metric}, {row.low:+.1f} to {row.high:+.1f})."
        for row in rows.itertuples()
    ]


def tally(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of :func:`differences`, how often ``method`` is better, undecided and worse over lengths, and the mean
    difference in points: text, a line for each pair of methods, a column for each data set and metric.
    """
    groups = rows.groupby(["method", "over", "dataset", "metric"], sort=False)
    counts = [groups["verdict"].agg(lambda part, one=one: int((part == one).sum())) for one in VERDICTS]
    lines = zip(*counts, groups["difference"].mean(), strict=True)
    texts = [
        f"{better} · {undecided} · {worse} ({points:+.1f})" for better, undecided, worse, points in lines
    ]
    table = pd.Series(texts, index=counts[0].index).unstack(["dataset", "metric"], sort=False)
    return table.rename_axis(index=["method", "compared with"])


def order_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Whether methods stand in the article's order: for each data set, metric and length of a table with ``mean`` and
    ``published`` (:func:`ctrh.paper.tables.article_table`), Spearman's ``correlation`` over the ``methods`` that both
    have, and who is ``first`` here and ``first_published``."""
    lines = []
    both = table.dropna(subset="published")
    for (dataset, metric, bits), part in both.groupby(["dataset", "metric", "bits"], sort=False):
        lines.append(
            {
                "dataset": dataset,
                "metric": metric,
                "bits": bits,
                "methods": len(part),
                "correlation": part["mean"].corr(part["published"], method="spearman"),
                "first": part.loc[part["mean"].idxmax(), "method"],
                "first_published": part.loc[part["published"].idxmax(), "method"],
            }
        )
    columns = ["dataset", "metric", "bits", "methods", "correlation", "first", "first_published"]
    return pd.DataFrame(lines, columns=columns)


def order_in_words(order: pd.DataFrame) -> str:
    """:func:`order_agreement` in a sentence; there may be no column that the article has, too."""
    if order.empty:
        return "The article has no numbers for these data sets and lengths."
    correlation, same = order["correlation"], (order["first"] == order["first_published"]).sum()
    return (
        f"The methods' order agrees with the article's with a correlation of {correlation.mean():+.2f} in the mean, between "
        f"{correlation.min():+.2f} and {correlation.max():+.2f}; the first is the article's first in {same} of {len(order)} columns."
    )


def attention_on_truth(weights: sp.csr_array, truth: sp.csr_array) -> pd.DataFrame:
    """Whether tag weighting listens to right tags: the share of attention that they get, beside their share of the tags.

    weights: (N, C), rows of sum 1 (:meth:`ctrh.methods.ctrh.CTRH.tag_weights`); truth: (N, C) bool. One row for each
    photo that has right and wrong tags: ``photo``, ``tags`` (how many), ``attention`` and ``plain``, equal if all its
    tags weighed the same.
    """
    given = sp.csr_array((np.ones_like(weights.data), weights.indices, weights.indptr), shape=weights.shape)
    own, right = given.sum(axis=1), given.multiply(truth).sum(axis=1)
    mixed = np.flatnonzero((right > 0) & (right < own))
    heard = weights.multiply(truth).sum(axis=1)
    return pd.DataFrame(
        {
            "photo": mixed,
            "tags": own[mixed].astype(int),
            "attention": heard[mixed],
            "plain": right[mixed] / own[mixed],
        }
    )


def attention_gain(run: Run, truth: sp.csr_array) -> dict[str, object]:
    """:func:`attention_on_truth` of the network behind ``run``, over its training photos, as one row.

    truth: (N, C) of all photos. ``gain``: attention on right tags less their share, in points,
    between ``low`` and ``high`` (95 %), ``verdict``: "better" where right tags get more than their share.
    """
    task = run.task
    rows = task.split.train
    weights = trained(run).tag_weights(task.inputs(rows), task.tags[rows])
    listened = attention_on_truth(weights, truth[rows])
    gains = 100 * (listened["attention"] - listened["plain"]).to_numpy()
    gain, low, high = interval(gains[None])
    means = 100 * listened[["plain", "attention"]].mean()
    about = {"dataset": run.data.name, "tags": run.tags.variant, "photos": len(listened)}
    return {**about, **means, "gain": gain, "low": low, "high": high, "verdict": verdict(low, high)}


def weighted_tags(
    weights: sp.csr_array, photo: int, vocabulary: Sequence[str], truth: sp.csr_array | None = None
) -> pd.DataFrame:
    """The tags of one photo, the most listened to first: ``rank``, ``tag``, ``probability`` (the attention), and with
    ``truth`` (N, C) ``right``.
    """
    row = weights[[photo]]
    order = np.argsort(-row.data, kind="stable")
    chosen = row.indices[order]
    rows = pd.DataFrame(
        {
            "rank": np.arange(1, len(chosen) + 1),
            "tag": [vocabulary[word] for word in chosen],
            "probability": row.data[order],
        }
    )
    return rows if truth is None else rows.assign(right=truth[[photo]].toarray()[0, chosen].astype(bool))
