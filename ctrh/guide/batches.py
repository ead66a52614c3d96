"""Networks over many pictures: on a processor batches side by side, on a graphics card one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ctrh.data.images import in_threads
from ctrh.progress import progress

AT_ONCE = 8  # batches, at most: their memory adds up
# A matrix product of fewer rows may be summed in another order. A photo's features must not depend on which photos it is
# computed with, so a short batch is filled up.
AT_LEAST = 32


def batch_by_batch(
    rows: np.ndarray,
    prepare: Callable[[int], Tensor],
    compute: Callable[[Tensor], tuple[np.ndarray, ...]],
    title: str,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """``compute`` of the prepared pictures (B, 3, H, W) of each batch of ``rows``, in order, with its place in them:
    arrays of B rows, the same whatever else is in the batch.

    ``compute`` must not mind in which thread it runs (``torch.inference_mode`` is a thread's own). A processor's threads
    share no batch, as far as there are enough: on small networks they would wait for each other half of the time.
    """
    places = [slice(start, min(start + batch_size, len(rows))) for start in range(0, len(rows), batch_size)]
    if torch.device(device).type != "cpu":
        ready = in_threads(prepare, rows.tolist())
        for place in progress(places, title):
            yield place, _of_a_batch(compute, [next(ready) for _ in rows[place]])
        return

    def whole(place: slice) -> tuple[np.ndarray, ...]:
        return _of_a_batch(compute, [prepare(row) for row in rows[place].tolist()])

    with _shared_threads(min(AT_ONCE, len(places) or 1)) as at_once:
        results = in_threads(whole, places, at_once)
        yield from zip(places, progress(results, title, len(places)), strict=True)


def _of_a_batch(
    compute: Callable[[Tensor], tuple[np.ndarray, ...]], pictures: list[Tensor]
) -> tuple[np.ndarray, ...]:
    filled = pictures + pictures[-1:] * (AT_LEAST - len(pictures))
    return tuple(array[: len(pictures)] for array in compute(torch.stack(filled)))


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
