"""Progress bars that stay out of notebooks' outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
    """``items`` with a progress bar on the terminal, if there is one.

    Inside a notebook that ``run_all.sh`` runs, the bar goes to the file named by ``$CTRH_PROGRESS``, from which
    the runner shows it: written to the notebook's own output, it would be stored there line by line. The null device as
    that file means none.
    """
    path = os.environ.get("CTRH_PROGRESS")
    if path is None:
        yield from tqdm(items, desc=description, total=total, leave=False, disable=None, file=sys.stderr)
        return
    if path == os.devnull:
        yield from items
        return
    with open(path, "a", encoding="utf-8") as sink:
        yield from tqdm(
            items, desc=description, total=total, leave=False, disable=False, file=sink, ascii=True
        )
