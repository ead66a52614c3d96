"""From picture files to packed codes: images a second, and which step takes the time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import Result, timed
from ctrh.backbones import load_backbone
from ctrh.data.images import FileImages, in_threads
from ctrh.guide.clip import load_guide
from ctrh.network import HashLayer
from ctrh.retrieval.codes import pack

# pictures, their pixels, a batch
SIZES = {"full": (512, (500, 375), 64), "small": (64, (500, 375), 32), "tiny": (5, (60, 45), 4)}
BITS = 64


def run(scale: str) -> Iterator[Result]:
    """The shipped guide's encoder: batches and decoding threads, beside one picture after the other."""
    count, pixels, batch = SIZES[scale]
    backbone = load_backbone("guide", load_guide("small"))
    layer = HashLayer(backbone.width, BITS).eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        images = FileImages(folder, write_pictures(Path(folder), count, pixels))

        def batched() -> np.ndarray:
            ready = in_threads(lambda i: backbone.preprocess(images[i]), range(count))
            codes = []
            for start in range(0, count, batch):
                stack = torch.stack([next(ready) for _ in range(min(batch, count - start))])
                codes.append(pack((layer(backbone.module(stack)) > 0.5).numpy()))
            return np.concatenate(codes)

        def one_by_one() -> tuple[np.ndarray, dict[str, float]]:
            steps = dict.fromkeys(("decode", "preprocess", "network", "hash and pack"), 0.0)
            codes = []
            for i in range(count):
                seconds, picture = timed(lambda i=i: images[i])
                steps["decode"] += seconds
                seconds, ready = timed(lambda picture=picture: backbone.preprocess(picture)[None])
                steps["preprocess"] += seconds
                seconds, features = timed(lambda ready=ready: backbone.module(ready))
                steps["network"] += seconds
                seconds, code = timed(lambda features=features: pack((layer(features) > 0.5).numpy()))
                steps["hash and pack"] += seconds
                codes.append(code)
            return np.concatenate(codes), steps

        batched()  # files in the system's cache, threads started
        ours_s, codes = timed(batched)
        reference_s, (expected, steps) = timed(one_by_one)
    # A relaxed bit at one half may fall to either side when the sums of a batch are ordered otherwise.
    difference = float((np.bitwise_count(codes ^ expected)).sum() / (8 * codes.size))
    facts = {"images per second": count / ours_s}
    facts |= {f"{step}, share %": 100 * seconds / sum(steps.values()) for step, seconds in steps.items()}
    size = f"{count} JPEGs of {pixels[0]} x {pixels[1]}, the small guide; reference one by one"
    yield Result("encoding", size, ours_s, reference_s, difference, facts)


def write_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """Smooth colours with some grain, so that JPEG has as much to do as with a photo."""
    random = np.random.default_rng(0)
    names = [f"{i}.jpg" for i in range(count)]
    for name in names:
        small = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        grainy = picture + random.normal(0, 8, picture.shape)
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
    return names
