"""FLIP's promise: what a training step of the image tower costs when patches are hidden."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor

from ctrh.guide.clip import Guide
from ctrh.guide.masking import masked, patches_left
from ctrh.paper.profiles import CrossConfig
from ctrh.paper.runs import code_key, versions
from ctrh.paper.timing import machine, measure
from ctrh.store import cached_arrays, content_key


def speed_rows(cross: CrossConfig, guide: Guide) -> pd.DataFrame:
    """One row a tower and masking ratio: ``patches`` left, ``ms`` of the processor per picture and training step,
    ``speedup`` over the first ratio, ``transformer``: the share of a step at that ratio that masking can make cheaper.

    The guide's tower, and an untrained one of ViT-B-32's size. Measured once on a machine, then read back."""
    pictures = cross.speed_pictures

    def compute() -> dict[str, np.ndarray]:
        frames = [tower_rows(guide.name, guide.model.visual, pictures, cross.ratios)]
        if cross.speed_vit:
            with torch.random.fork_rng(devices=[]):
                vit = VisionTransformer(224, 32, 768, 12, 12, 4, output_dim=512).eval()
            frames.append(tower_rows("size of ViT-B-32", vit, max(1, pictures // 3), cross.ratios))
        rows = pd.concat(frames, ignore_index=True)
        return {name: np.asarray(rows[name].tolist()) for name in rows}

    key = content_key(guide.key, [pictures, cross.ratios, cross.speed_vit], machine(), code_key(), versions())
    return pd.DataFrame(cached_arrays("masking-speed", key, compute))


def tower_rows(name: str, tower: VisionTransformer, pictures: int, ratios: Sequence[float]) -> pd.DataFrame:
    """The rows of one tower (copied, not touched) by steps on so many random ``pictures``."""
    visual = copy.deepcopy(tower).requires_grad_(True)
    images = torch.randn(pictures, 3, *visual.image_size, generator=torch.Generator().manual_seed(0))

    def milliseconds(ratio: float, forward: Callable[[Tensor], Tensor]) -> float:
        def step() -> None:
            with masked(visual, ratio, seed=0):
                forward(images).sum().backward()
            visual.zero_grad(set_to_none=True)

        # Other programs hardly add to the processor's own seconds.
        return measure(step, clock=time.process_time)[0] * 1000 / pictures

    ms = np.array([milliseconds(ratio, visual) for ratio in ratios])
    # What comes before the transformer, which masking does not make cheaper.
    stem = milliseconds(0.0, visual.conv1)
    left = [patches_left(visual, ratio) for ratio in ratios]
    rows = {"tower": name, "ratio": list(ratios), "patches": left, "ms": ms, "speedup": ms[0] / ms}
    return pd.DataFrame(rows).assign(transformer=1 - stem / ms[0])
