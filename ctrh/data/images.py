"""Sources of pictures (the `Images` protocol): an array in memory or on disk, and files of any size and format."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, features

from ctrh.store import content_key, sha256

try:
    import pillow_heif  # iPhones' format; optional: pip install 'ctrh[heic]'
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

# Formats by name, because Pillow's full list runs Ghostscript on anything that looks like PostScript.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM")
FORMATS += ("AVIF",) * features.check("avif") + ("HEIF",) * bool(pillow_heif)
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .webp .bmp .tif .tiff .jp2 .ppm .pgm".split()
    + [".avif"] * features.check("avif")
    + [".heic", ".heif"] * bool(pillow_heif)
)
MAX_PIXELS = 89_478_485  # Pillow's own limit: 256 MB as RGB
MAX_ASPECT = 100

T = TypeVar("T")
R = TypeVar("R")


class BadImageError(ValueError):
    """A picture that cannot be read: ``name`` says which, ``reason`` why and what to do about it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # An exception is pickled by its message alone; worker processes must get both parts back.
        return type(self), (self.name, self.reason)


def upright_rgb(picture: Image.Image, name: str = "the picture") -> Image.Image:
    """The picture as a person sees it: EXIF orientation applied, transparency on white, 16 bits scaled to 8, RGB.

    Numbers without a fixed range (modes I and F) are scaled by theirs. Of a strip longer than ``MAX_ASPECT`` times its
    width the middle is left: scaled to a network's width it would fill the memory. ``name``: for the warning about an
    orientation that cannot be read.
    """
    picture.load()  # a fault in the pixels is no fault of the metadata
    try:
        if "exif" in picture.info:
            Image.Exif().load(picture.info["exif"])  # of JPEG, Pillow itself passes over what it cannot read
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:  # whatever the parser trips over
        warnings.warn(f"{name}: its EXIF data are damaged ({error}), so it may lie on its side", stacklevel=2)
    if picture.mode.startswith("I;16"):
        # convert("RGB") would clip: everything above 255 of 65,535 turns white.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        picture = Image.fromarray(_scaled(np.asarray(picture, dtype=np.float64)))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    picture.info.clear()  # what has been applied must not be applied again
    return _without_ends(picture)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Numbers to uint8, the smallest to 0 and the largest to 255; NaN to 0."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    low, high = finite.min(), finite.max()
    return np.interp(np.nan_to_num(values, nan=low), (low, high), (0, 255)).astype(np.uint8)


def _without_ends(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    longest = MAX_ASPECT * min(width, height)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return picture.crop((left, top, width - left, height - top)) if left or top else picture


def open_image(path: Path, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes one file completely, as :func:`upright_rgb`; raises `BadImageError` with ``name`` when it cannot."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise BadImageError(
                    name, f"{width}x{height} pixels are over the limit of {max_pixels:,}: save it smaller"
                )
            return upright_rgb(picture, name)
    except (BadImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise BadImageError(
            name, f"more than twice {Image.MAX_IMAGE_PIXELS:,} pixels: save it smaller"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise BadImageError(
            name, f"not a picture that can be read ({', '.join(FORMATS)}): convert or replace it"
        ) from error
    except FileNotFoundError as error:
        raise BadImageError(name, f"no such file: {path}") from error
    except PermissionError as error:
        raise BadImageError(name, "no permission to read it: chmod a+r it") from error
    # Decoders raise whatever their parser tripped over (SyntaxError, struct.error, zlib.error, KeyError, ...).
    except Exception as error:
        raise BadImageError(name, f"damaged ({error}): save it again or replace it") from error


class ArrayImages:
    """Pictures in one uint8 array (N, H, W, 3), in memory or memory-mapped.

    ``key`` is the SHA-256 of shape and pixels, computed at the first use; whoever already knows a name for the
    content (the inputs it was made from) passes it. Raises ``ValueError`` for any other dtype or shape.
    """

    def __init__(self, pixels: np.ndarray, key: str | None = None) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"expected uint8 (N, H, W, 3), got {pixels.dtype} {pixels.shape}")
        self.pixels = pixels
        if key is not None:
            self.key = key

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256()
        for (
            picture
        ) in self.pixels:  # one at a time, so that a memory-mapped array is not read into memory whole
            digest.update(np.ascontiguousarray(picture))
        return content_key("array", self.pixels.shape, digest.hexdigest())

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(self.pixels[index]))


class FileImages:
    """Picture files ``root/name``, opened when asked for: EXIF orientation applied, alpha on white, RGB.

    ``key`` hashes the bytes of every file, in order (names and dates do not matter: a renamed folder keeps its
    cached results, an edited picture does not). Exact and cheap beside decoding: about 1 GB/s, computed at the
    first use; whoever knows the bytes already passes it. ``images[i]`` raises `BadImageError` for a damaged,
    missing or oversized (``max_pixels``) file.
    """

    def __init__(
        self, root: str | Path, names: Sequence[str], max_pixels: int = MAX_PIXELS, key: str | None = None
    ) -> None:
        self.root, self.names, self.max_pixels = Path(root), tuple(names), max_pixels
        if key is not None:
            self.key = key

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of every file's bytes."""
        return tuple(in_threads(self._file_digest, self.names))

    @cached_property
    def key(self) -> str:
        return content_key("files", list(self.digests))

    def _file_digest(self, name: str) -> str:
        try:
            return sha256(self.root / name)
        except OSError as error:
            raise BadImageError(name, f"cannot be read ({error.strerror})") from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image.Image:
        name = self.names[index]
        return open_image(self.root / name, name, self.max_pixels)


def in_threads(work: Callable[[T], R], items: Sequence[T], threads: int | None = None) -> Iterator[R]:
    """``work`` of every item, in order, by a few threads and with few results waiting in memory.

    Reading, hashing, decoding and resizing release the interpreter lock.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    pending: deque = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def square(picture: Image.Image, size: int, fit: str = "crop") -> Image.Image:
    """(size, size) bicubic: ``"crop"`` cuts the longer side (CLIP's way), ``"pad"`` adds white (nothing is lost)."""
    if fit == "crop":
        return ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    if fit == "pad":
        return ImageOps.pad(picture, (size, size), Image.Resampling.BICUBIC, color="white")
    raise ValueError(f"fit must be 'crop' or 'pad', got {fit!r}")
