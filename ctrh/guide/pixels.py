"""Training pictures, transformed once: a guide's transform cut in two, the slow half cached as bytes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import Compose, Normalize

from ctrh.data.images import in_threads
from ctrh.data.photos import Images
from ctrh.guide.clip import Guide
from ctrh.progress import progress
from ctrh.store import cache_dir, cached_map, content_key


class TrainingPixels:
    """The photos ``indices`` as the guide sees them: ``pixels[rows]`` is (B, 3, H, W), as
    ``guide.preprocess`` gives.

    Decoding and resizing happen once; the bytes (a quarter of the floats) are memory-mapped from the cache.
    Raises ``ValueError`` when the guide's transform does not end in ``Normalize`` on 8-bit pictures.
    """

    def __init__(self, guide: Guide, images: Images, indices: np.ndarray) -> None:
        steps = getattr(guide.preprocess, "transforms", [])
        if not steps or not isinstance(steps[-1], Normalize):
            raise ValueError(
                f"{guide.name}: the transform must end in torchvision's Normalize to be fine-tuned"
            )
        self.normalise = steps[-1]
        to_floats = Compose(steps[:-1])

        def transformed(index: int) -> np.ndarray:
            exact = to_floats(images[index]) * 255
            rounded = exact.round()
            if not torch.allclose(exact, rounded, atol=1e-3):
                raise ValueError(f"{guide.name}: the transform before Normalize does not give 8-bit values")
            return rounded.to(torch.uint8).numpy()

        def rows() -> Iterable[np.ndarray]:
            return progress(in_threads(transformed, indices.tolist()), "training pictures", len(indices))

        # The guide's key names the transform too.
        path = cache_dir() / "training-pixels" / f"{content_key(guide.key, images.key, indices)}.npy"
        self.bytes = cached_map(path, len(indices), rows)

    def __getitem__(self, rows: np.ndarray) -> Tensor:
        return self.normalise(torch.from_numpy(self.bytes[rows]).float() / 255)
