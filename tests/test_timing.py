"""Measuring: the median and its interval against a hand count, a process for each task."""

import os
import time

import numpy as np
import pytest
from scipy.stats import binom

from ctrh.paper import timing


def test_a_call_is_timed_as_long_as_it_takes():
    found = timing.measure(lambda: time.sleep(0.01), seconds=0.1)
    assert 0.0099 <= found.low <= found.median <= found.high
    assert found.of(2, 1000).median == pytest.approx(500 * found.median)
    # Sleeping takes none of the processor's own time.
    assert timing.measure(lambda: time.sleep(0.01), seconds=0.0, processor_time=True).median < found.median


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
    assert found == (7, 3, 11)
    assert binom.cdf(3, 15, 0.5) < 0.025 < binom.cdf(4, 15, 0.5)


def test_each_task_has_a_process_of_its_own():
    found = timing.measured_apart(_process, [1, 2])
    assert [task for task, _ in found] == [1, 2] and len({os.getpid(), *(pid for _, pid in found)}) == 3


def test_what_work_raises_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        timing.measured_apart(_process, [0])


def _process(task):
    return task * task // task, os.getpid()
