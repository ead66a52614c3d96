"""How the demo's backbones are trained, from a clone: ``python -m tools.pretrain_backbones ICONS small-alexnet``.

In place of ImageNet's task: name each of the 470 or so things in pictures by other artists than the data sets'
(:mod:`tools.other_corpus`), at the cell of the network's last map that shows its middle. The classes are single things
(a poodle, a tulip, a tram), never words or labels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ctrh.data.scenes.compose import SIZE, Scene
from ctrh.data.scenes.world import KIND_OF_GLYPH
from ctrh.small_backbones import SMALL, build, normalise
from ctrh.store import replacing
from tools.icons import render
from tools.other_corpus import corpus
from tools.pretrain_guide import WEIGHTS, half, patch_of


@dataclass(frozen=True)
class BackboneConfig:
    """``seed`` selects the pictures, others than any guide's, and the first weights."""

    seed: int = 6001
    scenes: int = 30_000
    held_out: int = 2_000
    epochs: int = 4
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05


CLASSES = tuple(KIND_OF_GLYPH)


class Pretraining(nn.Module):
    """A small backbone with a classifier on each cell of its last map."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = build(name)
        channels = self.backbone.cells(torch.zeros(1, 3, SIZE, SIZE)).shape[1]
        self.head = nn.Conv2d(channels, len(CLASSES), 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, 49, classes) logits."""
        return self.head(self.backbone.cells(pixels)).flatten(2).transpose(1, 2)


def things_of(scenes: Sequence[Scene], flip: np.ndarray) -> tuple[list[int], list[int], Tensor]:
    """The picture, the cell and the class of every thing in ``scenes``."""
    rows, cells, classes = [], [], []
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            rows.append(row)
            cells.append(patch_of(thing, bool(flip[row])) - 1)
            classes.append(CLASSES.index(thing.glyph))
    return rows, cells, torch.tensor(classes)


def train(name: str, config: BackboneConfig, icons: np.ndarray, out: Path) -> None:
    """Trains one backbone on drawings (:func:`tools.icons.render`) and writes its weights in half precision to ``out``."""
    torch.manual_seed(config.seed)
    pixels, scenes = corpus(icons, config.seed, config.scenes)
    held_out = corpus(icons, config.seed + 1, config.held_out)
    net = Pretraining(name).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    per_epoch = config.scenes // config.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.lr, total_steps=config.epochs * per_epoch, pct_start=0.15
    )
    rng = np.random.default_rng(config.seed)
    for epoch in range(config.epochs):
        order, begun = rng.permutation(config.scenes), time.time()
        net.train()
        for step in tqdm(range(per_epoch), f"epoch {epoch}", disable=None):
            rows = np.sort(order[step * config.batch : (step + 1) * config.batch])
            flip = rng.random(len(rows)) < 0.5
            batch = _normalised(pixels[rows])  # (B, 3, 112, 112)
            batch = torch.where(torch.from_numpy(flip)[:, None, None, None], batch.flip(3), batch)
            shown, cells, classes = things_of([scenes[row] for row in rows], flip)
            with torch.autocast("cpu", torch.bfloat16):  # (things in the batch, classes)
                logits = net(batch.to(memory_format=torch.channels_last))[shown, cells]
            loss = F.cross_entropy(logits.float(), classes, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        _settle(net.backbone, pixels[: config.held_out])
        with replacing(out) as temporary:
            save_file(half(net.backbone.state_dict()), temporary)
        accuracy = held_out_accuracy(net, *held_out)
        print(f"epoch {epoch + 1}: held-out accuracy {accuracy:.3f}, {time.time() - begun:.0f} s", flush=True)


@torch.no_grad()
def _settle(backbone: nn.Module, pixels: np.ndarray) -> None:
    """Statistics of what leaves the backbone, for the standardisation that it ends with."""
    backbone.eval()
    backbone.standard.reset_running_stats()
    backbone.standard.train()
    for i in range(0, len(pixels), 250):
        backbone(_normalised(pixels[i : i + 250]))
    backbone.standard.eval()


def _normalised(pixels: np.ndarray) -> Tensor:
    return normalise(torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2))


@torch.no_grad()
def held_out_accuracy(net: Pretraining, pixels: np.ndarray, scenes: list[Scene]) -> float:
    """Share of things whose drawing is named first."""
    net.eval()
    right = []
    for i in range(0, len(scenes), 250):
        shown = scenes[i : i + 250]
        rows, cells, classes = things_of(shown, np.zeros(len(shown), dtype=bool))
        right.append(net(_normalised(pixels[i : i + 250]))[rows, cells].argmax(1) == classes)
    return float(torch.cat(right).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain_backbones", description=__doc__)
    parser.add_argument("icons", type=Path, help="the folder of packages that tools.icons names")
    parser.add_argument("name", choices=SMALL)
    options = parser.parse_args()
    out = WEIGHTS / f"{options.name}.safetensors"
    train(options.name, BackboneConfig(), render(options.icons), out)


if __name__ == "__main__":
    main()
