"""Many runs: those that are missing are computed, several at a time, each on one thread, and each is stored at once."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import joblib
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ctrh.encoding import CodesCollapsed
from ctrh.paper.cluster import on_cluster
from ctrh.paper.launch import cores
from ctrh.progress import progress
from ctrh.store import cached_arrays, intact, stored_path
from ctrh.training import TrainingDiverged
from ctrh.workers import end_with_parent

FOLDER = "runs"  # of the cache


class AnyRun(Protocol):
    """What a grid needs to know of a run: ``key`` names what is stored of it, ``task`` is what it is given, ``compute(task)``
    gives arrays to be stored, and ``result(key, arrays)`` what they say."""

    key: str
    task: Any

    def compute(self, task: Any) -> Mapping[str, np.ndarray]: ...
    def result(self, key: str, arrays: Mapping[str, np.ndarray]) -> Any: ...


def compute_missing(runs: Mapping[str, AnyRun], jobs: int | None = None) -> None:
    """Stores the results of all ``runs``, by key, that the cache does not hold yet, ``jobs`` at a time (default:
    ``$CTRH_JOBS``, else one for each core), or where the Dask scheduler ``$CTRH_CLUSTER`` sends them
    (:mod:`ctrh.paper.cluster`).

    Each is stored as soon as it is done, so an interrupted grid goes on where it was. Every run has one thread,
    whatever ``jobs`` is: with another number, sums would be rounded in another order.
    """
    missing = {key: run for key, run in runs.items() if not intact(stored_path(FOLDER, key))}
    if not missing:
        return
    if address := os.environ.get("CTRH_CLUSTER"):
        finished = on_cluster(address, _finish, missing)
    else:
        jobs = min(jobs or int(os.environ.get("CTRH_JOBS") or cores()), len(missing))
        # "c": arrays shared with the workers look writable, as torch wants them, and writing would stay private.
        workers = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", mmap_mode="c", initializer=end_with_parent
        )
        finished = workers(joblib.delayed(_finish)(key, run, run.task) for key, run in missing.items())
    for _ in progress(finished, "runs", total=len(missing)):
        pass


def read(run: AnyRun, key: str) -> Any:
    """The result of a run under its ``key``, or the :class:`TrainingDiverged` that it ended with."""
    # Computes again only what was damaged since: finished runs are on disk by now.
    arrays = cached_arrays(FOLDER, key, lambda: _outcome(run, run.task))
    if "diverged" not in arrays:
        return run.result(key, arrays)
    error = TrainingDiverged(*json.loads(str(arrays["diverged"])))
    error.add_note(f"in the run: {run}")
    return error


def _finish(key: str, run: AnyRun, task: Any = None) -> None:
    """``task``: of the run, where it has been loaded already."""
    try:
        with alone():
            cached_arrays(FOLDER, key, lambda: _outcome(run, run.task if task is None else task))
    except Exception as error:
        error.add_note(f"in the run: {run}")
        raise


def _outcome(run: AnyRun, task: Any) -> Mapping[str, np.ndarray]:
    """What is stored of a run. One that diverged would again, so that is its result."""
    try:
        return run.compute(task)
    except TrainingDiverged as error:
        return {"diverged": np.asarray(json.dumps([error.term, error.epoch, error.step, error.remedy]))}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One thread, and silence: several runs at a time would write over each other's progress bars."""
    threads, silent = torch.get_num_threads(), os.environ.get("TQDM_DISABLE", "")
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", CodesCollapsed)  # the rows' notes tell it
            yield
    finally:
        torch.set_num_threads(threads)
        os.environ["TQDM_DISABLE"] = silent
