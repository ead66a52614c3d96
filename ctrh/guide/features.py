"""What Eq. (4)-(8) need of every photo, computed in one pass and kept on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from ctrh.data.photos import Images
from ctrh.guide.batches import batch_by_batch
from ctrh.guide.clip import Guide
from ctrh.guide.equations import tag_distribution
from ctrh.store import cached_rows, content_key


class ImageFeatures(NamedTuple):
    """``class_token``: (N, D), not normalised; ``mean_token``: (N, D), the mean over the 1+P normalised
    tokens."""

    class_token: np.ndarray
    mean_token: np.ndarray


def image_features(
    guide: Guide, images: Images, indices: np.ndarray | None = None, batch_size: int = 64
) -> ImageFeatures:
    """The two (N, D) float32 arrays of the N photos ``indices`` (default: all), in that order.

    Every photo is computed once for a guide's weights and cached on disk, whichever photos it is asked for with.
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)

    def read(pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        tokens = guide.image_tokens(pixels).float()  # (B, 1+P, D)
        return tokens[:, 0].cpu().numpy(), normalize(tokens, dim=-1).mean(dim=1).cpu().numpy()

    def compute(rows: np.ndarray) -> dict[str, np.ndarray]:
        class_token = np.empty((len(rows), guide.width), dtype=np.float32)
        mean_token = np.empty_like(class_token)
        prepare = lambda index: guide.preprocess(images[index])  # noqa: E731
        batches = batch_by_batch(rows, prepare, read, "image features", batch_size, guide.device)
        for place, (own, mean) in batches:
            class_token[place], mean_token[place] = own, mean
        return {"class_token": class_token, "mean_token": mean_token}

    key = content_key("by photo", guide.key, images.key)
    return ImageFeatures(**cached_rows("guide-features", key, indices, compute))


def concept_distribution(guide: Guide, images: Images, text: np.ndarray) -> np.ndarray:
    """How the guide distributes each photo over words, Eq. (5) with its own temperature.  text: (C, D) of the words -> (N, C)
    float32, rows of sum 1."""
    tokens = torch.from_numpy(image_features(guide, images).class_token)
    concepts = np.empty((len(tokens), len(text)), dtype=np.float32)
    for start in range(0, len(tokens), 4096):  # the result is large enough without logits beside it
        part = slice(start, start + 4096)
        concepts[part] = tag_distribution(tokens[part], torch.from_numpy(text), guide.scale).numpy()
    return concepts
