"""Measuring: the median and its interval against a hand count, a process for each task."""

import os
import time

import numpy as np
import pytest
from scipy.stats import binom

from ctrh.paper import timing


def test_a_call_is_timed_as_long_as_it_takes():
    found = timing.measure(lambda: time.sleep(0.01), seconds=0.1)
    assert 0.0099 <= found[1] <= found[0] <= found[2]


def test_the_interval_of_a_median_holds_what_it_promises(monkeypatch):
    class Timer:
        def __init__(self, *_, **__):
            pass

        def adaptive_autorange(self, **_):
            times = np.random.default_rng(0).permutation(15).tolist()
            return type("Measurement", (), {"times": times, "median": 7})

    monkeypatch.setattr(timing, "Timer", Timer)
    found = timing.measure(print)
    # Of 15 values 3 or fewer lie below the median in 1.8 % of all cases, 4 or fewer in 5.9 %.
    assert found.tolist() == [7, 3, 11]
    assert binom.cdf(3, 15, 0.5) < 0.025 < binom.cdf(4, 15, 0.5)


def test_a_fresh_process_for_each_task():
    (first, one), (second, other) = (timing.measured_apart(_process, task) for task in (1, 2))
    assert (first, second) == (1, 2) and len({os.getpid(), one, other}) == 3
    with pytest.raises(ZeroDivisionError):
        timing.measured_apart(_process, 0)


def _process(task):
    return task * task // task, os.getpid()
