"""Tag replacement, Eq. (3)-(8): what the guide sees in a photo takes the place of what its user wrote.

With f the 1+P L2-normalised image tokens of a photo, f̄ their mean, t_c the normalised text feature of tag c
and w_c the weights of Eq. (5)-(6), the sum over features and the mean over tokens of Eq. (4)-(8) are

    weighted reading:    score_c = w_c f̄·t_c − r        r = mean over tags of (w_c f̄·t_c)
    unweighted reading:  score_c =     f̄·t_c − r

so that two (N, D) arrays take the place of an (N, 1+P, C, D) one. r is the same for all tags of a photo:
subtracting it changes neither the ranking nor a softmax over the tags. What ranks tags differently from the
class token's cosine is, in both readings, that f̄ takes its place, and in the weighted one the factor w
(which pulls tags apart where f̄·t_c > 0, as it is in CLIP, and would reverse them where it is negative).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ctrh.data.photos import Photos
from ctrh.guide.clip import Guide
from ctrh.guide.equations import tag_distribution, tag_weights
from ctrh.guide.features import ImageFeatures, image_features
from ctrh.guide.finetune import ensemble
from ctrh.progress import progress

SCORES_AT_ONCE = 4_000_000  # 16 MB of float32 a matrix, a few of which exist at a time


@dataclass(frozen=True)
class RefineConfig:
    """How to score tags.

    ``tau``: τ of Eq. (5); ``weighted``: the reading of Eq. (8); ``remove_redundant``: off predicts directly
    by the class token; ``alpha``: share of the fine-tuned weights in Eq. (2), 0 for the zero-shot guide.
    """

    tau: float = 2.0
    weighted: bool = True
    remove_redundant: bool = True
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {self.alpha}")


ZERO_SHOT = RefineConfig()
MIRFLICKR = RefineConfig(alpha=0.5)
NUSWIDE = RefineConfig(alpha=0.25)


# Neither follows a training's mixed precision, which would round the scores.
@torch.autocast("cpu", enabled=False)
def direct_scores(class_token: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Cosines of class tokens (N, D) and texts (C, D) -> (N, C) float32: prediction without Eq. (4)-(8)."""
    text = _unit(text)
    return (_unit(class_token).to(text.dtype) @ text.T).numpy()


@torch.autocast("cpu", enabled=False)
def tag_scores(
    class_token: np.ndarray, mean_token: np.ndarray, text: np.ndarray, tau: float = 2.0, weighted: bool = True
) -> np.ndarray:
    """Eq. (4)-(8), summed over features and averaged over tokens -> (N, C) float32, or float64 where ``text`` is.

    class_token: (N, D), text: (C, D), in any length; mean_token: (N, D), the mean of the *normalised* tokens.
    ``tau`` and ``weighted`` are readings of an unclear print: the other reading of (8) subtracts from the
    unweighted products.
    """
    text = _unit(text)
    w = tag_weights(tag_distribution(_unit(class_token).to(text.dtype), text, tau))  # Eq. (5), (6): (N, C)
    products = torch.as_tensor(mean_token).to(text.dtype) @ text.T  # Eq. (4), contracted
    redundant = (w * products).mean(dim=1, keepdim=True)  # Eq. (7), contracted, (N, 1)
    return ((w * products if weighted else products) - redundant).numpy()  # Eq. (8)


def _unit(vectors: np.ndarray) -> Tensor:
    # In double precision: the squares of large float32 numbers overflow, and half precision would round the cosines.
    vectors = torch.as_tensor(vectors)
    return normalize(vectors.double(), dim=1).to(torch.promote_types(vectors.dtype, torch.float32))


def tags_to_keep(tags: sp.csr_array, common: np.ndarray) -> np.ndarray:
    """Eq. (3). tags: (N, C) bool, common: (C,) bool -> K_i (N,) int64: |T_i ∩ T_common| if that is > 0, else
    |T_i|."""
    once = sp.csr_array(tags, dtype=bool, copy=True)
    once.sum_duplicates()  # a tag that is stored twice is one tag
    ones = once.astype(np.int64)
    shared = ones @ np.asarray(common, dtype=np.int64)
    return np.where(shared > 0, shared, ones.sum(axis=1))


