"""What Eq. (4)-(8) need of every photo, computed in one pass and kept on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from ctrh.data.photos import Images
from ctrh.guide.batches import batch_by_batch
from ctrh.guide.clip import Guide
from ctrh.store import cached_arrays, content_key


class ImageFeatures(NamedTuple):
    """``class_token``: (N, D), not normalised; ``mean_token``: (N, D), the mean over the 1+P normalised
    tokens."""

    class_token: np.ndarray
    mean_token: np.ndarray


def image_features(
    guide: Guide, images: Images, indices: np.ndarray | None = None, batch_size: int = 64
) -> ImageFeatures:
    """The two (N, D) float32 arrays of the N photos ``indices`` (default: all), in that order, cached on
    disk.

    Streams: beside the result, memory holds a few batches of pictures and their tokens.
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)

    def compute() -> dict[str, np.ndarray]:
        class_token = np.empty((len(indices), guide.width), dtype=np.float32)
        mean_token = np.empty_like(class_token)

        def read(pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
            tokens = guide.image_tokens(pixels).float()
            return tokens[:, 0].cpu().numpy(), normalize(tokens, dim=-1).mean(dim=1).cpu().numpy()

        batches = batch_by_batch(
            indices,
            lambda index: guide.preprocess(images[index]),
            read,
            "image features",
            batch_size,
            guide.device,
        )
        for rows, (own, mean) in batches:
            class_token[rows], mean_token[rows] = own, mean
        return {"class_token": class_token, "mean_token": mean_token}

    key = content_key(guide.key, images.key, indices)
    return ImageFeatures(**cached_arrays("guide-features", key, compute))
