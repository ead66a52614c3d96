"""Retrieval scores of many queries in one pass: mAP@all, mAP@k, precision at N, precision-recall.

What is counted, and what is done in the empty cases:

- *Relevant*: shares at least one label. An image without labels is relevant to nothing.
- *AP@k* sums the precisions at the relevant items inside the top k and divides by their number; it is 0 when there
  are none, and *every* query counts in the mean. k beyond the database means the whole ranking.
- *P@N* divides by N, also when the database has fewer than N items.
- *Recall* of a query without relevant items is 0; *precision* within a radius that holds no item is 0.
- *Ties* (items at the same distance): the exact mean over all their orders (:mod:`ctrh.retrieval.ranking`).

Where published code does otherwise, a :class:`Convention` does, too.

Numbers do not depend on the number of threads, and memory grows with the queries, the database and the wanted
ranks, never with queries x database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numba
import numpy as np
from scipy.special import digamma

from ctrh.retrieval.codes import as_words, check_codes, pack
from ctrh.retrieval.ranking import add_scores, count_groups, score_expected, score_stable

Ties = Literal["expected", "stable"]
Denominator = Literal["hits", "possible", "first relevant"]
Queries = Literal["all", "answerable"]

# Points of the precision-recall curve by ranking: evenly spaced ranks, the first and the last place included.
CURVE_POINTS = 201
# Queries that a thread takes at once: enough to use a tile of the database well, few enough to keep their scores small.
BLOCK = 64
# With fewer pairs of a query and an item, another thread costs more time than it saves.
PAIRS_A_THREAD = 2**18


@dataclass(frozen=True)
class Convention:
    """What is open in "mAP"; the defaults are ours.

    ``ties``: "expected", the mean over all orders of items at the same distance; "stable", in the order of the database.
    ``denominator`` of AP@k: "hits", the relevant items inside the top k; "possible", min(k, relevant items in the database);
    "first relevant", that too, with the precisions at the first k *relevant* items, wherever they are.
    ``queries`` that are scored: "all"; "answerable", those with a relevant item in the database.
    ``drop_last``: the whole ranking ends before its last item.
    """

    ties: Ties = "expected"
    denominator: Denominator = "hits"
    queries: Queries = "all"
    drop_last: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("ties", Ties), ("denominator", Denominator), ("queries", Queries)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}")


OURS = Convention()
# What public code prints. All of it sorts unstably a database in random order: its numbers are draws of which "expected" is the
# mean. Where it prints NaN (WDHT: relevant items, but none in the top k; the last: none at all), WDHT's query has 0 here, and
# the other is left out. WSHRCA has mAP@50000 in place of mAP@all on NUS-WIDE.
CONVENTIONS = {
    "ctrh": OURS,
    "wshrca": OURS,
    "deephash-pytorch": Convention(drop_last=True),  # topk = -1, of the data sets without a k
    "wdht": Convention(queries="answerable"),
    "clip-based-cross-modal-hash-first-k-relevant": Convention("expected", "first relevant", "answerable"),
}


@dataclass(frozen=True)
class Scores:
    """Scores of Q queries with K-bit codes; arrays only, so ``vars(scores)`` can be stored as it is.

    ``asked`` (Q,): the queries that the convention counts, by their place among those given;
    ``ap_all`` (Q,) and ``ap_at`` (len(ks), Q): average precision of each query, over the whole ranking and
    the top ``ks``; ``relevant`` (Q,): relevant items in the database (0: the query scores 0 everywhere).
    Means over the queries: ``precision_at`` (len(ns),) at ranks ``ns``; ``curve_precision`` and
    ``curve_recall`` at ``curve_ranks``, the precision-recall curve by Hamming ranking; ``radius_precision``
    and ``radius_recall`` (K+1,), of the items within Hamming distance 0..K.
    """

    asked: np.ndarray
    ap_all: np.ndarray
    ks: np.ndarray
    ap_at: np.ndarray
    relevant: np.ndarray
    ns: np.ndarray
    precision_at: np.ndarray
    curve_ranks: np.ndarray
    curve_precision: np.ndarray
    curve_recall: np.ndarray
    radius_precision: np.ndarray
    radius_recall: np.ndarray

    @property
    def map_all(self) -> float:
        """mAP@all: the mean over all queries."""
        return float(self.ap_all.mean())

    @property
    def map_at(self) -> dict[int, float]:
        """mAP@k for each k asked for."""
        return {int(k): float(ap.mean()) for k, ap in zip(self.ks, self.ap_at, strict=True)}


def evaluate(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    *,
    ks: Iterable[int] = (5000,),
    ns: Iterable[int] = range(1, 1001),
    convention: Convention = OURS,
    threads: int | None = None,
    device: str | None = None,
) -> Scores:
    """Ranks the database by Hamming distance for each query and scores the rankings.

    ``query_codes`` (Q, K), ``database_codes`` (M, K), ``query_labels`` (Q, L), ``database_labels`` (M, L):
    all bool. Codes that are floating-point vectors instead are ranked by their cosine, the one with a zero vector being 0;
    of equal cosines the earlier item comes first, and there is no radius to score within. ``ks``, ``ns``: ranks of mAP@k
    and P@N. ``threads``: numba's number (``NUMBA_NUM_THREADS``) unless given. ``device``: where to count (:mod:`ctrh.retrieval.counting`), "cuda" for example; None: compiled, on the
    processor. The scores are the same; only those of expected ties can be had from counts alone.

    Raises ``ValueError`` for other types, for shapes that do not fit, no queries (or none that count), an empty database
    or ranks below 1.
    """
    _check(query_codes, database_codes, query_labels, database_labels)
    expected = convention.ties == "expected"
    vectors = query_codes.dtype != np.bool_
    if device is not None and (vectors or not expected):
        raise ValueError("cosines and ties='stable' need the order of the items: leave device out")
    asked = np.arange(len(query_codes))
    if convention.queries == "answerable":
        asked = np.flatnonzero((query_labels & database_labels.any(axis=0)).any(axis=1))
        if not len(asked):
            raise ValueError("no query has a relevant item in the database")
        query_codes, query_labels = query_codes[asked], query_labels[asked]
    queries, items = len(query_codes), len(database_codes)
    groups = items if vectors else query_codes.shape[1] + 1  # of items at the same distance
    ks, ns = _ranks("ks", ks), _ranks("ns", ns)
    curve_ranks = np.unique(np.linspace(1, items, CURVE_POINTS).round().astype(np.int64))
    scored_ranks = np.minimum(np.append(ks, max(1, items - convention.drop_last)), items)
    cuts = np.unique(np.concatenate([scored_ranks, np.minimum(ns, items), curve_ranks]))
    scored = np.isin(cuts, scored_ranks)

    if vectors:
        query_codes, database_codes = _unit(query_codes), _unit(database_codes)
    else:
        codes, masks = as_words(pack(query_codes)), as_words(pack(query_labels))
        # Words first, so that neighbouring items lie side by side and one instruction takes several.
        database = tuple(
            np.ascontiguousarray(as_words(pack(bits)).T) for bits in (database_codes, database_labels)
        )
    over_hits, of_relevant = convention.denominator == "hits", convention.denominator == "first relevant"
    # Harmonic numbers up to a constant that differences cancel; a running sum would collect rounding.
    harmonic = digamma(np.arange(1, items + 2, dtype=np.float64))
    cut_of_rank = np.searchsorted(cuts, np.arange(1, items + 1)).astype(np.int32)

    on_device = None
    if device is not None:
        from ctrh.retrieval.counting import group_counts  # torch, seconds to import, is not needed without

        on_device = group_counts(query_codes, database_codes, query_labels, database_labels, device)

    threads = min(threads or numba.config.NUMBA_NUM_THREADS, 1 + queries * items // PAIRS_A_THREAD)
    # As many blocks as there are threads, or twice as many, ...: nobody waits for the last one alone.
    size = -(-queries // (threads * -(-queries // (threads * BLOCK))))
    # Used again and again: fresh memory would cost small databases more than the scores do.
    buffers = np.empty((2 * threads, 2, min(size, queries), len(cuts)))

    def score(number: int) -> tuple[slice, np.ndarray, np.ndarray, np.ndarray]:
        block = slice(number * size, min((number + 1) * size, queries))
        hits, precisions = buffers[number % len(buffers), :, : block.stop - block.start]
        if vectors:
            counts = _ranked_by_cosine(query_codes[block], database_codes, query_labels[block], database_labels)
        elif on_device is not None:
            counts = on_device[block]
        else:
            counts = np.empty((len(hits), groups, 2), dtype=np.int64)
            count_groups(codes[block], masks[block], *database, counts)
        if vectors or expected:
            score_expected(counts, cuts, scored, harmonic, over_hits, of_relevant, hits, precisions)
        else:
            own = codes[block], masks[block], *database
            score_stable(counts, cuts, cut_of_rank, over_hits, of_relevant, *own, hits, precisions)
        return block, counts, hits, precisions

    ap = np.empty((len(scored_ranks), queries))
    relevant = np.empty(queries, dtype=np.int64)
    sums = np.zeros(len(cuts)), np.zeros(len(cuts)), np.zeros(groups), np.zeros(groups)
    # Sums run in the order of the queries, whoever is ready first: threads cannot change the rounding.
    for block, counts, hits, precisions in _in_order(score, -(-queries // size), threads):
        ap[:, block] = precisions.T[np.searchsorted(cuts, scored_ranks)]
        relevant[block] = counts[:, :, 1].sum(axis=1)
        add_scores(counts, hits, *sums)
    hits_sum, recall_sum, *by_radius = sums
    radius_precision, radius_recall = (found[:0] if vectors else found for found in by_radius)
    at_ns, at_curve = np.searchsorted(cuts, np.minimum(ns, items)), np.searchsorted(cuts, curve_ranks)
    return Scores(
        asked=asked,
        ap_all=ap[-1],
        ks=ks,
        ap_at=ap[:-1],
        relevant=relevant,
        ns=ns,
        precision_at=hits_sum[at_ns] / ns / queries,
        curve_ranks=curve_ranks,
        curve_precision=hits_sum[at_curve] / curve_ranks / queries,
        curve_recall=recall_sum[at_curve] / queries,
        radius_precision=radius_precision / queries,
        radius_recall=radius_recall / queries,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(N, F) rows divided by their lengths; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _ranked_by_cosine(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> np.ndarray:
    """(B, F), (M, F) unit vectors, (B, L), (M, L) bool -> (B, M, 2) int64: every item a group of its own, nearest first."""
    order = np.argsort(-(queries @ database.T), axis=1, kind="stable")
    shared = query_labels.astype(np.float32) @ database_labels.T.astype(np.float32)
    relevant = np.take_along_axis(shared > 0, order, axis=1)
    return np.stack([~relevant, relevant], axis=2).astype(np.int64)


def _in_order(work: Callable[[int], Any], count: int, threads: int) -> Iterator[Any]:
    """``work(0)``, ``work(1)``, ...: at most 2 * ``threads`` results are on their way or not yet taken."""
    if threads == 1 or count == 1:
        yield from map(work, range(count))
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future] = deque()
        for number in range(count):
            if len(running) == 2 * threads:
                yield running.popleft().result()
            running.append(pool.submit(work, number))
        while running:
            yield running.popleft().result()


def _check(query_codes, database_codes, query_labels, database_labels) -> None:
    vectors = query_codes.dtype.kind == database_codes.dtype.kind == "f"
    for name, codes in (("query codes", query_codes), ("database codes", database_codes)):
        if not vectors:
            check_codes(codes, name)
        elif codes.ndim != 2 or not np.isfinite(codes).all():
            raise ValueError(f"{name} must be (N, F) without NaN or infinite values, got {codes.shape}")
    if query_codes.shape[1] != database_codes.shape[1]:
        raise ValueError(
            f"query codes have {query_codes.shape[1]} bits, database codes {database_codes.shape[1]}"
        )
    shapes = query_labels.shape, database_labels.shape
    if query_labels.ndim != 2 or shapes[0][1:] != shapes[1][1:] or query_labels.shape[1] == 0:
        raise ValueError(f"labels must be (Q, L) and (M, L) with L > 0, got {shapes[0]} and {shapes[1]}")
    for name, codes, labels in (
        ("query", query_codes, query_labels),
        ("database", database_codes, database_labels),
    ):
        if labels.dtype != np.bool_:
            raise ValueError(f"{name} labels must be bool, got {labels.dtype}")
        if len(codes) != len(labels):
            raise ValueError(
                f"{len(codes)} {name} codes but {len(labels)} rows of labels: images twice or missing?"
            )
        if len(codes) == 0:
            raise ValueError(f"no {name} codes: there is nothing to rank")


def _ranks(name: str, ranks: Iterable[int]) -> np.ndarray:
    ranks = np.fromiter(ranks, dtype=np.int64)
    if (ranks < 1).any():
        raise ValueError(
            f"{name} must be ranks from 1 on, got {ranks.min()} (the whole ranking is in ap_all, map_all)"
        )
    return ranks
