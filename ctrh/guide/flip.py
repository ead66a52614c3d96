"""A guide in FLIP's manner (Li, Fan, Hu, Feichtenhofer, He, Scaling language-image pre-training via masking, CVPR 2023).

FLIP is CLIP trained with a part of each picture's patches hidden, and tuned for a little while on whole pictures at the
end. Its weights are not public for open_clip, so here it is a way of fine-tuning: any guide goes on learning, from
pairs of a photo and its text, with hidden patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrh.data.photos import Photos
from ctrh.guide.clip import Guide
from ctrh.guide.finetune import FinetuneConfig, finetune
from ctrh.guide.masking import check_ratio


@dataclass(frozen=True)
class FlipConfig:
    """``ratio`` of the patches is hidden, but in the last ``unmasked`` of the epochs none (FLIP's unmasked tuning).

    FLIP uses a ratio of 0.5 or 0.75; 0 is plain fine-tuning of CLIP.
    """

    finetune: FinetuneConfig = FinetuneConfig()
    ratio: float = 0.5
    unmasked: int = 1

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        if not 0 <= self.unmasked <= self.finetune.epochs:
            raise ValueError(f"{self.unmasked} unmasked epochs out of {self.finetune.epochs}")

    @property
    def masks(self) -> tuple[float, ...]:
        """The share of patches that each epoch hides."""
        return (self.ratio,) * (self.finetune.epochs - self.unmasked) + (0.0,) * self.unmasked


def flip(
    guide: Guide, photos: Photos, indices: np.ndarray | None = None, config: FlipConfig = FlipConfig()
) -> Guide:
    """``guide`` after tuning on the photos ``indices`` (default: the training images), as :func:`finetune` does it."""
    return finetune(guide, photos, indices, config.finetune, masks=config.masks)
