"""How the demo's backbones are trained: ``python -m ctrh.pretrain_backbones small-alexnet``.

The part of ImageNet: tell some 1,300 OpenMoji glyphs apart, one large glyph a picture, on the scenes' backgrounds. The
classes are single drawings (a poodle, a tulip, a stop sign), never the words or labels of the data sets.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import emoji
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tqdm import tqdm

from ctrh.data.scenes.compose import SIZE, Scene, Thing
from ctrh.data.scenes.draw import draw
from ctrh.data.scenes.world import BACKGROUNDS, LOOKS
from ctrh.small_backbones import SMALL, build, normalise
from ctrh.store import cache_dir, content_key, replacing


@dataclass(frozen=True)
class BackboneConfig:
    """``seed`` selects the pictures, of seeds that no data set and no guide uses, and the first weights."""

    seed: int = 2001
    pictures: int = 40_000
    held_out: int = 2_000
    epochs: int = 6
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05


def glyph_classes() -> tuple[str, ...]:
    """Every emoji of one code point: the classes, in the order of their code points."""
    plain = {glyph.replace("\ufe0f", "") for glyph, data in emoji.EMOJI_DATA.items() if data["status"] == 2}
    return tuple(sorted(glyph for glyph in plain if len(glyph) == 1))


def single_glyph(seed: int, index: int) -> tuple[Scene, int]:
    """A scene with one large glyph, and its class."""
    rng = np.random.default_rng([seed, index])
    classes = glyph_classes()
    label = index % len(classes)
    thing = Thing(
        kind="",
        glyph=classes[label],
        centre=(float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 0.7))),
        pixels=float(rng.uniform(34, 84)),
        angle=float(rng.normal(0, 14)),
        mirrored=bool(rng.random() < 0.5),
        hue=float(rng.normal(0, 0.06)),
        opacity=float(rng.uniform(0.8, 1.0)),
    )
    look = str(rng.choice(LOOKS)) if rng.random() < 0.3 else None
    background = str(rng.choice(tuple(BACKGROUNDS)))
    return Scene(background, (thing,), look, float(rng.uniform(0.65, 1.15)), (seed, index)), label


def pictures(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3, 112, 112) uint8, memory-mapped from the cache, and the classes (count,)."""
    scenes, labels = zip(*(single_glyph(seed, index) for index in range(count)), strict=True)
    path = cache_dir() / "corpus" / f"glyphs-{content_key(seed, count)}.npy"
    if not path.exists():
        with replacing(path) as temporary, ProcessPoolExecutor() as pool:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, 3, SIZE, SIZE))
            drawn = pool.map(draw, scenes, chunksize=256)
            for index, picture in enumerate(tqdm(drawn, "drawing", total=count, disable=None)):
                pixels[index] = picture.transpose(2, 0, 1)
            pixels.flush()
    return np.load(path, mmap_mode="r"), np.asarray(labels)


def train(name: str, config: BackboneConfig, out: Path) -> None:
    """Trains one backbone and writes its weights in half precision to ``out``."""
    torch.manual_seed(config.seed)
    pixels, labels = pictures(config.seed, config.pictures)
    held_pixels, held_labels = pictures(config.seed + 1, config.held_out)
    net = build(name, classes=len(glyph_classes())).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    per_epoch = config.pictures // config.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.lr, total_steps=config.epochs * per_epoch
    )
    rng = np.random.default_rng(config.seed)
    for epoch in range(config.epochs):
        order, begun = rng.permutation(config.pictures), time.time()
        net.train()
        for step in tqdm(range(per_epoch), f"epoch {epoch}", disable=None):
            rows = np.sort(order[step * config.batch : (step + 1) * config.batch])
            batch = normalise(torch.from_numpy(pixels[rows]))
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(batch.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), torch.from_numpy(labels[rows]), label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with replacing(out) as temporary:
            save_file({k: _half(v) for k, v in net.backbone.state_dict().items()}, temporary)
        accuracy = held_out_accuracy(net, held_pixels, held_labels)
        print(f"epoch {epoch + 1}: held-out accuracy {accuracy:.3f}, {time.time() - begun:.0f} s", flush=True)


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.half().contiguous() if value.is_floating_point() else value


@torch.no_grad()
def held_out_accuracy(net: torch.nn.Module, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures whose glyph is named first."""
    net.eval()
    first = [
        net(normalise(torch.from_numpy(pixels[i : i + 256]))).argmax(1) for i in range(0, len(labels), 256)
    ]
    return float((torch.cat(first).numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ctrh.pretrain_backbones", description=__doc__)
    parser.add_argument("name", choices=SMALL)
    parser.add_argument("--epochs", type=int, default=BackboneConfig.epochs)
    options = parser.parse_args()
    out = Path(__file__).parent / "weights" / f"{options.name}.safetensors"
    train(options.name, BackboneConfig(epochs=options.epochs), out)


if __name__ == "__main__":
    main()
