"""The one interval and the one set of words for what a mean or a difference is worth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import t as student

RESAMPLES = 10_000


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """(S, Q) values of S seeds and Q queries -> their mean, and bounds of what others would give, with ``level``.

    Two seeds or more: two crossed random effects. The squared half-width is the sum of t^2 MS/(SQ) over seeds and
    queries, each with the t of its own degrees of freedom (Banerjee, "Approximate confidence interval for linear
    functions of means of k populations when the population variances are not equal", 1960): a seed variance that is
    small by chance is never taken for none. Where seeds do not matter it covers more than it says (S = 2: 99 for 95 %).

    One seed: a percentile bootstrap over queries, which says nothing of other trainings; endless for a single query.
    One query: seeds only. Raises ``ValueError`` where there is no value.
    """
    values = np.asarray(values, dtype=float)
    seeds, queries = values.shape
    if values.size == 0:
        raise ValueError("there is no value to average")
    mean = float(values.mean())
    if seeds == 1:
        if queries == 1:
            return mean, -np.inf, np.inf
        means = _counts(queries) @ values[0] / queries
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        return mean, float(low), float(high)
    squared = 0.0
    for count, means in ((seeds, values.mean(axis=1)), (queries, values.mean(axis=0))):
        if count > 1:
            squared += half_width(means.std(ddof=1), count, level) ** 2
    half = float(np.sqrt(squared))
    return mean, mean - half, mean + half


def seeds_that_differ(values: np.ndarray) -> np.ndarray:
    """(S, ...) values of S seeds, or the first alone (1, ...) where all are the same: what draws nothing has no spread."""
    return values[:1] if (values == values[0]).all() else values


def half_width(spread, count, level: float = 0.95):
    """Half of Student's interval for a mean of ``count`` values of standard deviation ``spread``; NaN for one value."""
    count = np.asarray(count)
    freedom = np.where(count > 1, count - 1.0, np.nan)
    return student.ppf((1 + level) / 2, freedom) * spread / np.sqrt(count)


def verdict(low: float, high: float) -> str:
    """ "better" and "worse" where the interval of a difference leaves out 0, else "undecided"."""
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


@lru_cache(maxsize=2)
def _counts(queries: int) -> np.ndarray:
    """(RESAMPLES, Q): how often each query is drawn, Q at a time with replacement; the same for every comparison."""
    generator = np.random.default_rng(0)
    return generator.multinomial(queries, np.full(queries, 1 / queries), size=RESAMPLES).astype(float)
