"""Trainings ahead of the notebooks that show them: while one draws its figures, a core that it leaves idle trains for
those behind it.

One process beside the notebooks, of lower priority. A notebook that is there before its trainings are does the rest
itself (:func:`ctrh.store.one_at_a_time` keeps two from doing the same), and so nothing depends on this but time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ctrh.store import cache_dir, file_lock


class Ahead:
    """The process, started for some notebooks at a time; it ends with the block, or with this process, however it ends.

    ``jobs``: trainings at the same time. One of them is this process's; notebooks have the rest.
    """

    def __init__(self, profile: str, jobs: int) -> None:
        self.profile, self.jobs = profile, jobs
        self.process: subprocess.Popen | None = None

    def start(self, numbers: Sequence[int]) -> None:
        """Trains what the notebooks of these numbers show, in their order; once only, later calls do nothing."""
        if self.process is not None:
            return
        os.environ["CTRH_JOBS"] = str(max(1, self.jobs - 1))
        log = cache_dir() / "notebooks" / "ahead.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "ctrh.paper.plans", self.profile, *map(str, numbers)]
        with log.open("w") as lines:
            # A session of its own: Ctrl-C is for the notebooks. What it reads from is never written to, and ends with us.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=lines, stderr=lines, start_new_session=True
            )

    @property
    def pids(self) -> tuple[int, ...]:
        return () if self.process is None else (self.process.pid,)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.kill()  # what is stored is stored whole or not at all
            self.process.wait()
            self.process.stdin.close()


@contextmanager
def turn() -> Iterator[None]:
    """Around each training that goes ahead: waits while somebody measures times, or asks to."""
    with file_lock("asked"):
        pass
    with file_lock("turn"):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Around what measures times: the training that goes ahead comes to its end, and none begins until the block's end."""
    with file_lock("asked"), file_lock("turn"):
        yield
