"""Measurements in processes of their own, so that the memory that one takes is not another's."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from ctrh.paper.ahead import quiet

T, R = TypeVar("T"), TypeVar("R")


def measured_apart(work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    """``work`` of each task. One new process imports the libraries; each task gets a fork of it that has nothing else.

    No training goes ahead meanwhile (:func:`ctrh.paper.ahead.quiet`). ``work``: a function of a module. Raises
    ``RuntimeError`` where measuring fails, with what was said about it.
    """
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        asked, told, errors = (Path(folder) / name for name in ("asked", "told", "errors"))
        asked.write_bytes(pickle.dumps((work, list(tasks))))
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import _serve; _serve()", str(asked), str(told)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            ) as process,
        ):
            try:
                process.stdout.readline()  # it has imported the libraries; until then nobody needs to be quiet
                with quiet():
                    process.communicate(b"go")
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(f"the costs could not be measured:\n{errors.read_text()}")
        return pickle.loads(told.read_bytes())


def _serve() -> None:
    asked, told = map(Path, sys.argv[1:])
    work, tasks = pickle.loads(asked.read_bytes())
    print("ready", flush=True)
    if sys.stdin.read() != "go":
        return  # nobody is waiting any more
    measured = []
    for task in tasks:
        with get_context("fork").Pool(1) as fork:
            measured.append(fork.apply(work, (task,)))
    told.write_bytes(pickle.dumps(measured))


def peak_megabytes() -> float:
    """Megabytes (10^6 bytes): the largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
