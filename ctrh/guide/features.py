"""What Eq. (4)-(8) need of every photo, computed in one pass and kept on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from ctrh.data.images import in_threads
from ctrh.data.photos import Images
from ctrh.guide.clip import Guide
from ctrh.progress import progress
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

    Streams: beside the result, memory holds one batch of pictures and their tokens.
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)

    def compute() -> dict[str, np.ndarray]:
        class_token = np.empty((len(indices), guide.width), dtype=np.float32)
        mean_token = np.empty_like(class_token)
        pixels = in_threads(lambda index: guide.preprocess(images[index]), indices.tolist())
        for start in progress(range(0, len(indices), batch_size), "image features"):
            rows = slice(start, min(start + batch_size, len(indices)))
            tokens = guide.image_tokens(torch.stack([next(pixels) for _ in indices[rows]])).float()
            class_token[rows] = tokens[:, 0].cpu().numpy()
            mean_token[rows] = normalize(tokens, dim=-1).mean(dim=1).cpu().numpy()
        return {"class_token": class_token, "mean_token": mean_token}

    key = content_key(guide.key, images.key, indices)
    return ImageFeatures(**cached_arrays("guide-features", key, compute))
