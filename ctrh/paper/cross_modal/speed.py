"""FLIP's promise: what a training step of the image tower costs when patches are hidden."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from open_clip.transformer import VisionTransformer

from ctrh.guide.clip import Guide
from ctrh.guide.flip import stem_seconds, step_seconds
from ctrh.guide.masking import patches_left
from ctrh.paper.ahead import quiet
from ctrh.paper.hardware import machine
from ctrh.paper.profiles import CrossConfig
from ctrh.paper.runs import code_key, versions
from ctrh.store import cached_arrays, content_key

VIT = "size of ViT-B-32"


def speed_rows(cross: CrossConfig, guide: Guide) -> pd.DataFrame:
    """One row a tower and masking ratio: ``patches`` left, ``ms`` of the processor per picture and training step,
    ``speedup`` over the first ratio, ``transformer``: the share of a step at that ratio that masking can make cheaper.

    The guide's own tower, and one of ViT-B-32's size with random weights, which is as fast as a trained one. Measured
    once on a machine, on one thread, then read back.
    """
    pictures = cross.speed_pictures

    def measure() -> dict[str, np.ndarray]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with quiet():
                frames = [tower_rows(guide.name, guide.model.visual, pictures, cross.ratios, repeats=3)]
                if cross.speed_vit:
                    vit = tower_rows(VIT, _vit_b_32(), max(1, pictures // 3), cross.ratios, repeats=1)
                    frames.append(vit)
        finally:
            torch.set_num_threads(threads)
        rows = pd.concat(frames, ignore_index=True)
        return {name: np.asarray(rows[name].tolist()) for name in rows}

    settings = [pictures, cross.ratios, cross.speed_vit]
    key = content_key(guide.key, settings, machine(), code_key(), versions())
    return pd.DataFrame(cached_arrays("masking-speed", key, measure))


def tower_rows(
    name: str, tower: VisionTransformer, pictures: int, ratios: Sequence[float], repeats: int
) -> pd.DataFrame:
    """The rows of one tower, which is not touched, by steps on so many random ``pictures``."""
    visual = copy.deepcopy(tower).requires_grad_(True)
    images = torch.randn(pictures, 3, *visual.image_size, generator=torch.Generator().manual_seed(0))
    rows = [
        {
            "tower": name,
            "ratio": ratio,
            "patches": patches_left(visual, ratio),
            "ms": 1000 * step_seconds(visual, images, ratio, repeats) / pictures,
        }
        for ratio in ratios
    ]
    whole = rows[0]["ms"]
    stem = 1000 * stem_seconds(visual, images, repeats) / pictures
    return pd.DataFrame(rows).assign(speedup=lambda table: whole / table["ms"], transformer=1 - stem / whole)


def _vit_b_32() -> VisionTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VisionTransformer(224, 32, 768, 12, 12, 4, output_dim=512).eval()
