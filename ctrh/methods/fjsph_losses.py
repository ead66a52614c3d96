"""The terms of FJSPH and their sum: pure functions of what the two heads give for a batch of pairs.

Tang, Yang, Zhao, Zhai, Computer Science 2025, 52(6A): 240400151. Its abstract names the terms and no formula; the
forms here are the field's usual ones, and docs/fjsph_choices.md says why.

Letters: N pairs (photo, text), K bits, L labels, D width of a representation. ``image`` and ``text``: (N, K) relaxed
codes u_i and w_i in (-1, 1). ``labels``: (N, L) bool.

Empty cases: a pair without a label says nothing about similarity (it is unknown, not different), so it is left out of
the sample-wise and the cluster-wise term; a batch without any labelled pair makes both 0. A batch of one has no
negatives: its contrastive term is 0. All of them stay attached to the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import hadamard
from torch import Tensor

TERMS = ("contrastive", "sample", "cluster", "quantisation")


@dataclass(frozen=True)
class FJSPHLossConfig:
    """Weights of the four terms and the choices that the abstract leaves open (docs/fjsph_choices.md).

    ``temperature``: of the contrastive term; ``negatives``: "all" other pairs of the batch as in CLIP, or only the
    "unrelated" ones, which share no label; ``overlap``: pairs are similar when they share "any" label, or by the
    "cosine" of their label vectors; ``sharpness``: the largest logit of the sample-wise term, None for DCMH's K/2;
    ``within``: compare codes within a modality, too; ``anchors``: "learned" class centres, or fixed "hadamard" ones;
    ``cluster_sharpness``: the largest logit of the cluster-wise term.
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 0.5)
    temperature: float = 0.2
    negatives: str = "unrelated"
    overlap: str = "any"
    sharpness: float | None = None
    within: bool = False
    anchors: str = "learned"
    cluster_sharpness: float = 8.0

    def __post_init__(self) -> None:
        if len(self.weights) != 4 or min(self.weights) < 0:
            raise ValueError(f"weights must be four numbers >= 0 ({', '.join(TERMS)}), got {self.weights}")
        for name, allowed in (
            ("negatives", ("all", "unrelated")),
            ("overlap", ("any", "cosine")),
            ("anchors", ("learned", "hadamard")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("temperature", "sharpness", "cluster_sharpness"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def label_similarity(labels: Tensor, overlap: str = "any") -> Tensor:
    """S_ij in [0, 1] from (N, L) labels -> (N, N).

    "any": 1 when i and j share a label; "cosine": |l_i and l_j| / sqrt(|l_i| |l_j|), 0 without labels.
    """
    given = labels.float()
    shared = given @ given.T
    if overlap == "any":
        return (shared > 0).float()
    count = given.sum(dim=1).clamp(min=1)
    return shared / (count[:, None] * count[None, :]).sqrt()


def contrastive_loss(
    image: Tensor, text: Tensor, temperature: float, related: Tensor | None = None
) -> Tensor:
    """-(1/2N) sum_i [log p(i | image_i) + log p(i | text_i)].  image, text: (N, D) representations -> scalar.

    p(j | image_i) = exp(cos(image_i, text_j) / temperature) / sum_k exp(cos(image_i, text_k) / temperature), and
    likewise from text to image. ``related``: (N, N) bool, the pairs (i, k) that are no negatives of each other and
    are left out of the sums (the own pair stays).
    """
    logits = F.normalize(image, dim=1) @ F.normalize(text, dim=1).T / temperature
    own = torch.arange(len(logits), device=logits.device)
    if related is not None:
        logits = logits.masked_fill(
            related & ~torch.eye(len(own), dtype=torch.bool, device=own.device), -torch.inf
        )
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def sample_similarity_loss(first: Tensor, second: Tensor, similarity: Tensor, sharpness: float) -> Tensor:
    """-mean_ij [S_ij log s(O_ij) + (1 - S_ij) log(1 - s(O_ij))],  O_ij = sharpness <first_i, second_j> / K.

    first: (N, K), second: (M, K) relaxed codes, similarity: (N, M) in [0, 1] -> scalar, 0 for no pairs. s is the
    sigmoid; with sharpness K/2 this is the likelihood of DCMH (Jiang and Li, CVPR 2017, Eq. 2). The inner product of
    binary codes is K less twice their Hamming distance.
    """
    logits = sharpness / first.shape[1] * first @ second.T
    losses = F.binary_cross_entropy_with_logits(logits, similarity.to(logits.dtype), reduction="none")
    return losses.sum() / max(losses.numel(), 1)


def cluster_similarity_loss(codes: Tensor, labels: Tensor, anchors: Tensor, sharpness: float) -> Tensor:
    """-(1/N) sum_i sum_l p_il log q_il: the label distribution against the distribution over class centres.

    p_i = l_i / |l_i|;  q_i = softmax_l(sharpness <codes_i, anchors_l> / K).  codes: (N, K), labels: (N, L) with a
    label in every row, anchors: (L, K) -> scalar, 0 for N = 0. Least when a code lies midway between the centres of
    its own classes and far from those of all others.
    """
    shares = labels.to(codes.dtype)
    shares = shares / shares.sum(dim=1, keepdim=True)
    logits = sharpness / codes.shape[1] * codes @ anchors.T
    return -(shares * logits.log_softmax(dim=1)).sum() / max(len(codes), 1)


def quantisation_loss(image: Tensor, text: Tensor) -> Tensor:
    """(1/2NK) sum_i (||b_i - u_i||^2 + ||b_i - w_i||^2),  b_i = sign(u_i + w_i), sign(0) = 1.  (N, K) twice -> scalar.

    One binary code for both sides of a pair, as in DCMH; b is a target and passes no gradient.
    """
    binary = torch.where(image + text >= 0, 1.0, -1.0).to(image.dtype).detach()
    return ((binary - image).square().mean() + (binary - text).square().mean()) / 2


def hadamard_anchors(labels: int, bits: int, seed: int = 0) -> Tensor:
    """Class centres that are far apart, as in CSQ (Yuan et al., CVPR 2020) -> (L, K) of -1 and 1.

    Rows of a Hadamard matrix and their negatives (distance K/2 or K) in random order, where K is a power of two and
    2K is enough; fair coins for what is left.
    """
    generator = np.random.default_rng(seed)
    rows = np.empty((0, bits))
    if bits & (bits - 1) == 0:
        rows = np.concatenate([hadamard(bits), -hadamard(bits)])
        rows = rows[generator.permutation(len(rows))[:labels]]
    coins = generator.choice([-1.0, 1.0], size=(labels - len(rows), bits))
    return torch.from_numpy(np.concatenate([rows, coins])).float()


def total_loss(
    image: Tensor,
    text: Tensor,
    representations: Sequence[Tensor],
    labels: Tensor,
    anchors: Tensor,
    config: FJSPHLossConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and each term of ``TERMS`` before weighting, detached.

    ``representations``: of image and text, (N, D) each; ``anchors``: (L, K). Image and text can change places
    throughout without changing the value.
    """
    similarity = label_similarity(labels, config.overlap)
    related = label_similarity(labels) > 0 if config.negatives == "unrelated" else None
    known = labels.any(dim=1)
    u, w, s = image[known], text[known], similarity[known][:, known]
    sharpness = image.shape[1] / 2 if config.sharpness is None else config.sharpness
    pairs = [(u, w), (u, u), (w, w)] if config.within else [(u, w)]
    terms = {
        "contrastive": contrastive_loss(*representations, config.temperature, related),
        "sample": sum(sample_similarity_loss(*pair, s, sharpness) for pair in pairs) / len(pairs),
        "cluster": sum(
            cluster_similarity_loss(codes, labels[known], anchors, config.cluster_sharpness)
            for codes in (u, w)
        )
        / 2,
        "quantisation": quantisation_loss(image, text),
    }
    loss = sum(weight * terms[name] for name, weight in zip(TERMS, config.weights, strict=True))
    return loss, {name: term.detach() for name, term in terms.items()}