def best_tags(scores: np.ndarray, counts: np.ndarray) -> sp.csr_array:
    """The ``counts[i]`` best tags of each photo. scores: (N, C), counts: (N,) -> (N, C) bool CSR.

    Of equal scores the lower index wins; a count above C takes all C tags, 0 none. Raises ``ValueError`` for
    NaN.
    """
    scores, words = np.asarray(scores), scores.shape[1]
    counts = np.minimum(counts, words)
    if np.isnan(scores).any() or (counts < 0).any():
        raise ValueError("scores must not be NaN, and counts not negative")
    most = int(counts.max(initial=0))
    if most == 0:
        return sp.csr_array(scores.shape, dtype=bool)
    best = -np.sort(np.partition(-scores, most - 1, axis=1)[:, :most], axis=1)  # (N, most), best first
    last = np.take_along_axis(best, np.maximum(counts - 1, 0)[:, None], axis=1)
    above = scores > last
    tied = scores == last
    free = counts - above.sum(axis=1)
    crowded = np.flatnonzero(tied.sum(axis=1) > free)  # counting is slow, and equal scores are rare
    tied[crowded] &= np.cumsum(tied[crowded], axis=1) <= free[crowded, None]
    return sp.csr_array(above | tied)


def refine(
    photos: Photos, guide: Guide, config: RefineConfig = ZERO_SHOT, fine_tuned: Guide | None = None
) -> sp.csr_array:
    """The tags that replace T_i, Eq. (2)-(8): (N, C) bool CSR over the vocabulary; no tags stay no tags.

    ``guide``: the zero-shot guide; ``fine_tuned``: what :func:`ctrh.guide.finetune.finetune` made of it,
    needed when ``config.alpha`` > 0 (else ``ValueError``). Scores are made and dropped block by block: beside
    the features and the result, memory does not grow with N or C.
    """
    guide = mixed_guide(guide, fine_tuned, config.alpha)
    features = image_features(guide, photos.images)
    text = guide.text_features(photos.vocabulary)
    return replaced_tags(features, text, tags_to_keep(photos.tags, photos.common), config)


def replaced_tags(
    features: ImageFeatures, text: np.ndarray, counts: np.ndarray, config: RefineConfig = ZERO_SHOT
) -> sp.csr_array:
    """The ``counts[i]`` tags that score best for photo i. features: of N photos, text: (C, D) -> (N, C) bool CSR."""
    rows = max(1, SCORES_AT_ONCE // max(1, len(text)))
    blocks = [
        best_tags(
            scores_of(features.class_token[part], features.mean_token[part], text, config), counts[part]
        )
        for start in progress(range(0, len(counts), rows), "replacing tags")
        for part in [slice(start, start + rows)]
    ]
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def mixed_guide(zero_shot: Guide, fine_tuned: Guide | None, alpha: float) -> Guide:
    """The guide of Eq. (2); at ``alpha`` 0 the zero-shot guide itself, and ``fine_tuned`` is not needed."""
    if alpha == 0:
        return zero_shot
    if fine_tuned is None:
        raise ValueError(f"alpha is {alpha}: pass the fine-tuned guide too (finetune), or set alpha to 0")
    state = ensemble(zero_shot.model.state_dict(), fine_tuned.model.state_dict(), alpha)
    return zero_shot.with_weights(state, f"{zero_shot.name}, alpha {alpha:g}")


def scores_of(
    class_token: np.ndarray, mean_token: np.ndarray, text: np.ndarray, config: RefineConfig
) -> np.ndarray:
    """(N, C) scores as ``config`` wants them: :func:`tag_scores` or :func:`direct_scores`."""
    if config.remove_redundant:
        return tag_scores(class_token, mean_token, text, config.tau, config.weighted)
    return direct_scores(class_token, text)
