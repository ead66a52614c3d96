"""The pairwise losses (16) and (17) with their gradients, beside all pairs written out as N x N x D and N x N x K."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.measuring import Result, timed, timed_with_memory
from ctrh.losses import hinge_loss, similarity_loss

BITS, WIDTH, MARGIN = 64, 512, 0.7
# images of a batch, and of the largest batch that all pairs are written out for
SIZES = {"full": (4096, 256), "small": (1024, 128), "tiny": (24, 24)}


def run(scale: str) -> Iterator[Result]:
    images, written_out = SIZES[scale]
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(images, BITS, generator=generator)
    r, v = torch.randn(2, images, WIDTH, generator=generator)
    pairs = {
        "loss (16)": (lambda r, v: hinge_loss(r, v, MARGIN), hinge_of_all_pairs, (r, v)),
        "loss (17)": (similarity_loss, similarity_of_all_pairs, (h, r)),
    }
    for name, (ours, reference, inputs) in pairs.items():
        few = [part[:written_out] for part in inputs]
        reference_s, (value, gradients) = timed(with_gradients, reference, few)
        few_s, (same, own) = timed(with_gradients, ours, few, repeats=3)
        difference = max(
            float((a - b).abs().max()) for a, b in zip([value, *gradients], [same, *own], strict=True)
        )
        yield Result(name, f"value and gradients, {written_out} images", few_s, reference_s, difference)
        if images > written_out:
            ours_s, megabytes, _ = timed_with_memory(with_gradients, ours, inputs)
            size = f"value and gradients, {images} images; reference extrapolated from {written_out}"
            extrapolated = reference_s * (images / written_out) ** 2
            yield Result(name, size, ours_s, extrapolated, 0.0, {"peak extra MB": megabytes})


def with_gradients(loss: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    leaves = [part.clone().requires_grad_() for part in inputs]
    value = loss(*leaves)
    value.backward()
    return value.detach(), [leaf.grad for leaf in leaves]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (N, D) -> (N, N): cos(a_i, b_j), every product written out."""
    a, b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    return (a[:, None, :] * b[None, :, :]).sum(dim=2)


def hinge_of_all_pairs(r: Tensor, v: Tensor) -> Tensor:
    cosine = cosines(v, r)
    own = cosine.diagonal()
    terms = (MARGIN + cosine - own[:, None]).clamp(min=0)
    count = len(r)
    return (terms.sum() - terms.diagonal().sum()) / (count * (count - 1))


def similarity_of_all_pairs(h: Tensor, r: Tensor) -> Tensor:
    distance = (h[:, None, :] - h[None, :, :]).square().sum(dim=2) / h.shape[1]
    terms = (distance - (1 - cosines(r, r)) / 2).abs()
    count = len(h)
    return (terms.sum() - terms.diagonal().sum()) / (count * (count - 1))
