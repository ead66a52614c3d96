"""UHSCM: unsupervised hashing with semantic concept mining (Tu et al., Proc. ACM Manag. Data 2023, arXiv 2209.11475).

A vision-language model says which of many concepts a picture shows; how alike these distributions are teaches the codes.
No tag is read: as CTRH does, it learns what the guide knows. Names and forms of the equations are those of the authors'
public code, which leaves open α, γ and λ (arguments of every call there).

Letters: N images, K bits, C concepts, C' of them kept. ``d`` (N, C) concept distributions; ``S`` (N, N) similarities in
[-1, 1]; ``z`` (N, K) relaxed codes in (-1, 1), here 2h - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ctrh.methods.deep import DeepHasher, HashNetwork, Inputs, full_precision, readable, weighted_sum
from ctrh.parallel import gathered
from ctrh.training import TrainConfig, TrainingData

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = TrainConfig(
    epochs=60, batch_size=128, lr_head=6e-3, lr_backbone=3e-4, momentum=0, weight_decay=1e-5
)


@dataclass(frozen=True)
class UHSCMConfig:
    """``weights``: of the similarity, quantisation (β) and contrastive (α) terms; ``temperature``: γ; ``threshold``: λ, from
    which similarity on two images are a pair of the contrastive term. β is the authors'; of α, γ and λ they print no default.
    ``least_share``: of N/C images, that a concept is the first of, so as to be kept."""

    bits: int = 48
    train: TrainConfig = field(default_factory=lambda: PUBLISHED)
    weights: tuple[float, float, float] = (1.0, 0.001, 0.2)
    temperature: float = 0.2
    threshold: float = 0.5
    least_share: float = 0.5

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not -1 <= self.threshold <= 1:
            raise ValueError(
                f"temperature must be above 0 and threshold in [-1, 1], got {self.temperature}, {self.threshold}"
            )


def kept_concepts(d: np.ndarray, least_share: float = 0.5) -> np.ndarray:
    """Concept denoising: those that are the most likely one of more than ``least_share`` N/C images.  d: (N, C) -> (C,) bool.

    With f_c the number of images whose largest d is that of c, a concept is kept where f_c > ``least_share`` N/C.
    """
    images, concepts = d.shape
    first = np.bincount(d.argmax(axis=1), minlength=concepts)  # f (C,)
    return first > least_share * images / concepts


def concept_similarity(d: Tensor) -> Tensor:
    """S_ij = 2 cos(d_i, d_j) - 1, from 0 upwards where two images share most of what they show.  d: (N, C') -> (N, N)."""
    unit = normalize(d, dim=1)
    return 2 * unit @ unit.T - 1


def similarity_loss(z: Tensor, S: Tensor) -> Tensor:
    """L_s = (1/N^2) sum_i sum_j (cos(z_i, z_j) - S_ij)^2.  z: (N, K), S: (N, N) -> scalar."""
    unit = normalize(z, dim=1)
    return (unit @ unit.T - S).square().mean()


def contrastive_loss(z: Tensor, S: Tensor, threshold: float, temperature: float) -> Tensor:
    """The modified contrastive loss: the mean over pairs with S_ij >= λ, i = j among them, of

        -log( e_ij / (1e-5 + sum_{k: S_ik < λ} e_ik) ),     e_ij = exp(cos(z_i, z_j) / γ).

    z: (N, K), S: (N, N) -> scalar; λ = ``threshold``, γ = ``temperature``. All that is alike is a positive, and negatives
    alone are in the denominator, so that no pair of like images is pushed apart. 0 without pairs.
    """
    unit = normalize(z, dim=1)
    logits = unit @ unit.T / temperature  # (N, N)
    alike = threshold <= S
    negatives = (logits.exp() * ~alike).sum(dim=1, keepdim=True) + 1e-5  # (N, 1)
    return ((negatives.log() - logits) * alike).sum() / alike.sum().clamp(min=1)


def quantisation_loss(z: Tensor) -> Tensor:
    """L_q = (1/N) sum_i ||sgn(z_i) - z_i||^2.  z: (N, K) -> scalar."""
    return (1 - z.abs()).square().sum() / len(z)


class UHSCMNetwork(HashNetwork):
    """Backbone and hash layer, taught by similarities of concepts."""

    def __init__(self, backbone: nn.Module, width: int, config: UHSCMConfig) -> None:
        super().__init__(backbone, width, config.bits)
        self.config = config

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch: ``x`` as in ``forward``, ``concepts`` (N, C') -> loss, terms."""
        with full_precision(*gathered(self(batch["x"]), batch["concepts"])) as (h, d):
            z, S, config = 2 * h - 1, concept_similarity(d), self.config
            terms = {
                "similarity": similarity_loss(z, S),
                "quantisation": quantisation_loss(z),
                "contrastive": contrastive_loss(z, S, config.threshold, config.temperature),
            }
            return weighted_sum(terms, config.weights)


class UHSCM(DeepHasher):
    """Codes as alike as what a guide sees in the pictures."""

    name, needs = "UHSCM", "concepts"
    colour, dashes, marker = "#7A4FBF", (0, (4, 1.2)), "h"
    config_type = UHSCMConfig
    facts = ()

    def fit(
        self, inputs: Inputs, concepts: np.ndarray, text: np.ndarray | None = None, checkpoints: Path | None = None
    ) -> pd.DataFrame:
        """As :meth:`DeepHasher.fit` with (N, C) ``concepts``, the guide's distribution over a vocabulary, in the place of
        tags; ``text`` is not looked at. Raises ``ValueError`` for another number of images or values that are not finite.
        """
        inputs, concepts = readable(inputs), np.asarray(concepts, dtype=np.float32)
        if len(inputs) != len(concepts) or not np.isfinite(concepts).all():
            raise ValueError(
                f"concepts must be finite and of {len(inputs)} images, got an array of {concepts.shape}"
            )
        # What is left of a softmax is, up to its length, the softmax over what is left.
        kept = concepts[:, kept_concepts(concepts, self.config.least_share)]
        return self._learn(TrainingData(inputs, {"concepts": torch.from_numpy(kept)}), {}, checkpoints)

    def _facts(self, tags: object, text: Tensor) -> dict[str, Tensor]:
        return {}

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> UHSCMNetwork:
        return UHSCMNetwork(backbone, width, self.config)
