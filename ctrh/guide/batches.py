"""Networks over many pictures: on a processor batches side by side, on a graphics card one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ctrh.data.images import in_threads
from ctrh.progress import progress

R = TypeVar("R")
AT_ONCE = 8  # batches, at most: their memory adds up


def batch_by_batch(
    rows: np.ndarray,
    prepare: Callable[[int], Tensor],
    compute: Callable[[Tensor], R],
    title: str,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> Iterator[tuple[slice, R]]:
    """``compute`` of the prepared pictures (B, 3, H, W) of each batch of ``rows``, in order, with its place in them.

    ``compute`` must not mind in which thread it runs (``torch.inference_mode`` is a thread's own). A processor's threads
    share no batch, as far as there are enough: on small networks they would wait for each other half of the time.
    """
    places = [slice(start, min(start + batch_size, len(rows))) for start in range(0, len(rows), batch_size)]
    if torch.device(device).type != "cpu":
        ready = in_threads(prepare, rows.tolist())
        for place in progress(places, title):
            yield place, compute(torch.stack([next(ready) for _ in rows[place]]))
        return

    def whole(place: slice) -> R:
        return compute(torch.stack([prepare(row) for row in rows[place].tolist()]))

    with _shared_threads(min(AT_ONCE, len(places) or 1)) as at_once:
        results = in_threads(whole, places, at_once)
        yield from zip(places, progress(results, title, len(places)), strict=True)


@contextmanager
def _shared_threads(tasks: int) -> Iterator[int]:
    """How many of ``tasks`` to run at once; torch's threads are shared out among them until the end."""
    threads = torch.get_num_threads()
    at_once = min(tasks, threads)
    torch.set_num_threads(threads // at_once)
    try:
        yield at_once
    finally:
        torch.set_num_threads(threads)
