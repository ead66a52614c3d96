"""How far a mean over queries could be from what other queries of the same kind would give: the paired bootstrap."""

from __future__ import annotations

import numpy as np

# So many resamples at once: their counts stay within some ten megabytes for thousands of queries.
BLOCK = 500


def paired_bootstrap(
    gaps: np.ndarray, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of the column means of ``gaps`` (Q, P), each row what one query says of P comparisons.

    Queries are drawn with replacement, Q at a time, the same ones for every column: ``low`` and ``high``, both (P,).
    A single query says nothing about the spread: its interval is endless. Raises ``ValueError`` for no query.
    """
    queries = len(gaps)
    if queries < 2:
        if queries == 0:
            raise ValueError("there is no query to resample")
        endless = np.full(gaps.shape[1], np.inf)
        return -endless, endless
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, gaps.shape[1]))
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        drawn = generator.integers(queries, size=(rows, queries))
        # How often each query was drawn turns the means of all columns into one product of matrices.
        places = drawn + queries * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * queries).reshape(rows, queries)
        means[start : start + rows] = counts @ gaps / queries
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
