"""The one way to measure: times by ``torch.utils.benchmark``, each in a process of its own where memory counts too."""

from __future__ import annotations

import logging
import platform
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import quantile_test

from ctrh.paper.launch import cores
from ctrh.workers import end_with_parent

# Imported, it looks for a compiler, and would say on every terminal that there is no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
from torch.utils.benchmark import Timer  # noqa: E402
from torch.utils.benchmark.utils.timer import timer as wall_clock  # noqa: E402


def measure(work: Callable[[], object], threads: int = 1, seconds: float = 0.3, clock=wall_clock) -> np.ndarray:
    """Seconds a call, repeated for at least ``seconds``: the median and its 95 % interval (of order statistics; the
    extremes where there are too few). A GPU has finished when the clock is read."""
    timer = Timer("work()", globals={"work": work}, num_threads=threads, timer=clock)
    measured = timer.adaptive_autorange(threshold=1.0, min_run_time=seconds, max_run_time=20)
    interval = quantile_test(measured.times, q=measured.median, p=0.5).confidence_interval(0.95)
    if np.isnan(interval).any():
        interval = min(measured.times), max(measured.times)
    return np.array([measured.median, *interval])


def measured_apart(work: Callable[[Any], Any], task: Any) -> Any:
    """``work(task)``, of a module's function, in a fresh process, so that its peak of memory is its own."""
    context = get_context("forkserver")
    # Forks of a server that has imported the module, and in which nothing else has happened.
    context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(1, context, end_with_parent) as pool:
        return pool.submit(work, task).result()


def peak_megabytes() -> float:
    """Megabytes (10^6 bytes): the largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def processor() -> str:
    """The processor's model where the system tells, else its kind."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def machine() -> list[object]:
    """Processor, system, cores: names stored measurements."""
    return [processor(), platform.platform(), cores()]
