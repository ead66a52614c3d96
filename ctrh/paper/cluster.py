"""Runs on the workers of a Dask cluster, through joblib.

All machines must see one cache, one data folder and one version of the code: a run is sent by its name and settings,
and what it needs and leaves is in the cache. Workers that see something else say so, instead of computing it.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import joblib

from ctrh.store import cache_dir, replacing

# Of this process alone: how many runs it would start itself, where the cluster is.
OWN = ("CTRH_JOBS", "CTRH_CLUSTER")


def on_cluster(address: str, finish: Callable[[str, Any], None], runs: Mapping[str, Any]) -> Iterator[None]:
    """Calls ``finish(key, run)`` for all ``runs``, by key, on the workers of the scheduler at ``address`` ("tcp://host:8786").

    Yields when one is done. Raises ``ValueError`` with the remedy where there is no Dask, no such scheduler, or workers
    that would compute something else; and what ``finish`` raises.
    """
    with _connected(address) as client, _visible() as mark:
        variables = {
            name: value for name, value in os.environ.items() if name.startswith("CTRH_") and name not in OWN
        }
        variables["CTRH_CACHE"] = str(cache_dir().resolve())
        tasks = (joblib.delayed(_there)(variables, mark, finish, key, run) for key, run in runs.items())
        with joblib.parallel_config("dask", client=client, wait_for_workers_timeout=60):
            # One by one: a batch would keep a worker busy while others have nothing left to do.
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)


def _connected(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            "a cluster needs Dask on every machine: pip install 'ctrh[cluster]' (package distributed)"
        ) from error
    try:
        client = Client(address, timeout=30, set_as_default=False)
    except OSError as error:
        raise ValueError(f"no Dask scheduler answers at {address}: {error}") from error
    if any(threads > 1 for threads in client.nthreads().values()):
        client.close()
        raise ValueError("a run wants a process of its own: start Dask's workers with --nthreads 1")
    return client


class _visible:
    """The name of a file that is in the cache for a while."""

    def __enter__(self) -> str:
        self.path = cache_dir() / "cluster" / uuid.uuid4().hex
        with replacing(self.path):
            pass
        return self.path.name

    def __exit__(self, *_error: object) -> None:
        self.path.unlink(missing_ok=True)


def _there(
    variables: Mapping[str, str], mark: str, finish: Callable[[str, Any], None], key: str, run: Any
) -> None:
    os.environ.update(variables)
    if not (cache_dir() / "cluster" / mark).exists():
        raise ValueError(
            f"{socket.gethostname()} does not see the cache {cache_dir()}: set CTRH_CACHE to a folder on a file system "
            "that all machines share"
        )
    if run.key != key:
        raise ValueError(
            f"{socket.gethostname()} has other code, libraries or data than the machine that sent the run {run}: use one "
            "environment and one clone on a file system that all machines share"
        )
    finish(key, run)
