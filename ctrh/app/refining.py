"""Better tags for a folder of photos: what `fit` trains on and `refine` writes."""

from __future__ import annotations

import scipy.sparse as sp

from ctrh.app.inputs import say
from ctrh.data.photos import Photos
from ctrh.guide.clip import Guide
from ctrh.guide.finetune import finetune
from ctrh.guide.refine import RefineConfig, mixed_guide, refine


def refined(photos: Photos, guide: Guide, alpha: float) -> tuple[sp.csr_array, Guide]:
    """The replaced tags (N, C) bool, and the guide of Eq. (2) that chose them."""
    tuned = None
    if alpha > 0:
        say(f"fine-tuning the guide on {len(photos.split.train)} photos")
        tuned = finetune(guide, photos)
    say("refining the tags")
    return refine(photos, guide, RefineConfig(alpha=alpha), tuned), mixed_guide(guide, tuned, alpha)
