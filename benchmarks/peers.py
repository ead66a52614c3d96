"""What other projects do to score a ranking by Hamming distance, each in a few lines of our own.

All take ±1 codes and 0/1 labels, float32: queries (Q, K) and (Q, L), database (M, K) and (M, L); all give the mean over
the queries of the average precision at ``CUT`` over the hits, or for "thresholds" over the whole ranking. Where sorting leaves
the order of ties to chance, ``stable=True`` sorts stably, to compare answers.
"""

from __future__ import annotations

import faiss
import numpy as np
import torch
from sklearn.metrics import average_precision_score

CUT = 5000


def numpy_sort(codes, database, labels, database_labels, stable: bool = False) -> float:
    """The loop over queries of most published code: product, argsort, precision at the hits of the top."""
    kind = "stable" if stable else None
    return float(np.mean([_top(a, database, b, database_labels, kind) for a, b in zip(codes, labels, strict=True)]))


def numpy_sort_double(codes, database, labels, database_labels, stable: bool = False) -> float:
    """The same loop in double precision, as it runs where codes are signs of numpy's own numbers."""
    doubles = [part.astype(np.float64) for part in (codes, database, labels, database_labels)]
    return numpy_sort(*doubles, stable)


def torch_sort(codes, database, labels, database_labels, stable: bool = False) -> float:
    """All queries of a block at once, as retrieval metrics on torch do: one sort of a matrix."""
    codes, database, labels, database_labels = map(torch.from_numpy, (codes, database, labels, database_labels))
    order = torch.sort(database.shape[1] - codes @ database.T, dim=1, stable=stable).indices[:, :CUT]
    hits = (labels @ database_labels.T > 0).gather(1, order).double()
    precision = hits.cumsum(1) / torch.arange(1, order.shape[1] + 1)
    return float(((precision * hits).sum(1) / hits.sum(1).clamp(min=1)).mean())


def torch_sort_then_loop(codes, database, labels, database_labels, stable: bool = False) -> float:
    """As in clip-based-cross-modal-hash: matrices sorted whole, then a loop over the queries' relevant items."""
    codes, database, labels, database_labels = map(torch.from_numpy, (codes, database, labels, database_labels))
    relevant = (labels @ database_labels.T > 0).float()
    orders = torch.sort(0.5 * (codes.shape[1] - codes @ database.T), dim=1, stable=stable).indices
    found = []
    for row, order in zip(relevant, orders, strict=True):
        ranks = row[order].nonzero()[:, 0] + 1.0
        ranks = ranks[ranks <= CUT].double()
        found.append(float((torch.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0)
    return float(np.mean(found))


def thresholds(codes, database, labels, database_labels, stable: bool = False) -> float:
    """scikit-learn's average_precision_score of each query, which takes a group of ties for one threshold."""
    relevant = labels @ database_labels.T > 0
    similar = codes @ database.T
    return float(np.mean([average_precision_score(r, s) if r.any() else 0.0 for r, s in zip(relevant, similar)]))


def range_counts(codes, database, labels, database_labels, stable: bool = False) -> float:
    """FAISS's stably sorted answers for the top, and labels looked up: what a search library would do."""
    packed = [np.packbits(part > 0, axis=1, bitorder="little") for part in (codes, database)]
    _, order = faiss.knn_hamming(*packed, min(CUT, len(database)), variant="mc")
    hits = np.array([database_labels[row] @ label > 0 for row, label in zip(order, labels, strict=True)])
    precision = hits.cumsum(axis=1) / np.arange(1, order.shape[1] + 1)
    return float(((precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)).mean())


def _top(code, database, label, database_labels, kind: str | None) -> float:
    relevant = (database_labels @ label > 0).astype(np.float32)
    distances = 0.5 * (database.shape[1] - database @ code)
    ranks = np.flatnonzero(relevant[np.argsort(distances, kind=kind)][:CUT]) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0


PEERS = {
    "numpy loop, single precision (as DeepHash-pytorch)": numpy_sort,
    "numpy loop, double precision (as WSHRCA)": numpy_sort_double,
    "torch sort": torch_sort,
    "torch sort and loop (as clip-based-cross-modal-hash)": torch_sort_then_loop,
    "average_precision_score (scikit-learn)": thresholds,
    "nearest by counting (FAISS)": range_counts,
}
