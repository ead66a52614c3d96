"""Trainings ahead of the notebooks that show them: while one draws its figures, a core that it leaves idle trains for
those behind it.

One process beside the notebooks, of lower priority. A notebook that is there before its trainings are does the rest
itself (:func:`ctrh.store.one_at_a_time` keeps two from doing the same), and so nothing depends on this but time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ctrh.paper.companion import Companion
from ctrh.store import file_lock


class Ahead(Companion):
    """The process, started for some notebooks at a time.

    ``jobs``: trainings at the same time. One of them is this process's; notebooks have the rest.
    """

    def __init__(self, profile: str, jobs: int) -> None:
        super().__init__()
        self.profile, self.jobs = profile, jobs

    def start(self, numbers: Sequence[int]) -> None:
        """Trains what the notebooks of these numbers show, in their order; once only, later calls do nothing."""
        if self.process is not None:
            return
        os.environ["CTRH_JOBS"] = str(max(1, self.jobs - 1))
        self.begin("ctrh.paper.plans", self.profile, *map(str, numbers), log="ahead.log")


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
