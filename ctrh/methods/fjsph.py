"""FJSPH (Tang, Yang, Zhao, Zhai, Computer Science 2025, 52(6A): 240400151): photos found by text and texts by photo.

Two hashing heads on the features of a CLIP that was trained with hidden patches (FLIP, :mod:`ctrh.guide.flip`) give
photos and texts codes of one kind. Supervised: the labels of the training pairs say which codes should be near.
Only the abstract of the article is public; docs/fjsph_choices.md lists what had to be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ctrh.encoding import relaxed_codes
from ctrh.methods.deep import DeepHasher, HashNetwork, Inputs, full_precision, readable
from ctrh.methods.fjsph_losses import FJSPHLossConfig, hadamard_anchors, total_loss
from ctrh.network import HashLayer
from ctrh.parallel import gathered
from ctrh.training import TrainConfig, TrainingData


@dataclass(frozen=True)
class FJSPHConfig:
    """``width``: D, of the representations that the contrastive term compares; ``dropout``: of a head's inner layer;
    ``contrast_on``: those "representations", or the relaxed "codes".
    """

    bits: int = 32
    losses: FJSPHLossConfig = field(default_factory=FJSPHLossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    width: int = 256
    dropout: float = 0.2
    contrast_on: str = "representations"

    def __post_init__(self) -> None:
        if self.bits < 1 or self.width < 1:
            raise ValueError(f"bits and width must be at least 1, got {self.bits} and {self.width}")
        if self.contrast_on not in ("representations", "codes"):
            raise ValueError(f'contrast_on must be "representations" or "codes", got {self.contrast_on!r}')


class Refinement(nn.Module):
    """Features (N, F), standardised, to representations (N, D).  ``mean``, ``deviation``: (F,)."""

    def __init__(self, mean: Tensor, deviation: Tensor, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.layers = nn.Sequential(
            nn.Linear(len(mean), width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.mean) / self.deviation)


class FJSPHNetwork(HashNetwork):
    """Two heads of one shape: ``hidden`` and ``hash`` for images (behind ``backbone``), ``text`` for texts.

    ``facts`` by their names in the state: "hidden.mean", "hidden.deviation" (F,) of the image features, "text.0.mean",
    "text.0.deviation" (F',), and "anchors" (L, K), the class centres; "learned" ones only start there.
    """

    def __init__(self, backbone: nn.Module, facts: dict[str, Tensor], config: FJSPHConfig) -> None:
        super().__init__(backbone, config.width, config.bits)
        self.config = config
        image, text = (
            Refinement(facts[f"{side}.mean"], facts[f"{side}.deviation"], config.width, config.dropout)
            for side in ("hidden", "text.0")
        )
        self.hidden = image
        self.text = nn.Sequential(text, HashLayer(config.width, config.bits))
        if config.losses.anchors == "learned":
            # Inside the cube, so that tanh leaves them room to move in all directions.
            self.anchors = nn.Parameter(0.5 * facts["anchors"])
        else:
            self.register_buffer("anchors", facts["anchors"])

    @property
    def centres(self) -> Tensor:
        """(L, K) in [-1, 1]."""
        return self.anchors.tanh() if self.config.losses.anchors == "learned" else self.anchors

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of N pairs: "x" as in ``forward``, "text" (N, F'), "labels" (N, L) bool -> loss, its terms."""
        refine_text, hash_text = self.text
        image, text = self.hidden(self.backbone(batch["x"])), refine_text(batch["text"])
        codes = [2 * layer(side) - 1 for layer, side in ((self.hash, image), (hash_text, text))]
        compared = codes if self.config.contrast_on == "codes" else [image, text]
        *sides, labels = gathered(*codes, *compared, batch["labels"])
        with full_precision(*sides, self.centres) as (u, w, first, second, centres):
            return total_loss(u, w, (first, second), labels, centres, self.config.losses)


class FJSPH(DeepHasher):
    """``fit`` on pairs and their labels; ``encode`` images and ``encode_text`` texts to bits of one kind."""

    name, needs, guides = "FJSPH", "labels", ("FLIP",)
    colour = "#0072B2"
    config_type = FJSPHConfig
    facts = ("hidden.mean", "hidden.deviation", "text.0.mean", "text.0.deviation", "anchors")

    def fit(
        self, image: Inputs, text: np.ndarray, labels: np.ndarray, checkpoints: Path | None = None
    ) -> pd.DataFrame:
        """Trains from scratch; the records of :func:`ctrh.training.train`, one row per epoch.

        image: N inputs as :class:`ctrh.methods.deep.DeepHasher` describes them, text: (N, F') features, labels:
        (N, L) bool, of the training pairs. A pair without a label teaches no similarity, but the contrastive and the
        quantisation term hold for it. ``checkpoints`` as for every deep method. Raises ``ValueError`` without labels,
        for shapes that do not match, and for text features that are not finite.
        """
        image, text = readable(image), torch.as_tensor(np.asarray(text, dtype=np.float32))
        labels = _checked_labels(labels, len(image))
        if text.ndim != 2 or len(text) != len(image):
            raise ValueError(
                f"text has shape {tuple(text.shape)}, expected ({len(image)}, F'): a row for each image"
            )
        if not torch.isfinite(text).all():
            raise ValueError("the text features hold NaN or infinite values")
        width = self.backbone.width if self.backbone else image.shape[1]
        # Of a backbone that is trained along, the features will change: they are taken as they come.
        image_scale = (torch.zeros(width), torch.ones(width)) if self.backbone else _scale(image)
        centres = hadamard_anchors(labels.shape[1], self.config.bits, self.config.train.seed)
        facts = dict(zip(self.facts, (*image_scale, *_scale(text), centres), strict=True))
        return self._learn(TrainingData(image, {"text": text, "labels": labels}), facts, checkpoints)

    def encode_text(self, text: np.ndarray) -> np.ndarray:
        """The binary codes h > 0.5 of N texts, (N, F') features like those of ``fit`` -> (N, K) bool."""
        head = self._fitted().text
        width = len(head[0].mean)
        if text.ndim != 2 or text.shape[1] != width:
            raise ValueError(f"text has shape {text.shape}, expected (N, {width})")
        return (relaxed_codes(head, readable(text)) > 0.5).numpy()

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> FJSPHNetwork:
        return FJSPHNetwork(backbone, facts, self.config)


def _checked_labels(labels: np.ndarray | None, count: int) -> Tensor:
    if labels is None:
        raise ValueError(
            "FJSPH is supervised: it needs the labels of the training pairs (CTRH learns without)"
        )
    if labels.ndim != 2 or len(labels) != count or labels.dtype != np.bool_:
        raise ValueError(f"labels must be ({count}, L) bool, got {labels.shape} {labels.dtype}")
    if not labels.any():
        raise ValueError("no training pair has a label: there is no similarity to learn from")
    return torch.from_numpy(labels)


def _scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F,) of (N, F) features; 1 for a feature that is the same for all."""
    deviation = features.std(dim=0, correction=0)
    return features.mean(dim=0), torch.where(deviation > 0, deviation, 1)
