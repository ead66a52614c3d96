"""The four losses of CTRH and their sum, Eq. (15)-(19): pure functions of what the network gives for a batch.

Letters: N images, K bits, C tags, D text width. ``h`` (N, K) relaxed codes in (0, 1), ``v`` (N, D) mapped
codes, ``r`` (N, D) text representations, ``attention`` (N, C) A_i over the vocabulary, ``tags`` (N, C) bool.

Empty cases: the cosine with a zero vector is 0 (an image without a tag has r = 0), and a zero vector gets a
finite gradient; a batch of one has no pairs, so (16) and (17) are 0; an image without a tag adds nothing to
(18). All of them stay attached to the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TERMS = ("quantisation", "hinge", "similarity", "tag_balanced")


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", got {reduction!r}')


@dataclass(frozen=True)
class LossConfig:
    """Weights and readings of Eq. (15)-(19); the defaults are the article's for MirFlickr.

    Readings (METHOD.md), each with its other value: ``weights`` has 10 at the hinge, else (1, 1, 10, 15);
    ``reduction`` of (16) and (17): "mean" over the N(N-1) pairs, else "sum"; ``beta`` of (18): "uniform" 1/C,
    else "inverse_frequency" (:func:`inverse_frequency`); ``normalise_attention``: A_i/||A_i|| in (18), else
    A_i; ``similarity_into_text``: (17) trains r as well, else only h; ``gamma`` of (18) in {0, 1, 2}.
    """

    weights: tuple[float, float, float, float] = (1.0, 10.0, 1.0, 15.0)
    margin: float = 0.7
    gamma: float = 1.0
    beta: str = "uniform"
    normalise_attention: bool = True
    reduction: str = "mean"
    similarity_into_text: bool = True

    def __post_init__(self) -> None:
        if len(self.weights) != 4 or min(self.weights) < 0:
            raise ValueError(f"weights must be four numbers >= 0 ({', '.join(TERMS)}), got {self.weights}")
        if self.gamma < 0:
            raise ValueError(f"gamma must be >= 0, got {self.gamma}")
        if self.beta not in ("uniform", "inverse_frequency"):
            raise ValueError(f'beta must be "uniform" or "inverse_frequency", got {self.beta!r}')
        _check_reduction(self.reduction)


MIRFLICKR = LossConfig()
NUSWIDE = replace(MIRFLICKR, margin=0.9)


def quantisation_loss(h: Tensor) -> Tensor:
    """Eq. (15): -(1/N) sum_i ||h_i - 0.5||^2 / K.  h: (N, K) -> scalar, least (-1/4) for binary h."""
    return -(h - 0.5).square().mean()


def hinge_loss(r: Tensor, v: Tensor, margin: float, reduction: str = "mean") -> Tensor:
    """Eq. (16): sum_i sum_{j != i} max(0, margin + cos(r_j, v_i) - cos(r_i, v_i)).  r, v: (N, D) -> scalar.

    v_i should be nearer to its own text r_i than to any other by the margin. ``reduction``: "mean" over the
    N(N-1) pairs or "sum".
    """
    _check_same("r", r, "v", v)
    cosine = _unit(v) @ _unit(r).T  # (N, N), cosine[i, j] = cos(v_i, r_j)
    return _over_pairs((margin + cosine - cosine.diagonal()[:, None]).relu(), reduction)


def similarity_loss(h: Tensor, r: Tensor, reduction: str = "mean", into_text: bool = True) -> Tensor:
    """Eq. (17): sum_i sum_j | ||h_i - h_j||^2/K - (1 - cos(r_i, r_j))/2 |.  h: (N, K), r: (N, D) -> scalar.

    ``reduction``: "mean" over the N(N-1) pairs (those with i = j are zero) or "sum". With ``into_text=False``
    r is a fixed target: the codes follow the text and not the other way round.
    """
    if len(h) != len(r):
        raise ValueError(f"h and r must be of the same images, got {tuple(h.shape)} and {tuple(r.shape)}")
    centred = (
        h - 0.5
    )  # distances stay as they are, and smaller numbers cancel with less error in the next line
    square = centred.square().sum(dim=1)
    distance = (square[:, None] + square[None, :] - 2 * centred @ centred.T) / h.shape[1]
    unit = _unit(r if into_text else r.detach())
    return _over_pairs((distance - (1 - unit @ unit.T) / 2).abs(), reduction)


def tag_balanced_loss(
    attention: Tensor,
    tags: Tensor,
    gamma: float = 1.0,
    beta: Tensor | None = None,
    normalise: bool = True,
    length: Tensor | None = None,
) -> Tensor:
    """Eq. (18): -(1/N) sum_i sum_c beta_c T_i^c [1 - s(A_i^c)]^gamma log s(A_i^c).  attention, tags: (N, C)
    -> scalar.

    s is the sigmoid. Tags of low confidence weigh more. ``beta``: (C,) weights, None for 1/C; ``normalise``:
    A_i is divided by its length first.

    Only an image's own tags add to the sum. So instead of the whole vocabulary the columns may be each image's
    own tags with padding, (N, M): ``tags`` then tells them from the padding, and ``beta`` (broadcast to (N, M))
    and ``length`` (N,), the length of A_i over the whole vocabulary, have to be given.
    """
    _check_same("attention", attention, "tags", tags)
    if normalise and length is None:
        scores = _unit(attention)
    else:
        scores = attention / torch.where(length > 0, length, 1)[:, None] if normalise else attention
    # The power is taken of the logarithm: 1 - sigmoid underflows for large scores, and 0**gamma has no
    # gradient.
    focal = -torch.exp(gamma * F.logsigmoid(-scores)) * F.logsigmoid(scores)
    if beta is None:
        beta = attention.new_full((attention.shape[1],), 1 / attention.shape[1])
    return (focal * tags * beta).sum() / len(attention)


def inverse_frequency(counts: Tensor) -> Tensor:
    """The beta of Eq. (18) by inverse tag frequency.  counts: (C,) images per tag -> (C,), of sum 1 as 1/C
    has.

    A tag that no image carries gets 0. Raises ``ValueError`` when no tag is used at all.
    """
    used = counts > 0
    if not used.any():
        raise ValueError("no image has a tag: inverse tag frequencies do not exist")
    inverse = torch.where(used, 1 / counts.clamp(min=1), 0)
    return inverse / inverse.sum()


def total_loss(
    h: Tensor,
    v: Tensor,
    r: Tensor,
    attention: Tensor | None,
    tags: Tensor,
    config: LossConfig,
    beta: Tensor | None = None,
    length: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. (19): the weighted sum, and each term of ``TERMS`` before weighting, detached.

    ``attention`` is None where nothing weighs the tags (the article's Baseline and +TR): then (18) is left out.
    ``beta``, ``length``: as in :func:`tag_balanced_loss`; without ``beta``, "inverse_frequency" is refused.
    """
    if beta is None and config.beta != "uniform":
        raise ValueError(f'beta is missing, but config.beta is "{config.beta}"')
    terms = {
        "quantisation": quantisation_loss(h),
        "hinge": hinge_loss(r, v, config.margin, config.reduction),
        "similarity": similarity_loss(h, r, config.reduction, config.similarity_into_text),
    }
    if attention is not None:
        terms["tag_balanced"] = tag_balanced_loss(
            attention, tags, config.gamma, beta, config.normalise_attention, length
        )
    loss = sum(
        weight * terms[name] for name, weight in zip(TERMS, config.weights, strict=True) if name in terms
    )
    return loss, {name: term.detach() for name, term in terms.items()}


class _Unit(torch.autograd.Function):
    """Its gradient by hand is a few operations; that of the division and the length would be three times as many."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        length = length.masked_fill(length == 0, 1)
        unit = x / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        along = (unit * gradient).sum(dim=1, keepdim=True)
        return torch.addcmul(gradient, unit, along, value=-1) / length


def _unit(x: Tensor) -> Tensor:
    """(N, D) -> rows of length one. F.normalize would answer a zero row with gradients of 1e12."""
    return _Unit.apply(x)


def _over_pairs(values: Tensor, reduction: str) -> Tensor:
    """(N, N) -> the sum or mean over i != j; 0 for N = 1."""
    _check_reduction(reduction)
    count = len(values)
    total = values.masked_fill(torch.eye(count, dtype=torch.bool, device=values.device), 0).sum()
    return total if reduction == "sum" else total / max(count * (count - 1), 1)


def _check_same(name: str, value: Tensor, other: str, compared: Tensor) -> None:
    if value.shape != compared.shape:
        raise ValueError(
            f"{name} and {other} must have one shape, got {tuple(value.shape)} and {tuple(compared.shape)}"
        )
