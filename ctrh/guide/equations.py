"""Eq. (4)-(8) as printed, every array in full: to read, to print for a toy, and to see what the contraction saves.

:mod:`ctrh.guide.refine` computes the same scores without the (N, 1+P, C, D) arrays. Eq. (5) and (6) are small
and the same in both.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def products(tokens: Tensor, text: Tensor) -> Tensor:
    """Eq. (4): F_m, elementwise products of normalised tokens (N, 1+P, D) and texts (C, D) -> (N, 1+P, C, D)."""
    image, text = normalize(tokens, dim=-1), normalize(text, dim=-1)
    return image[:, :, None, :] * text[None, None, :, :]


def tag_distribution(class_token: Tensor, text: Tensor, tau: float = 2.0) -> Tensor:
    """Eq. (5): s, softmax over the tags of τ times the cosine. class_token: (N, D), text: (C, D) -> (N, C)."""
    return torch.softmax(tau * normalize(class_token, dim=1) @ normalize(text, dim=1).T, dim=1)


def tag_weights(s: Tensor) -> Tensor:
    """Eq. (6): w = s / mean over the tags of s. (N, C) -> (N, C), each row of mean 1."""
    return s / s.mean(dim=1, keepdim=True)


def redundant_features(F_m: Tensor, w: Tensor) -> Tensor:
    """Eq. (7): F_r, what the tags have in common, more of it from likely tags. (N, 1+P, C, D) -> (N, 1+P, 1, D)."""
    return (F_m * w[:, None, :, None]).mean(dim=2, keepdim=True)


def without_redundant(F_m: Tensor, w: Tensor, F_r: Tensor, weighted: bool = True) -> Tensor:
    """Eq. (8): F_u (N, 1+P, C, D), from the weighted products; ``weighted=False``: from F_m, as the scan shows it."""
    return (F_m * w[:, None, :, None] if weighted else F_m) - F_r


def token_mean_scores(F_u: Tensor) -> Tensor:
    """The sum over the D features and the mean over the 1+P tokens, (N, 1+P, C, D) -> (N, C)."""
    return F_u.sum(dim=3).mean(dim=1)
