"""CTRH: codes from pictures and (replaced) tags; network, losses and loop put together."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ctrh.encoding import relaxed_codes
from ctrh.losses import MIRFLICKR, LossConfig, inverse_frequency
from ctrh.methods.deep import DeepHasher, Inputs, readable
from ctrh.network import NO_TAG, CTRHNetwork, TagWeighting, padded_tags
from ctrh.training import TrainConfig


@dataclass(frozen=True)
class CTRHConfig:
    """The paper's settings for MirFlickr; for NUS-WIDE ``losses=NUSWIDE``.

    ``tag_weighting=False`` is the paper's Baseline (on user tags) or +TR (on replaced tags); with it but with
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


class CTRH(DeepHasher):
    """Weakly supervised image hashing via CLIP-guided tag refinement, from the tags' features on."""

    config_type = CTRHConfig
    facts = ("text", "beta")
    network: CTRHNetwork | None

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
