"""CTRH: codes from pictures and (replaced) tags; network, losses and loop put together, saved and loaded."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ctrh.backbones import Backbone, Pictures
from ctrh.encoding import CodesCollapsed, relaxed_codes
from ctrh.losses import MIRFLICKR, LossConfig, inverse_frequency
from ctrh.network import NO_TAG, CTRHNetwork, TagWeighting, padded_tags
from ctrh.store import content_key, replacing
from ctrh.training import TrainConfig, TrainingData, train


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


class CTRH:
    """A hasher: ``fit`` on inputs and tags, ``encode`` inputs to bits.

    Inputs are (N, F) features of a frozen backbone, as array or tensor. Or, with a ``backbone``, what its
    module takes: a ``Dataset`` of pictures (:class:`ctrh.backbones.Pictures`) or an (N, 3, H, W) tensor; then
    a copy of the module is trained along.
    """

    def __init__(self, config: CTRHConfig | None = None, backbone: Backbone | None = None) -> None:
        self.config = config or CTRHConfig()
        self.backbone = backbone
        self.network: CTRHNetwork | None = None

    def fit(
        self,
        inputs: np.ndarray | Tensor | Dataset,
        tags: sp.csr_array,
        text: np.ndarray,
        checkpoints: Path | None = None,
    ) -> pd.DataFrame:
        """Trains from scratch; the records of :func:`ctrh.training.train`, one row per epoch.

        inputs: N images, tags: (N, C), text: (C, D) the tags' features (Eq. 10). Images without a tag are
        left out, as in the paper. In the folder ``checkpoints`` the run keeps its state under a name made of
        all it depends on: a second call goes on where the first was stopped, or returns at once. Warns with
        :class:`CodesCollapsed`. Raises ``ValueError`` for shapes that do not match or no tag at all, and what
        ``train`` raises.
        """
        inputs = _readable(inputs)
        tags = sp.csr_array(tags, dtype=bool)
        text = torch.as_tensor(np.asarray(text, dtype=np.float32))
        if tags.shape != (len(inputs), len(text)):
            raise ValueError(
                f"tags have shape {tags.shape}, expected {(len(inputs), len(text))} (images, words in text)"
            )
        if not torch.isfinite(text).all():
            raise ValueError("the text features hold NaN or infinite values")
        if self.config.text_length is not None:
            text = text * (self.config.text_length / text.norm(dim=1).mean())
        tagged = np.flatnonzero(tags.sum(axis=1))
        if not len(tagged):
            raise ValueError("no image has a tag: there is nothing to learn from")
        tags = tags[tagged]
        data = TrainingData(_take(inputs, tagged), {"tag_ids": padded_tags(tags)})
        beta = None
        if self.config.losses.beta == "inverse_frequency":
            beta = inverse_frequency(torch.from_numpy(tags.sum(axis=0)))
        width = self.backbone.width if self.backbone else data.inputs.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.train.seed)
            self.network = self._build(width, text, beta)

        key = content_key(self.config, text.numpy(), self.backbone.key if self.backbone else "")
        checkpoint = checkpoints and Path(checkpoints) / f"ctrh-{content_key(key, data.key)}.pt"
        records = list(train(self.network, data, self.config.train, checkpoint, key))
        if records[-1]["note"]:
            warnings.warn(records[-1]["note"], CodesCollapsed, stacklevel=2)
        return pd.DataFrame(records)

    def encode(self, inputs: np.ndarray | Tensor | Dataset) -> np.ndarray:
        """The binary codes h > 0.5 of N inputs like those of ``fit`` -> (N, K) bool."""
        network = self._fitted()
        inputs = _readable(inputs)
        width = network.hash.in_features
        if self.backbone is None and tuple(inputs.shape[1:]) != (width,):
            raise ValueError(f"inputs have shape {tuple(inputs.shape)}, expected (N, {width})")
        return (relaxed_codes(network, inputs, workers=self.config.train.workers) > 0.5).numpy()

    def tag_weights(self, inputs: np.ndarray | Tensor | Dataset, tags: sp.csr_array) -> sp.csr_array:
        """The softmax of Eq. (12), mean over heads: how much N images listen to each of their tags.

        inputs like those of ``fit``, tags: (N, C) -> (N, C) float32 CSR, rows of sum 1, empty without a tag.
        Raises ``ValueError`` for other shapes, and when the hasher weighs no tags.
        """
        network = self._fitted()
        if network.weighting is None:
            raise ValueError("this hasher was trained with tag_weighting=False: it weighs no tags")
        inputs = _readable(inputs)
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

    def save(self, path: str | Path) -> None:
        """All weights and the configuration in one safetensors file."""
        network = self._fitted()
        about = {"config": asdict(self.config), "backbone": self.backbone.name if self.backbone else None}
        state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        with replacing(path) as temporary:
            save_file(state, temporary, metadata={"ctrh": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path, backbone: Backbone | None = None) -> CTRH:
        """The hasher that ``save`` wrote. ``backbone``: of the same name as in training, its weights are
        replaced.

        Raises ``ValueError`` for another backbone, a file of something else, or weights that do not fit.
        """
        with safe_open(path, "pt") as stored:
            about = json.loads((stored.metadata() or {}).get("ctrh", "null"))
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
        if about is None:
            raise ValueError(f"{path} was not saved by CTRH")
        if (backbone.name if backbone else None) != about["backbone"]:
            raise ValueError(f"{path} was trained on the backbone {about['backbone']}: pass that one")
        hasher = cls(_config(about["config"]), backbone)
        hasher.network = hasher._build(state["hash.weight"].shape[1], state["text"], state.get("beta"))
        try:
            hasher.network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the weights in {path} do not fit their configuration: {error}") from error
        return hasher

    def _build(self, width: int, text: Tensor, beta: Tensor | None) -> CTRHNetwork:
        config = self.config
        weighting = None
        if config.tag_weighting:
            weighting = TagWeighting(
                text.shape[1], config.heads, config.ffn_ratio, config.dropout, config.head_reduction
            )
        # A copy: the next fit must start from the weights that were handed over, not from trained ones.
        module = copy.deepcopy(self.backbone.module) if self.backbone else nn.Identity()
        return CTRHNetwork(module, width, config.bits, text, config.losses, weighting, beta, config.alternate)

    def _fitted(self) -> CTRHNetwork:
        if self.network is None:
            raise ValueError("this hasher is not trained yet: call fit or load first")
        return self.network


def _readable(inputs: np.ndarray | Tensor | Dataset) -> Tensor | Dataset:
    if isinstance(inputs, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    return inputs


def _take(inputs: Tensor | Dataset, rows: np.ndarray) -> Tensor | Dataset:
    if len(rows) == len(inputs):
        return inputs
    if isinstance(inputs, Pictures):
        return inputs.take(rows)
    return inputs[torch.from_numpy(rows)] if isinstance(inputs, Tensor) else Subset(inputs, rows.tolist())


def _config(values: dict[str, Any]) -> CTRHConfig:
    """The reverse of ``asdict`` after JSON, which knows no tuples; unknown names raise ``TypeError``."""
    losses = {**values["losses"], "weights": tuple(values["losses"]["weights"])}
    return CTRHConfig(**{**values, "losses": LossConfig(**losses), "train": TrainConfig(**values["train"])})
