"""The paired bootstrap against a loop over its draws, scipy's, and the cases that have no spread."""

import numpy as np
import pytest
from scipy import stats

from ctrh.paper.bootstrap import BLOCK, paired_bootstrap


@pytest.fixture
def gaps():
    generator = np.random.default_rng(3)
    return np.column_stack([generator.normal(1, 2, 80), generator.exponential(1, 80)])


def test_equals_a_loop_over_the_same_draws(gaps):
    low, high = paired_bootstrap(gaps, resamples=60, seed=5)
    generator = np.random.default_rng(5)
    means = [gaps[drawn].mean(axis=0) for drawn in generator.integers(80, size=(60, 80))]
    np.testing.assert_allclose(low, np.percentile(means, 2.5, axis=0))
    np.testing.assert_allclose(high, np.percentile(means, 97.5, axis=0))


def test_agrees_with_scipy(gaps):
    low, high = paired_bootstrap(gaps)
    for column in range(2):
        given = stats.bootstrap((gaps[:, column],), np.mean, method="percentile", rng=1, batch=500)
        spread = gaps[:, column].std() / np.sqrt(80)
        assert low[column] == pytest.approx(given.confidence_interval.low, abs=0.08 * spread)
        assert high[column] == pytest.approx(given.confidence_interval.high, abs=0.08 * spread)


def test_covers_the_mean_about_as_often_as_promised():
    columns = np.random.default_rng(0).normal(size=(100, 400))  # 400 experiments of 100 queries, true mean 0
    low, high = paired_bootstrap(columns, resamples=1000)
    assert 0.90 <= np.mean((low <= 0) & (0 <= high)) <= 0.98


def test_columns_are_resampled_together(gaps):
    """The interval of a difference is that of the paired differences, not wider."""
    both = np.column_stack([gaps[:, 0], gaps[:, 0] + 1])
    low, high = paired_bootstrap(both)
    np.testing.assert_allclose([low[1], high[1]], [low[0] + 1, high[0] + 1])


def test_blocks_are_of_no_consequence_to_determinism(gaps):
    first, again = (paired_bootstrap(gaps, resamples=BLOCK + 7, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, paired_bootstrap(gaps, resamples=BLOCK + 7, seed=3))


def test_without_spread():
    low, high = paired_bootstrap(np.full((10, 1), 0.25))
    assert low == pytest.approx(0.25) and high == pytest.approx(0.25)
    low, high = paired_bootstrap(np.array([[0.5, 0.1]]))
    assert (low == -np.inf).all() and (high == np.inf).all()
    with pytest.raises(ValueError, match="no query"):
        paired_bootstrap(np.empty((0, 2)))
