"""Progress bars that stay out of notebooks' outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
    """``items`` with a progress bar on the terminal, if there is one and ``$TQDM_DISABLE`` is not set.

    A notebook's kernel has no terminal; workers, which share one, would write over each other's bars.
    """
    silent = True if os.environ.get("TQDM_DISABLE") else None
    return tqdm(items, desc=description, total=total, leave=False, disable=silent, file=sys.stderr)
