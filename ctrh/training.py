"""The one training loop of all deep methods: SGD on Lightning Fabric, a record per epoch, checkpoints to go
on from.

Everything random in epoch e (order, dropout, crops) is drawn from generators seeded by (seed, e), and the learning
rate is a function of e. So weights, momentum and e are the whole state: a run that was stopped and resumed
equals an undisturbed one bit for bit (on one machine, with one number of threads), and the caller's
generators are never touched.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ctrh.encoding import Reader, code_statistics, mode, relaxed_codes
from ctrh.progress import progress
from ctrh.store import content_key, intact, storing

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Record = dict[str, Any]


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Learning rates and batch size are the article's; momentum and epochs, which it does not
    say, are WSHRCA's; no weight decay and a constant rate, of which neither says anything.

    ``schedule``: "constant" or "cosine" (to 0 after the last epoch). ``monitor``: on how many images the code
    statistics of a record are taken. ``workers``: processes that read pictures; 0 reads in this one.
    ``augment``: pictures are cropped and flipped at random, in other ways each epoch; codes and their statistics are
    always of whole ones. ``decoded``: pictures are read from the cache, decoded and scaled down (``Dataset`` of
    :class:`TrainingData`). ``accelerator``, ``devices``, ``precision``: as Lightning Fabric takes them. Several devices
    under ``torchrun`` have batches of ``batch_size`` each, and losses over pairs are of all of them together: two devices
    with 16 learn what one learns with 32, but for dropout and batch normalisation, which each device has for itself.
    """

    epochs: int = 80
    batch_size: int = 32
    lr_backbone: float = 1e-4
    lr_head: float = 1e-3
    lr_tags: float = 2e-4
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    seed: int = 0
    monitor: int = 2048
    checkpoint_every: int = 1
    workers: int = 0
    augment: bool = False
    decoded: bool = False
    accelerator: str = "cpu"
    devices: int = 1
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "monitor", "checkpoint_every", "devices"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr_backbone", "lr_head", "lr_tags", "momentum", "weight_decay", "workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:  # nor NaN
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f'schedule must be "constant" or "cosine", got {self.schedule!r}')

    def faster(self, factor: float) -> TrainConfig:
        """The same with all learning rates multiplied, so that their ratios stay."""
        rates = ("lr_backbone", "lr_head", "lr_tags")
        return replace(self, **{name: factor * getattr(self, name) for name in rates})

    def rate(self, epoch: int) -> float:
        """The factor on every learning rate in ``epoch`` (from 0)."""
        return 1.0 if self.schedule == "constant" else (1 + math.cos(math.pi * epoch / self.epochs)) / 2


@dataclass(frozen=True)
class TrainingData:
    """N training images and what is known of them.

    ``inputs``: (N, ...) tensor (cached features), indexed batch by batch, or a ``Dataset`` of pictures as (3,
    H, W) tensors, read by workers. It has a method ``drawn(row, number)``, a picture changed at random, for
    ``augment``, and ``decoded()``, the same data set out of the cache, for ``decoded``
    (:class:`ctrh.backbones.Pictures` has both). ``targets``: named (N, ...) tensors, handed out row by row with the
    images.
    """

    inputs: Tensor | Dataset
    targets: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        for name, target in self.targets.items():
            if len(target) != len(self):
                raise ValueError(f"{name} has {len(target)} rows for {len(self)} images")
        if not len(self):
            raise ValueError("there is no image to train on")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def key(self) -> str:
        """Names the content. Raises ``ValueError`` for a ``Dataset`` without a ``key`` that does."""
        if not isinstance(self.inputs, Tensor) and not hasattr(self.inputs, "key"):
            raise ValueError(
                "a Dataset needs a `key` that names its content before checkpoints can rely on it"
            )
        inputs = self.inputs.numpy() if isinstance(self.inputs, Tensor) else self.inputs.key
        return content_key(inputs, {name: target.numpy() for name, target in self.targets.items()})

    def prepared(self, config: TrainConfig) -> TrainingData:
        """The data to read from. Raises ``ValueError`` where inputs cannot do what ``config`` asks of them."""
        for name, method in (("augment", "drawn"), ("decoded", "decoded")):
            if getattr(config, name) and not hasattr(self.inputs, method):
                kind = type(self.inputs).__name__
                raise ValueError(
                    f"{name} needs Pictures, got {kind}: train end to end, or set {name} to false"
                )
        return replace(self, inputs=self.inputs.decoded()) if config.decoded else self


