"""The one interval: by hand, against scipy, and how often it covers the truth."""

import numpy as np
import pytest
from scipy import stats

from ctrh.paper.statistics import half_width, interval, verdict


def layout(mean: float, of_seeds: float, of_queries: float, seeds: int, queries: int) -> np.ndarray:
    """(S, Q) values with this mean and these variances of the means of seeds and of queries, which is all that counts."""
    one, other = np.arange(seeds, dtype=float), np.arange(queries, dtype=float)
    one, other = (each - each.mean() for each in (one, other))
    scaled = one * np.sqrt(of_seeds / one.var(ddof=1)), other * np.sqrt(of_queries / other.var(ddof=1))
    return mean + scaled[0][:, None] + scaled[1]


def missed(seeds: int, spread: float, level: float, times: int = 200_000, queries: int = 300) -> float:
    """How often the mean, of true value 0, has an interval above 0, for queries of sd 6 and a rest of sd 4.

    Mean and mean squares of a normal layout are independent, so they are drawn instead of the values.
    """
    generator = np.random.default_rng(0)
    of_query, rest = 36, 16
    scale = np.sqrt(spread**2 / seeds + of_query / queries + rest / (seeds * queries))
    means = scale * generator.normal(size=times)
    of_seeds = (spread**2 + rest / queries) * generator.chisquare(seeds - 1, times) / (seeds - 1)
    of_queries = (of_query + rest / seeds) * generator.chisquare(queries - 1, times) / (queries - 1)
    # The first is asked of the function itself, so that the vectorised form cannot say something else.
    half = np.hypot(
        half_width(np.sqrt(of_seeds), seeds, level), half_width(np.sqrt(of_queries), queries, level)
    )
    values = layout(means[0], of_seeds[0], of_queries[0], seeds, queries)
    assert interval(values, level) == pytest.approx((means[0], means[0] - half[0], means[0] + half[0]))
    return np.mean(means > half)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage(seeds):
    for spread in (2, 6):
        assert 0.94 <= 1 - 2 * missed(seeds, spread, 0.95) <= 0.985
        assert missed(seeds, spread, 0.998) <= 0.003
    # Where seeds do not matter it is conservative, at two seeds most of all.
    assert 0.955 <= 1 - 2 * missed(seeds, 0, 0.95) <= 0.995
    assert missed(seeds, 0, 0.998) <= 0.001


def test_by_hand():
    values = np.array([[1.0, 2, 6], [3, 4, 5]])  # means 3, 4 of seeds and 2, 3, 5.5 of queries around 3.5
    of_seeds, of_queries = 0.5 / 2, (1.5**2 + 0.5**2 + 2**2) / 2 / 3
    half = np.sqrt(stats.t.ppf(0.975, 1) ** 2 * of_seeds + stats.t.ppf(0.975, 2) ** 2 * of_queries)
    assert interval(values) == pytest.approx((3.5, 3.5 - half, 3.5 + half))
    assert interval(np.full((3, 4), 1.5)) == (1.5, 1.5, 1.5)


def test_one_number_a_seed_gives_students_interval():
    values = np.array([[3.0], [5.0], [4.5]])
    low, high = stats.t.interval(0.95, 2, values.mean(), values.std(ddof=1) / np.sqrt(3))
    assert interval(values) == pytest.approx((values.mean(), low, high))


def test_one_seed_is_resampled_over_queries():
    values = np.random.default_rng(3).exponential(1, 80)
    given = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    mean, low, high = interval(values[None])
    assert mean == values.mean()
    assert (low, high) == pytest.approx((given.low, given.high), abs=0.08 * values.std() / np.sqrt(80))
    assert interval(np.array([[0.5]])) == (0.5, -np.inf, np.inf)
    with pytest.raises(ValueError, match="no value"):
        interval(np.empty((1, 0)))


def test_words():
    assert [verdict(*bounds) for bounds in ((1, 2), (-1, 1), (-2, -1))] == ["better", "undecided", "worse"]
