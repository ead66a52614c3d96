"""From inputs to codes with a trained network, batch by batch, and what a set of codes looks like.

Letters: N images, K bits. Inputs are either a tensor in memory, (N, F) features or (N, 3, H, W) pictures, or
a ``torch.utils.data.Dataset`` that reads pictures one by one as (3, H, W).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ctrh.retrieval.codes import distinct_codes, pack


class CodesCollapsed(UserWarning):
    """Training ended with (nearly) the same code for every image."""


class Reader:
    """Reads batches of ``inputs``; the ``workers`` that decode pictures of a Dataset live as long as it does.

    What a worker gives for a row must depend on the row alone, and on the number that is handed over with it.
    """

    def __init__(self, inputs: Tensor | Dataset, workers: int = 0) -> None:
        self.inputs = inputs
        self._asked: list[list[Any]] = []
        if not isinstance(inputs, Tensor):
            self._loader = DataLoader(
                _Drawn(inputs),
                batch_sampler=_Asked(self._asked),
                num_workers=min(workers, os.cpu_count() or 1),
                # The system's own way to start them: within a worker of joblib's the default would be joblib's.
                multiprocessing_context=multiprocessing.get_all_start_methods()[0] if workers else None,
                persistent_workers=workers > 0,
                pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # of its own, so that nobody else's is moved on
            )

    def batches(self, rows: Sequence[Tensor], drawn: int | None = None) -> Iterator[Tensor]:
        """For each (B,) of ``rows`` the inputs (B, ...), one pass at a time.

        With ``drawn`` pictures are changed at random (``inputs.drawn(row, drawn)``), in the same way for the same number.
        """
        if isinstance(self.inputs, Tensor):
            return (self.inputs[chosen] for chosen in rows)
        self._asked[:] = ([(row, drawn) for row in chosen.tolist()] for chosen in rows)
        return iter(self._loader)


class _Asked(Sampler):
    """The batches of one pass, which change under a loader that stays."""

    def __init__(self, batches: list[list[Any]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Drawn(Dataset):
    """``inputs`` by row and number: None for the input itself."""

    def __init__(self, inputs: Dataset) -> None:
        self.inputs = inputs

    def __getitem__(self, asked: tuple[int, int | None]) -> Tensor:
        row, number = asked
        return self.inputs[row] if number is None else self.inputs.drawn(row, number)


def relaxed_codes(
    model: nn.Module,
    inputs: Tensor | Dataset | Reader,
    rows: np.ndarray | None = None,
    batch_size: int = 256,
    workers: int = 0,
) -> Tensor:
    """h of the images ``rows`` (all by default) -> (N, K) on the CPU; computed in evaluation mode.

    ``workers`` read the pictures of a Dataset; a :class:`Reader` has its own.
    """
    reader = inputs if isinstance(inputs, Reader) else Reader(inputs, workers)
    rows = np.arange(len(reader.inputs)) if rows is None else rows
    batches = torch.from_numpy(rows).split(batch_size)
    like = next(model.parameters())
    with torch.inference_mode(), mode(model, training=False):
        h = [model(x.to(like.device, like.dtype)).cpu() for x in reader.batches(batches)]
    return torch.cat(h)


def code_statistics(h: Tensor) -> dict[str, Any]:
    """What tells healthy codes from collapsed ones.  h: (N, K) in (0, 1), code = h > 0.5.

    ``unique_codes``: distinct codes / N. ``bit_balance``: mean over bits of 1 - |2p - 1|, p the share of
    images with the bit on; 1 when every bit halves the images. ``dead_bits``: how many bits are the same for
    all. ``mean_deviation``: mean |h - 1/2|; 1/2 when h is binary. ``note``: "" or that the codes have
    collapsed, which is said when images outnumber distinct codes a hundred to one, or there is but one code.
    """
    bits = h > 0.5
    count, distinct = len(bits), distinct_codes(pack(bits.cpu().numpy()))
    on = bits.double().mean(dim=0)
    dead = int(((on == 0) | (on == 1)).sum())
    note = ""
    if count > 1 and distinct <= max(1, count // 100):
        note = (
            f"the codes have collapsed: {distinct} distinct among {count} images, {dead} of "
            f"{bits.shape[1]} bits constant; retrieval will be near chance. Raise the hinge's weight or "
            "lower the learning rates."
        )
    return {
        "unique_codes": distinct / count,
        "bit_balance": float((1 - (2 * on - 1).abs()).mean()),
        "dead_bits": dead,
        "mean_deviation": float((h.double() - 0.5).abs().mean()),
        "note": note,
    }


@contextlib.contextmanager
def mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for a while; each part's own mode comes back afterwards."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training
