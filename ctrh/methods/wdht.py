"""WDHT: weakly supervised deep hashing with tag embeddings (Gattupalli, Zhuo, Li, CVPR 2019, arXiv 1806.05804).

Letters: N images, K bits, C tags, D width of a word vector, M the most tags that an image has. ``h`` (N, K)
relaxed codes, ``v`` (N, D) predicted tag vectors, ``t`` (N, D) tag vectors: a (weighted) mean of the word
vectors of an image's tags.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor, nn

from ctrh.losses import quantisation_loss
from ctrh.methods.deep import DeepHasher, HashNetwork, check_initialisation, full_precision, weighted_sum
from ctrh.network import NO_TAG
from ctrh.parallel import gathered
from ctrh.training import TrainConfig

PUBLISHED = TrainConfig(epochs=50, batch_size=50)


@dataclass(frozen=True)
class TagEmbeddingConfig:
    """What WDHT publishes of itself. ``weights``: of the pairwise, ranking and quantisation terms; ``hidden``: the
    width of the layer that codes and tag vectors are both read from; ``initialisation``: the "authors'" or "torch"'s
    of a linear layer."""

    bits: int = 48
    train: TrainConfig = field(default_factory=lambda: PUBLISHED)
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0)
    margin: float = 0.2
    hidden: int = 256
    initialisation: str = "authors"

    def __post_init__(self) -> None:
        check_initialisation(self.initialisation)


@dataclass(frozen=True)
class WDHTConfig(TagEmbeddingConfig):
    """The published settings. ``tag_weights`` in the tag vector: "mean", or "inverse_frequency" (the article tries both),
    log(N / images with the tag)."""

    tag_weights: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tag_weights not in ("mean", "inverse_frequency"):
            raise ValueError(f'tag_weights must be "mean" or "inverse_frequency", got {self.tag_weights!r}')


def pairwise_loss(h: Tensor, t: Tensor) -> Tensor:
    """sum_{i != j} (||h_i - h_j||^2/K - (1 - cos(t_i, t_j)))^2 / (N(N-1)).  h: (N, K), t: (N, D) -> scalar.

    As in the authors' code, which takes the whole cosine distance where CTRH's Eq. (17) takes half of it. The
    cosine with a zero vector is 0.
    """
    centred = h - 0.5  # distances stay, and smaller numbers cancel with less error
    square = centred.square().sum(dim=1)
    distance = (square[:, None] + square - 2 * centred @ centred.T) / h.shape[1]
    length = torch.linalg.vector_norm(t, dim=1, keepdim=True)
    unit = t / torch.where(length > 0, length, 1)
    total = (distance - 1 + unit @ unit.T).square().sum()
    # On the diagonal, distance and cosine do not depend on anything: 0 - 1 + 1, or 0 - 1 + 0 for a zero vector.
    return (total - (length == 0).sum()) / _pairs(h)


def ranking_loss(v: Tensor, t: Tensor, margin: float) -> Tensor:
    """sum_{i != j} max(0, margin - v_i . (t_i - t_j)) / (N(N-1)).  v, t: (N, D) -> scalar.

    Eq. (16) with dot products for cosines: v_i should agree with its own tags more than with another image's.
    """
    agreement = v @ t.T  # (N, N), agreement[i, j] = v_i . t_j
    own = (v * t).sum(dim=1, keepdim=True)
    # The diagonal is the margin, up to rounding.
    return ((margin + agreement - own).clamp(min=0).sum() - len(v) * margin) / _pairs(v)


def _pairs(x: Tensor) -> int:
    """N(N-1), or 1 for a batch of one, whose sum over pairs is 0."""
    return max(len(x) * (len(x) - 1), 1)


def tag_vectors(text: Tensor, tag_ids: Tensor, weights: Tensor) -> Tensor:
    """t_i = sum_c w_i^c text_c / sum_c w_i^c over an image's own tags.

    text: (C, D), tag_ids: (N, M), weights: (N, M) >= 0 -> (N, D); 0 where no tag has weight.
    """
    weights = weights * (tag_ids != NO_TAG)
    total = weights.sum(dim=1, keepdim=True)
    weights = weights / torch.where(total > 0, total, 1)
    return F.embedding_bag(tag_ids.clamp(min=0), text, mode="sum", per_sample_weights=weights)


class TagEmbeddingNetwork(HashNetwork):
    """Backbone, hidden layer, and on it codes h and beside them a tanh head that predicts the tag vector.

    ``text``: (C, D) word vectors, a fixed buffer.
    """

    def __init__(self, backbone: nn.Module, width: int, text: Tensor, config: TagEmbeddingConfig) -> None:
        super().__init__(backbone, width, config.bits, config.hidden)
        self.semantic = nn.Sequential(nn.Linear(config.hidden, text.shape[1]), nn.Tanh())
        self.register_buffer("text", text)
        self.config = config
        if config.initialisation == "authors":
            for layer in (self.hidden[0], self.hash, self.semantic[0]):  # as Keras draws a Dense layer
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def predicted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x as in ``forward`` -> h (N, K), v (N, D)."""
        hidden = self.hidden(self.backbone(x))
        return self.hash(hidden), self.semantic(hidden)

    def tag_weights(self, batch: dict[str, Tensor]) -> Tensor:
        """w_i^c of each image's tags: (N, M)."""
        raise NotImplementedError

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch: ``x`` as in ``forward``, ``tag_ids`` (N, M), and what ``tag_weights`` needs -> loss, terms."""
        t = tag_vectors(self.text, batch["tag_ids"], self.tag_weights(batch))
        with full_precision(*gathered(*self.predicted(batch["x"]), t)) as (h, v, t):
            terms = {
                "pairwise": pairwise_loss(h, t),
                "ranking": ranking_loss(v, t, self.config.margin),
                "quantisation": quantisation_loss(h),
            }
            return weighted_sum(terms, self.config.weights)


class WDHTNetwork(TagEmbeddingNetwork):
    """``word_weights``: (C,), what each word weighs in a tag vector, the same in every image."""

    def __init__(self, *parts: object, word_weights: Tensor) -> None:
        super().__init__(*parts)
        self.register_buffer("word_weights", word_weights)

    def tag_weights(self, batch: dict[str, Tensor]) -> Tensor:
        return self.word_weights[batch["tag_ids"].clamp(min=0)]


def inverse_frequencies(tags: csr_array) -> Tensor:
    """log(N / images with the tag), 0 for a tag of all images or of none.  tags: (N, C) -> (C,) float32."""
    counts = torch.from_numpy(tags.sum(axis=0)).double()
    return torch.where(counts > 0, (tags.shape[0] / counts.clamp(min=1)).log(), 0).float()


class WDHT(DeepHasher):
    """Codes whose distances are the cosine distances of the images' tag vectors."""

    name, needs = "WDHT", "words"
    colour, dashes, marker = "#E69F00", "-.", "s"
    config_type = WDHTConfig
    facts = ("text", "word_weights")

    def _facts(self, tags: csr_array, text: Tensor) -> dict[str, Tensor]:
        even = self.config.tag_weights == "mean"
        return {"text": text, "word_weights": torch.ones(len(text)) if even else inverse_frequencies(tags)}

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> WDHTNetwork:
        return WDHTNetwork(backbone, width, facts["text"], self.config, word_weights=facts["word_weights"])
