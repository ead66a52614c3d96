"""The one way to measure: times by ``torch.utils.benchmark``, each in a process of its own where memory counts too."""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.stats import quantile_test
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as wall_clock

from ctrh.paper.launch import cores
from ctrh.workers import end_with_parent

T, R = TypeVar("T"), TypeVar("R")


class Timing(NamedTuple):
    """Seconds a call: the median and its 95 % interval (the extremes, where the repetitions are too few for one)."""

    median: float
    low: float
    high: float

    def of(self, count: int, scale: float = 1.0) -> Timing:
        """The same for one of the ``count`` things that a call does, times ``scale``."""
        return Timing(*(scale * seconds / count for seconds in self))


def measure(
    work: Callable[[], object], threads: int = 1, seconds: float = 0.3, processor_time: bool = False
) -> Timing:
    """``work`` repeated for at least ``seconds`` and four times, after first calls that also set things up.

    A GPU has finished when the clock is read. ``processor_time``: only the processor's own seconds, to which other
    programs hardly add. The interval is that of the order statistics (``scipy.stats.quantile_test``).
    """
    clock = time.process_time if processor_time else wall_clock
    timer = Timer("work()", globals={"work": work}, num_threads=threads, timer=clock)
    measured = timer.adaptive_autorange(threshold=1.0, min_run_time=seconds, max_run_time=20)
    bounds = quantile_test(measured.times, q=measured.median, p=0.5).confidence_interval(0.95)
    if np.isnan([bounds.low, bounds.high]).any():
        return Timing(measured.median, min(measured.times), max(measured.times))
    return Timing(measured.median, bounds.low, bounds.high)


def measured_apart(work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    """``work`` (a function of a module) of each task in a process of its own, so that none has another's memory.

    The processes are forks of one server that has imported ``work``'s module and nothing else has happened in. What
    ``work`` raises is raised here.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(1, context, end_with_parent, max_tasks_per_child=1) as pool:
        return list(pool.map(work, tasks))


def peak_megabytes() -> float:
    """Megabytes (10^6 bytes): the largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def processor() -> str:
    """The processor's model where the system tells, else its kind."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> list[object]:
    """Processor, system, cores: names stored measurements."""
    return [processor(), platform.platform(), cores()]