class DeepMethod(Protocol):
    """What the loop asks of an ``nn.Module``."""

    def __call__(self, x: Tensor) -> Tensor:
        """x (N, ...) -> relaxed codes h (N, K) in (0, 1)."""

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of :class:`TrainingData` -> the loss to go down, and its detached terms by name."""

    def parameter_groups(self, config: TrainConfig) -> list[dict[str, Any]]:
        """The optimiser's groups: "name", "lr", "params"."""

    def paces(self, epoch: float) -> dict[str, float]:
        """The groups that a step updates, and a factor on each one's learning rate. ``epoch``: so many are done with it."""

    def begin_epoch(self, epoch: int, data: TrainingData) -> None:
        """Called before ``epoch`` (from 0). What it changes must be parameters or buffers, so that a resumed
        run finds it."""


class TrainingDiverged(ArithmeticError):
    """A loss became infinite or NaN. ``term``, ``epoch`` (from 1) and ``step`` (from 1) say where."""

    def __init__(self, term: str, epoch: int, step: int, remedy: str) -> None:
        super().__init__(f"the loss term {term!r} is not finite in epoch {epoch}, step {step}: {remedy}")
        self.term, self.epoch, self.step, self.remedy = term, epoch, step, remedy


class CheckpointMismatch(ValueError):
    """A checkpoint of other data, settings or weights than those of the run that should go on from it."""


def train(
    model: nn.Module, data: TrainingData, config: TrainConfig, checkpoint: Path | None = None, key: str = ""
) -> Iterator[Record]:
    """Trains ``model`` (a :class:`DeepMethod`) in place and yields a record after each epoch.

    A record holds ``epoch`` (from 1), the means of ``loss`` and of each term, and :func:`code_statistics`.
    Each epoch goes through the images in another order, in batches of ``batch_size``; the last, incomplete
    batch is dropped (losses over pairs depend on the size), unless all images together are fewer than a
    batch.

    With ``checkpoint``, a file, the state is kept there after every ``checkpoint_every`` epochs and after the
    last. If the file is there already, its records are yielded again and training goes on behind them; a damaged one
    counts as none.
    ``key`` names what the run depends on beside ``data`` and ``config``.

    Raises :class:`TrainingDiverged`, and :class:`CheckpointMismatch` for a checkpoint of another run.
    """
    # Here, because who only searches with what was trained need not wait for it.
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=config.accelerator, devices=config.devices, precision=config.precision)
    fabric.launch()
    groups = [{**group, "initial_lr": group["lr"]} for group in model.parameter_groups(config)]
    optimiser = torch.optim.SGD(
        groups, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )
    wrapped, wrapped_optimiser = fabric.setup(model, optimiser)
    wrapped.mark_forward_method("loss")
    run = content_key(config, data.key, key) if checkpoint else ""
    data = data.prepared(config)
    records = _resume(checkpoint, run, model, optimiser) if checkpoint and intact(checkpoint) else []
    yield from records

    monitored = np.random.default_rng(config.seed).permutation(len(data))[: config.monitor]
    reader = Reader(data.inputs, config.workers)
    for epoch in range(len(records), config.epochs):
        with _isolated(fabric, config.seed, epoch), mode(model, training=True):
            model.begin_epoch(epoch, data)
            means = _epoch(fabric, wrapped, wrapped_optimiser, data, reader, config, epoch)
        h = relaxed_codes(model, reader, monitored)
        records.append({"epoch": epoch + 1, **means, **code_statistics(h)})
        last = epoch + 1 == config.epochs
        if checkpoint and fabric.is_global_zero and (last or (epoch + 1) % config.checkpoint_every == 0):
            # A finished run goes on no more: without momentum its file is half as long.
            _save(checkpoint, run, config, model, None if last else optimiser, records)
        yield records[-1]


