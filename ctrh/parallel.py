"""Losses over pairs when several devices share a batch: every device sees all rows, and the weights learn as if one
device had seen them.

Each of W devices computes the same loss of the same gathered rows. Backward hands a device the gradient of its own
rows times W; the mean over devices, which data parallelism takes of the weights' gradients, divides by W again. So
whatever meets gathered rows in a loss must be gathered too, or be the same on all devices. Terms that are means over
images alone need not be: the mean of the devices' means is the mean.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(*parts: Tensor) -> tuple[Tensor, ...]:
    """Each of ``parts``, (N, ...) on every device, as the rows of all devices in their order, (W * N, ...).

    The rows of one device alone come back as they are. N must be the same on all devices.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return parts
    return tuple(_Gather.apply(part) for part in parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        everyone = own.new_empty((dist.get_world_size() * len(own), *own.shape[1:]))
        dist.all_gather_into_tensor(everyone, own.contiguous())
        return everyone

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        devices, device = dist.get_world_size(), dist.get_rank()
        return devices * gradient.chunk(devices)[device]
