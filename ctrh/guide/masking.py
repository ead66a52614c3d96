"""FLIP's masking: in training an image tower sees a random part of each picture's patches (Li et al., CVPR 2023).

The patches that are left get their places as usual, the others take no part in the transformer at all: there is no mask
token and nothing is reconstructed, so a step costs less. Inference sees whole pictures.

What an open_clip ``VisionTransformer`` does before the transformer is done for all patches. In ViT-B-32 that is one
linear map. In the small guide it is a stem of convolutions, and two things follow: only the transformer becomes
cheaper, and a patch that is left has seen something of its neighbours, so less is hidden than in FLIP.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from open_clip.transformer import PatchDropout, VisionTransformer


def check_ratio(ratio: float) -> float:
    """``ratio`` if it is a share in [0, 1) of patches that can be dropped, else ``ValueError``."""
    if not 0 <= ratio < 1:
        raise ValueError(
            f"the masking ratio must lie in [0, 1), got {ratio}: something has to be left to see"
        )
    return ratio


@contextlib.contextmanager
def masked(visual: VisionTransformer, ratio: float, seed: int) -> Iterator[None]:
    """Within the block ``visual`` drops the share ``ratio`` of each picture's patches, drawn anew from ``seed``.

    Nothing else of it changes: batch-norm and dropout stay in the mode that they are in, torch's global generator is
    put back, and afterwards the tower is as it was. At ratio 0 the block does nothing.
    """
    if check_ratio(ratio) == 0:
        yield
        return
    before = visual.patch_dropout
    visual.patch_dropout = PatchDropout(ratio).train()
    try:
        # The draws are made on the CPU, whatever device the pictures are on.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        visual.patch_dropout = before


def patches_left(visual: VisionTransformer, ratio: float) -> int:
    """How many of the P patches are left at ``ratio``; one at least."""
    rows, columns = visual.grid_size
    return max(1, int(rows * columns * (1 - check_ratio(ratio))))
