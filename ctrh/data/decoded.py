"""Pictures decoded once: their pixels, scaled down, one after the other in one file of the cache.

Decoding a photo costs more than all that is done with it before it reaches a GPU. A file holds the heights and widths
(N, 2) int32, then N pictures, uint8 (H, W, 3) each. 10,000 photos with a shorter side of 256 take 2.6 GB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from ctrh.data.images import in_threads
from ctrh.data.photos import Images
from ctrh.progress import progress
from ctrh.store import cache_dir, cached_file, content_key


def scaled(picture: Image.Image, side: int) -> Image.Image:
    """The picture with a shorter side of ``side`` pixels, bilinear; itself if it has that already."""
    width, height = picture.size
    factor = side / min(width, height)
    size = max(side, round(width * factor)), max(side, round(height * factor))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)


def decoded(images: Images, rows: np.ndarray, side: int) -> DecodedImages:
    """``images[row]`` for each of ``rows``, :func:`scaled` to ``side``, out of the cache; written there if they are not.

    Raises what ``images`` raise for a picture that cannot be read.
    """
    key = content_key(images.key, rows, side, PIL.__version__)

    def write(temporary: Path) -> None:
        sizes = np.zeros((len(rows), 2), dtype=np.int32)
        with open(temporary, "wb") as file:
            file.write(sizes.tobytes())
            pictures = in_threads(lambda row: np.asarray(scaled(images[row].convert("RGB"), side)), rows.tolist())
            for place, pixels in enumerate(progress(pictures, "decoding pictures", len(rows))):
                sizes[place] = pixels.shape[:2]
                file.write(pixels.tobytes())
            file.seek(0)
            file.write(sizes.tobytes())

    return DecodedImages(cached_file(cache_dir() / "decoded" / f"{key}.pixels", write), len(rows), key)


class DecodedImages:
    """The ``count`` pictures in a file of :func:`decoded`."""

    def __init__(self, path: Path, count: int, key: str) -> None:
        self.path, self.key = path, key
        sizes = np.fromfile(path, dtype=np.int32, count=2 * count)
        self._sizes = sizes.reshape(-1, 2)
        self._ends = sizes.nbytes + np.cumsum(3 * self._sizes.prod(axis=1, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, index: int) -> Image.Image:
        height, width = (int(side) for side in self._sizes[index])
        count = 3 * height * width
        # Opened each time: nothing to hand over to workers, and the system keeps what is read often in memory.
        pixels = np.fromfile(self.path, np.uint8, count, offset=int(self._ends[index]) - count)
        return Image.fromarray(pixels.reshape(height, width, 3))
