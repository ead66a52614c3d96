"""Runs on the workers of a Dask cluster, through joblib; what runs need and leave is in the cache that all share.

Workers that see another cache, other data or another version of the code say so, instead of computing."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import joblib

from ctrh.store import cache_dir, replacing


def on_cluster(address: str, finish: Callable[[str, Any], None], runs: Mapping[str, Any]) -> Iterator[None]:
    """Calls ``finish(key, run)`` for all ``runs`` on the workers of the scheduler at ``address``; yields after each.

    ``ValueError`` for no Dask, no scheduler, or workers that would compute something else; what ``finish`` raises."""
    # Of this process alone: how many runs it would start itself, where the cluster is.
    own = ("CTRH_JOBS", "CTRH_CLUSTER")
    variables = {x: value for x, value in os.environ.items() if x.startswith("CTRH_") and x not in own}
    variables["CTRH_CACHE"] = str(cache_dir().resolve())
    try:
        from distributed import Client
    except ImportError as error:
        remedy = "pip install 'ctrh[cluster]' (package distributed)"
        raise ValueError(f"a cluster needs Dask on every machine: {remedy}") from error
    try:
        connected = Client(address, timeout=30, set_as_default=False)
    except OSError as error:
        raise ValueError(f"no Dask scheduler answers at {address}: {error}") from error
    with connected as client, _visible() as mark:
        if any(threads > 1 for threads in client.nthreads().values()):
            raise ValueError("a run wants a process of its own: start Dask's workers with --nthreads 1")
        tasks = (joblib.delayed(_there)(variables, mark, finish, key, run) for key, run in runs.items())
        with joblib.parallel_config("dask", client=client, wait_for_workers_timeout=60):
            # One by one: a batch would keep a worker busy while others have nothing left to do.
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)


@contextlib.contextmanager
def _visible() -> Iterator[str]:
    """The name of a file that is in the cache for a while."""
    path = cache_dir() / "cluster" / uuid.uuid4().hex
    with replacing(path):
        pass
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def _there(variables: Mapping[str, str], mark: str, finish: Callable[[str, Any], None], key: str, run: Any) -> None:
    os.environ.update(variables)
    host, shared = socket.gethostname(), "on a file system that all machines share"
    if not (cache_dir() / "cluster" / mark).exists():
        raise ValueError(f"{host} does not see the cache {cache_dir()}: set CTRH_CACHE to a folder {shared}")
    if run.key != key:
        problem = f"{host} has other code, libraries or data than the machine that sent the run {run}"
        raise ValueError(f"{problem}: use one environment and one clone {shared}")
    finish(key, run)
