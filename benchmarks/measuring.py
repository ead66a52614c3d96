"""Time and memory of a piece of work, and the row that a benchmark makes of them."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from ctrh.paper.launch import cores
from ctrh.paper.timing import processor

SCALES = ("full", "small", "tiny")


@dataclass(frozen=True)
class Result:
    """Both sides of one comparison.

    ``size`` says what was measured, and whether the reference's time is extrapolated; ``difference``: the largest
    between the two sides' answers on the same input; ``facts``: whatever else was measured, by name and unit.
    """

    name: str
    size: str
    ours_s: float
    reference_s: float
    difference: float = 0.0
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.reference_s / self.ours_s


def timed(work: Callable[..., Any], *arguments: Any, repeats: int = 1) -> tuple[float, Any]:
    """The least seconds of ``repeats`` calls, and what the last one returned: other programs only ever add."""
    least = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        value = work(*arguments)
        least = min(least, time.perf_counter() - began)
    return least, value


def timed_with_memory(work: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds, the megabytes by which the process's memory grew at the most, and what ``work`` returned."""
    give_back_freed_memory()
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        seconds, value = timed(work, *arguments)
    finally:
        done.set()
        watcher.join()
    return seconds, max(peak, process.memory_info().rss, before) / 1e6 - before / 1e6, value


def give_back_freed_memory() -> None:
    """Hands what is free back to the kernel: from glibc's store of it, new arrays would seem to cost nothing."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def machine() -> str:
    """Processor, the cores that this process may use, and memory."""
    return f"{processor()}, {cores()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
