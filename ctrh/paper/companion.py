"""A process beside the notebooks' runner, which ends with it."""

from __future__ import annotations

import subprocess
import sys
from typing import Self

from ctrh.store import cache_dir


class Companion:
    """The process, once it is started; it ends with the block, or with this process, however it ends: its module has to
    end when its standard input does."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def begin(self, module: str, *arguments: str, log: str, stdout: int | None = None) -> None:
        """Runs ``module``. What it says goes to the file ``log`` beside the notebooks' records, or its output to ``stdout``."""
        path = cache_dir() / "notebooks" / log
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lines:
            # A session of its own: Ctrl-C is for the runner, which ends it.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=lines if stdout is None else stdout,
                stderr=lines,
                text=True,
                start_new_session=True,
            )

    @property
    def pids(self) -> tuple[int, ...]:
        return () if self.process is None else (self.process.pid,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
