"""CTRH: codes from pictures and (replaced) tags; network, losses and loop put together."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ctrh.encoding import relaxed_codes
from ctrh.losses import MIRFLICKR, LossConfig, inverse_frequency, total_loss
from ctrh.methods.deep import DeepHasher, HashNetwork, Inputs, full_precision, readable
from ctrh.network import NO_TAG, Mapping, TagWeighting, mean_text, padded_tags, without_padding
from ctrh.parallel import gathered
from ctrh.training import TrainConfig


@dataclass(frozen=True)
class CTRHConfig:
    """The article's settings for MirFlickr; for NUS-WIDE ``losses=NUSWIDE``.

    ``tag_weighting=False`` is the article's Baseline (on user tags) or +TR (on replaced tags); with it but with
    a last weight of 0 in ``losses`` it is +TR+TW. Readings (METHOD.md): ``heads``, ``ffn_ratio``, ``dropout``
    of Eq. (11)-(14); ``head_reduction`` of A_i, "mean" or "sum"; ``text_length``, the mean length that the
    tag features of Eq. (10) are scaled to, None for as they come: the sharpness and the pace of the attention
    depend on it; ``alternate``, 0 for joint updates, else for so many epochs tag weighting and for as many
    the rest (WSHRCA: 2).
    """

    bits: int = 48
    losses: LossConfig = MIRFLICKR
    train: TrainConfig = field(default_factory=TrainConfig)
    tag_weighting: bool = True
    heads: int = 8
    ffn_ratio: int = 4
    dropout: float = 0.1
    head_reduction: str = "mean"
    text_length: float | None = None
    alternate: int = 0

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise ValueError(f"bits must be at least 1, got {self.bits}")
        if self.text_length is not None and self.text_length <= 0:
            raise ValueError(f"text_length must be positive or None, got {self.text_length}")
        if self.alternate < 0 or (self.alternate and not self.tag_weighting):
            raise ValueError("alternate must be 0, or with tag weighting the epochs of a turn")
        if self.losses.beta == "inverse_frequency" and not self.tag_weighting:
            raise ValueError("beta belongs to the tag-balanced loss, which needs tag_weighting")


class CTRHNetwork(HashNetwork):
    """Backbone, hash layer, mapping (Eq. 9) and tag weighting (Eq. 11-14).

    ``text``: (C, D) tag features (Eq. 10), a fixed buffer. ``beta``: (C,) for Eq. (18), or None for 1/C.
    ``weighting`` None is the article's Baseline and +TR: r is the mean of the tag features, and (18) is left
    out. ``alternate`` > 0: that many epochs for tag weighting, as many for the rest, in turn; 0 trains all
    jointly.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        bits: int,
        text: Tensor,
        losses: LossConfig,
        weighting: TagWeighting | None,
        beta: Tensor | None = None,
        alternate: int = 0,
    ) -> None:
        super().__init__(backbone, width, bits)
        self.mapping = Mapping(bits, text.shape[1])
        self.weighting = weighting
        self.register_buffer("text", text)
        self.register_buffer("beta", beta)
        # text = Q R with orthonormal Q: so |asked @ text.T| is |asked @ R.T|, whatever the size of the vocabulary.
        self.register_buffer("root", torch.linalg.qr(text, mode="r").R)
        self.losses = losses
        self.alternate = alternate

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. (9)-(19) of a batch: ``x`` as in ``forward``, ``tag_ids`` (N, M) -> loss, its terms."""
        h = self(batch["x"])  # (N, K)
        v = self.mapping(h)  # (N, D)
        tag_ids = without_padding(batch["tag_ids"])
        if self.weighting is None:
            r, attention = mean_text(self.text, tag_ids), ()
        else:
            r, attention = self.weighting(v, self.text, tag_ids)
        # (18) is a mean over images: of its attention each device's own images are enough.
        with full_precision(*gathered(h, v, r), *attention) as (h, v, r, *attention):
            own, asked = attention or (None, None)
            length = None if asked is None else torch.linalg.vector_norm(asked @ self.root.T, dim=1)
            return total_loss(h, v, r, own, tag_ids != NO_TAG, self.losses, self._beta(tag_ids), length)

    def _beta(self, tag_ids: Tensor) -> Tensor:
        """Eq. (18)'s balance factors of each image's own tags: (N, M), or one number for all."""
        if self.beta is None:
            return self.text.new_tensor(1 / len(self.text))
        return self.beta[tag_ids.clamp(min=0)]

    def tag_modules(self) -> list[nn.Module]:
        return [] if self.weighting is None else [self.weighting]

    def paces(self, epoch: float) -> dict[str, float]:
        """Of all groups, or, taking turns, of tag weighting or of the rest."""
        if not self.alternate:
            return super().paces(epoch)
        resting = (math.ceil(epoch) - 1) // self.alternate % 2
        return {"backbone": 1.0, "head": 1.0} if resting else {"tags": 1.0}


class CTRH(DeepHasher):
    """Weakly supervised image hashing via CLIP-guided tag refinement, from the tags' features on."""

    name, needs = "CTRH", "guide"
    colour, dashes, marker = "#D55E00", "-", "o"
    config_type = CTRHConfig
    facts = ("text", "beta")
    network: CTRHNetwork | None

    @classmethod
    def default_config(cls, train: TrainConfig, losses: LossConfig, **attention: int) -> CTRHConfig:
        return CTRHConfig(losses=losses, train=train, **attention)

    def tag_weights(self, inputs: Inputs, tags: sp.csr_array) -> sp.csr_array:
        """The softmax of Eq. (12), mean over heads: how much N images listen to each of their tags.

        inputs like those of ``fit``, tags: (N, C) -> (N, C) float32 CSR, rows of sum 1, empty without a tag.
        Raises ``ValueError`` for other shapes, and when the hasher weighs no tags.
        """
        network = self._fitted()
        if network.weighting is None:
            raise ValueError("this hasher was trained with tag_weighting=False: it weighs no tags")
        inputs = readable(inputs)
        if tags.shape != (len(inputs), len(network.text)):
            raise ValueError(f"tags have shape {tags.shape}, expected {(len(inputs), len(network.text))}")
        tag_ids = padded_tags(tags)
        h = relaxed_codes(network, inputs, workers=self.config.train.workers)
        batches = zip(h.split(256), tag_ids.split(256), strict=True)
        text = network.text.cpu()
        with torch.inference_mode():
            mapping, weighting = (copy.deepcopy(part).cpu() for part in (network.mapping, network.weighting))
            weights = torch.cat([weighting.weights(mapping(h), text, ids).mean(dim=1) for h, ids in batches])
        own = (tag_ids != NO_TAG).numpy()
        indptr = np.concatenate([[0], own.sum(axis=1).cumsum()])
        return sp.csr_array((weights.numpy()[own], tag_ids.numpy()[own], indptr), shape=tags.shape)

    def _facts(self, tags: sp.csr_array, text: Tensor) -> dict[str, Tensor]:
        if self.config.text_length is not None:
            text = text * (self.config.text_length / text.norm(dim=1).mean())
        if self.config.losses.beta == "uniform":
            return {"text": text}
        return {"text": text, "beta": inverse_frequency(torch.from_numpy(tags.sum(axis=0)))}

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> CTRHNetwork:
        config, text = self.config, facts["text"]
        weighting = None
        if config.tag_weighting:
            weighting = TagWeighting(
                text.shape[1], config.heads, config.ffn_ratio, config.dropout, config.head_reduction
            )
        return CTRHNetwork(
            backbone, width, config.bits, text, config.losses, weighting, facts.get("beta"), config.alternate
        )
