"""What all deep methods share: a hasher that fits, encodes, saves and loads, and the usual network around a
hash layer.

A method is a frozen config with ``bits`` and ``train``, a network that :func:`ctrh.training.train` takes, and
a :class:`DeepHasher` that builds it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import typing
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ctrh.backbones import Backbone, Pictures
from ctrh.encoding import CodesCollapsed, relaxed_codes
from ctrh.losses import LossConfig
from ctrh.methods.method import Method
from ctrh.network import HashLayer, padded_tags
from ctrh.store import content_key, replacing
from ctrh.training import TrainConfig, TrainingData, train

if typing.TYPE_CHECKING:
    import pandas as pd

Inputs = np.ndarray | Tensor | Dataset


class DeepHasher(Method):
    """A hasher: ``fit`` on inputs and tags, ``encode`` inputs to bits.

    Inputs are (N, F) features of a frozen backbone, as array or tensor. Or, with a ``backbone``, what its
    module takes: a ``Dataset`` of pictures (:class:`ctrh.backbones.Pictures`) or an (N, 3, H, W) tensor; then
    a copy of the module is trained along.

    A subclass names its ``config_type`` and the ``facts`` that its network keeps as buffers of these names,
    and says how to make them and it.
    """

    config_type: ClassVar[type]
    facts: ClassVar[tuple[str, ...]] = ("text",)

    @classmethod
    def default_config(cls, train: TrainConfig, losses: LossConfig, **attention: int) -> Any:
        """The method's own settings with a budget of training. ``losses``: CTRH's for the data set, for what a method's
        source leaves open; ``attention``: ``heads`` and ``ffn_ratio`` of CTRH's tag weighting."""
        return cls.config_type(train=train)

    def __init__(self, config: Any = None, backbone: Backbone | None = None) -> None:
        self.config = config or self.config_type()
        self.backbone = backbone
        self.network: nn.Module | None = None
        self.width = 0

    def fit(
        self, inputs: Inputs, tags: sp.csr_array, text: np.ndarray, checkpoints: Path | None = None
    ) -> pd.DataFrame:
        """Trains from scratch; the records of :func:`ctrh.training.train`, one row per epoch.

        inputs: N images, tags: (N, C), text: (C, D) the tags' features (Eq. 10, or word vectors). Images
        without a tag are left out, as in the article. In the folder ``checkpoints`` the run keeps its state
        under a name made of all it depends on: a second call goes on where the first was stopped, or returns
        at once. Warns with :class:`CodesCollapsed`. Raises ``ValueError`` for shapes that do not match or no
        tag at all, and what ``train`` raises.
        """
        inputs = readable(inputs)
        tags = sp.csr_array(tags, dtype=bool)
        text = torch.as_tensor(np.asarray(text, dtype=np.float32))
        if tags.shape != (len(inputs), len(text)):
            raise ValueError(
                f"tags have shape {tags.shape}, expected {(len(inputs), len(text))} (images, words in text)"
            )
        if not torch.isfinite(text).all():
            raise ValueError("the text features hold NaN or infinite values")
        tagged = np.flatnonzero(tags.sum(axis=1))
        if not len(tagged):
            raise ValueError("no image has a tag: there is nothing to learn from")
        tags = tags[tagged]
        data = TrainingData(_take(inputs, tagged), self._targets(tags))
        return self._learn(data, self._facts(tags, text), checkpoints)

    def _learn(self, data: TrainingData, facts: dict[str, Tensor], checkpoints: Path | None) -> pd.DataFrame:
        """Builds the network and trains it: the last step of every ``fit``."""
        self.width = self.backbone.width if self.backbone else data.inputs.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.train.seed)
            self.network = self._network(self._module(), self.width, facts)

        told = {name: fact.numpy() for name, fact in facts.items()}
        key = content_key(self.config, told, self.backbone.key if self.backbone else "")
        name = f"{type(self).__name__.lower()}-{content_key(key, data.key)}.pt"
        records = list(
            train(self.network, data, self.config.train, checkpoints and Path(checkpoints) / name, key)
        )
        if records[-1]["note"]:
            warnings.warn(records[-1]["note"], CodesCollapsed, stacklevel=3)
        import pandas as pd  # here, because who only encodes need not wait for it

        return pd.DataFrame(records)

    def encode(self, inputs: Inputs) -> np.ndarray:
        """The binary codes h > 0.5 of N inputs like those of ``fit`` -> (N, K) bool."""
        network = self._fitted()
        inputs = readable(inputs)
        if self.backbone is None and tuple(inputs.shape[1:]) != (self.width,):
            raise ValueError(f"inputs have shape {tuple(inputs.shape)}, expected (N, {self.width})")
        return (relaxed_codes(network, inputs, workers=self.config.train.workers) > 0.5).numpy()

    def save(self, path: str | Path) -> None:
        """All weights and the configuration in one safetensors file."""
        about = {
            "method": type(self).__name__,
            "config": asdict(self.config),
            "backbone": self.backbone.name if self.backbone else None,
            "width": self.width,
        }
        state = {name: value.cpu().contiguous() for name, value in self._fitted().state_dict().items()}
        with replacing(path) as temporary:
            save_file(state, temporary, metadata={"ctrh": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path, backbone: Backbone | None = None) -> Self:
        """The hasher that ``save`` wrote. ``backbone``: of the same name as in training, its weights are
        replaced.

        Raises ``ValueError`` for another backbone, a file of something else, or weights that do not fit.
        """
        with safe_open(path, "pt") as stored:
            about = json.loads((stored.metadata() or {}).get("ctrh", "null"))
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
        if about is None or about["method"] != cls.__name__:
            raise ValueError(f"{path} was not saved by {cls.__name__}")
        if (backbone.name if backbone else None) != about["backbone"]:
            raise ValueError(f"{path} was trained on the backbone {about['backbone']}: pass that one")
        hasher = cls(_from_plain(cls.config_type, about["config"]), backbone)
        hasher.width = about["width"]
        facts = {name: state[name] for name in cls.facts if name in state}
        hasher.network = hasher._network(hasher._module(), hasher.width, facts)
        try:
            hasher.network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the weights in {path} do not fit their configuration: {error}") from error
        return hasher

    def untrained(self, backbone: nn.Module, width: int, tags: sp.csr_array, text: Tensor) -> nn.Module:
        """The network as training would begin with it, to look at or to measure.

        ``backbone`` maps x to (N, F) with F = ``width``; tags: (N, C), a tag in every row; text: (C, D).
        """
        return self._network(backbone, width, self._facts(tags, text))

    def _targets(self, tags: sp.csr_array) -> dict[str, Tensor]:
        """What the loss of a batch is told of each image.  tags: (N, C), a tag in every row."""
        return {"tag_ids": padded_tags(tags)}

    def _facts(self, tags: sp.csr_array, text: Tensor) -> dict[str, Tensor]:
        """What the network is told once, among it "text".  tags: (N, C), text: (C, D)."""
        return {"text": text}

    @abstractmethod
    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> nn.Module:
        """The untrained network.  ``backbone`` maps x to (N, F) with F = ``width``."""

    def _module(self) -> nn.Module:
        # A copy: the next fit must start from the weights that were handed over, not from trained ones.
        return copy.deepcopy(self.backbone.module) if self.backbone else nn.Identity()

    def _fitted(self) -> nn.Module:
        if self.network is None:
            raise ValueError("this hasher is not trained yet: call fit or load first")
        return self.network


class HashNetwork(nn.Module):
    """Backbone and hash layer, and the usual answers to what the training loop asks; a method adds its loss.

    ``backbone`` maps x to (N, F) with F = ``width``; ``nn.Identity()`` where x already is features. ``hidden``:
    the width of a ReLU layer before the hash layer, 0 for none.
    """

    def __init__(self, backbone: nn.Module, width: int, bits: int, hidden: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.hash = HashLayer(hidden or width, bits)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, F) features or (N, 3, H, W) pictures -> h (N, K); the binary code is h > 0.5."""
        return self.hash(self.hidden(self.backbone(x)))

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch -> the loss to go down, and its detached terms by name."""

    def tag_modules(self) -> list[nn.Module]:
        """The parts that learn at ``lr_tags``."""
        return []

    def parameter_groups(self, config: TrainConfig) -> list[dict[str, Any]]:
        """The optimiser's groups: the backbone, what reads tags, and the rest ("head"); frozen parameters are
        left out."""
        slow, tags = (
            [parameter for module in modules for parameter in module.parameters()]
            for modules in ([self.backbone], self.tag_modules())
        )
        apart = {id(parameter) for parameter in slow + tags}
        groups = {
            "backbone": (config.lr_backbone, slow),
            "head": (config.lr_head, [each for each in self.parameters() if id(each) not in apart]),
            "tags": (config.lr_tags, tags),
        }
        return [
            {"name": name, "lr": rate, "params": learned}
            for name, (rate, parameters) in groups.items()
            if (learned := [parameter for parameter in parameters if parameter.requires_grad])
        ]

    def paces(self, epoch: float) -> dict[str, float]:
        """The groups that a step updates, and a factor on each one's learning rate. ``epoch``: so many are done with it."""
        return {"backbone": 1.0, "head": 1.0, "tags": 1.0}

    def begin_epoch(self, epoch: int, data: TrainingData) -> None:
        """Called before ``epoch`` (from 0)."""


def check_initialisation(name: str) -> None:
    """Raises ``ValueError`` for initial weights that are neither the "authors'" nor "torch"'s."""
    if name not in ("authors", "torch"):
        raise ValueError(f'initialisation must be "authors" or "torch", got {name!r}')


@contextlib.contextmanager
def full_precision(*parts: Tensor) -> Iterator[list[Tensor]]:
    """The same tensors, of 32 bits at least, and no automatic casting: half precision is for the layers, not
    for losses that subtract nearly equal numbers."""
    with torch.autocast(parts[0].device.type, enabled=False):
        yield [part.to(torch.promote_types(part.dtype, torch.float32)) for part in parts]


def weighted_sum(terms: Mapping[str, Tensor], weights: tuple[float, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss sum_k weight_k term_k, and each term before weighting, detached."""
    loss = sum(weight * term for weight, term in zip(weights, terms.values(), strict=True))
    return loss, {name: term.detach() for name, term in terms.items()}


def readable(inputs: Inputs) -> Tensor | Dataset:
    """Arrays as float32 tensors; the rest as it is."""
    if isinstance(inputs, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    return inputs


def _take(inputs: Tensor | Dataset, rows: np.ndarray) -> Tensor | Dataset:
    if len(rows) == len(inputs):
        return inputs
    if isinstance(inputs, Pictures):
        return inputs.take(rows)
    return inputs[torch.from_numpy(rows)] if isinstance(inputs, Tensor) else Subset(inputs, rows.tolist())


def _from_plain(config_type: type, values: Mapping[str, Any]) -> Any:
    """The reverse of ``asdict`` after JSON, which knows no tuples; unknown names raise ``TypeError``."""
    hints = typing.get_type_hints(config_type)

    def plain(name: str, value: Any) -> Any:
        if is_dataclass(hints.get(name)):
            return _from_plain(hints[name], value)
        return tuple(value) if isinstance(value, list) else value

    return config_type(**{name: plain(name, value) for name, value in values.items()})
