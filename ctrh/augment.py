"""Random views of a picture for training end to end, as the field takes them: resize to 256, crop 224, mirror half.

Networks of another input size keep these proportions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ctrh.data.decoded import scaled

Preprocess = Callable[[Image.Image], Tensor]
PROBE = Image.new("RGB", (64, 64))


def for_crops(preprocess: Preprocess) -> tuple[int, Preprocess]:
    """The input size of a network, and its ``preprocess`` for squares of this size: what is left is to normalise them."""
    if hasattr(preprocess, "resize_size"):  # torchvision's: the others scale a whole square
        preprocess = copy.copy(preprocess)
        preprocess.resize_size = preprocess.crop_size
    return preprocess(PROBE).shape[-1], preprocess


def side_for(size: int) -> int:
    """The shorter side of the picture that (``size``, ``size``) is cut from: 256 for 224."""
    return round(size * 256 / 224)


def random_view(picture: Image.Image, size: int, seed: tuple[int, ...]) -> Image.Image:
    """A square (``size``, ``size``) out of the scaled picture, mirrored or not, as ``seed`` draws it."""
    picture = scaled(picture.convert("RGB"), side_for(size))
    draw = np.random.default_rng(seed)
    left, top = (int(draw.integers(length - size + 1)) for length in picture.size)
    view = picture.crop((left, top, left + size, top + size))
    return ImageOps.mirror(view) if draw.integers(2) else view
