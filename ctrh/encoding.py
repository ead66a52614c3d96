"""From inputs to codes with a trained network, batch by batch, and what a set of codes looks like.

Letters: N images, K bits. Inputs are either a tensor in memory, (N, F) features or (N, 3, H, W) pictures, or
a ``torch.utils.data.Dataset`` that reads pictures one by one as (3, H, W).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class CodesCollapsed(UserWarning):
    """Training ended with (nearly) the same code for every image."""


def read_batches(
    inputs: Tensor | Dataset,
    rows: Sequence[Tensor],
    workers: int = 0,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """For each (B,) of ``rows`` the inputs (B, ...); ``generator`` seeds the workers of a Dataset."""
    if isinstance(inputs, Tensor):
        return (inputs[chosen] for chosen in rows)
    chosen = [row.tolist() for row in rows]
    pinned = torch.cuda.is_available()
    return iter(
        DataLoader(inputs, batch_sampler=chosen, num_workers=workers, generator=generator, pin_memory=pinned)
    )


def relaxed_codes(
    model: nn.Module,
    inputs: Tensor | Dataset,
    rows: np.ndarray | None = None,
    batch_size: int = 256,
    workers: int = 0,
) -> Tensor:
    """h of the images ``rows`` (all by default) -> (N, K) on the CPU; computed in evaluation mode."""
    rows = np.arange(len(inputs)) if rows is None else rows
    batches = torch.from_numpy(rows).split(batch_size)
    like = next(model.parameters())
    with torch.inference_mode(), mode(model, training=False):
        h = [model(x.to(like.device, like.dtype)).cpu() for x in read_batches(inputs, batches, workers)]
    return torch.cat(h)


def code_statistics(h: Tensor) -> dict[str, Any]:
    """What tells healthy codes from collapsed ones.  h: (N, K) in (0, 1), code = h > 0.5.

    ``unique_codes``: distinct codes / N. ``bit_balance``: mean over bits of 1 - |2p - 1|, p the share of
    images with the bit on; 1 when every bit halves the images. ``dead_bits``: how many bits are the same for
    all. ``mean_deviation``: mean |h - 1/2|; 1/2 when h is binary. ``note``: "" or that the codes have
    collapsed, which is said when images outnumber distinct codes a hundred to one, or there is but one code.
    """
    bits = h > 0.5
    count, distinct = len(bits), len(bits.unique(dim=0))
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