def _epoch(
    fabric: Fabric,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    data: TrainingData,
    reader: Reader,
    config: TrainConfig,
    epoch: int,
) -> dict[str, float]:
    """One pass over the data; the means of the loss and its terms over all steps and devices."""
    rows = _rows(data, config, fabric, epoch)
    sums: dict[str, Tensor] = {}
    batches = reader.batches(rows, _seed(config.seed, epoch) if config.augment else None)
    if fabric.is_global_zero:
        batches = progress(batches, f"epoch {epoch + 1} of {config.epochs}", total=len(rows))
    for step, (chosen, x) in enumerate(zip(rows, batches, strict=True), start=1):
        batch = fabric.to_device({"x": x, **{name: target[chosen] for name, target in data.targets.items()}})
        with fabric.autocast():  # on one device Fabric does so for forward alone
            loss, terms = model.loss(batch)
        values = {"loss": loss.detach(), **terms}
        if not math.isfinite(loss.item()):
            read = data.inputs if isinstance(data.inputs, Tensor) else batch["x"]
            raise _diverged(values, read, epoch + 1, step)
        optimiser.zero_grad()
        fabric.backward(loss)
        paces = model.paces(epoch + step / len(rows))
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * config.rate(epoch) * paces.get(group["name"], 0.0)
            if group["name"] not in paces:
                for parameter in group["params"]:
                    parameter.grad = None  # without a gradient SGD leaves weight and momentum alone
        optimiser.step()
        sums = {name: sums.get(name, 0) + value for name, value in values.items()}
    means = fabric.all_reduce(torch.stack([total.double() for total in sums.values()]) / len(rows))
    return dict(zip(sums, means.tolist(), strict=True))


def _rows(data: TrainingData, config: TrainConfig, fabric: Fabric, epoch: int) -> list[Tensor]:
    """This device's batches of ``epoch``: the (B,) images of each step, the same on every resume."""
    generator = torch.Generator().manual_seed(_seed(config.seed, epoch))
    order = torch.randperm(len(data), generator=generator)
    batch = min(config.batch_size, len(data) // fabric.world_size)
    if not batch:
        raise ValueError(f"{len(data)} images cannot feed {fabric.world_size} devices")
    shares = order.split(batch)  # the devices take turns, so no image is seen twice in an epoch
    steps = len(data) // (batch * fabric.world_size)
    return list(shares[fabric.global_rank :: fabric.world_size][:steps])


def _seed(*parts: int) -> int:
    """Far apart for neighbouring ``parts``, as plain sums of seed and epoch would not be."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def _isolated(fabric: Fabric, seed: int, epoch: int) -> Iterator[None]:
    """Torch's global generators, which dropout draws from, seeded for the epoch and put back afterwards."""
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(_seed(seed, epoch, fabric.global_rank))
        yield


def _diverged(values: Mapping[str, Tensor], inputs: Tensor, epoch: int, step: int) -> TrainingDiverged:
    """Blames the first term that is not finite (the sum comes last) and looks for the cause in the inputs."""
    guilty = [name for name, value in values.items() if not torch.isfinite(value)]
    term = next((name for name in guilty if name != "loss"), "loss")
    if torch.isfinite(inputs).all():
        remedy = "lower the learning rates, or train in precision 32-true if it was another"
    else:
        remedy = "the inputs hold NaN or infinite values: compute the features anew or leave those images out"
    return TrainingDiverged(term, epoch, step, remedy)


def _save(
    path: Path,
    run: str,
    config: TrainConfig,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None,
    records: list[Record],
) -> None:
    state = {
        "run": run,
        "config": asdict(config),
        "model": model.state_dict(),
        "optimiser": optimiser and optimiser.state_dict(),
        "records": records,
    }
    with storing(path) as temporary:
        torch.save(state, temporary)


def _resume(path: Path, run: str, model: nn.Module, optimiser: torch.optim.Optimizer) -> list[Record]:
    """Puts the stored state into ``model`` and ``optimiser``; the records so far."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["run"] != run:
        raise CheckpointMismatch(
            f"{path} belongs to a run with other data, settings or weights: choose another file or delete it"
        )
    model.load_state_dict(state["model"])
    if state["optimiser"] is not None:
        optimiser.load_state_dict(state["optimiser"])
    return state["records"]
