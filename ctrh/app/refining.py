"""Better tags for a folder of photos: what `fit` trains on and `refine` writes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax

from ctrh.app.inputs import say
from ctrh.data.photos import Images, Photos
from ctrh.guide.calibrate import Calibration, calibrate, calibrated_tags
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.finetune import finetune
from ctrh.guide.quality import r_precision
from ctrh.guide.refine import RefineConfig, direct_scores, mixed_guide, refine

LOOKED_AT = 2_000  # photos, to see whether the guide knows what is in them
# How much oftener the guide must name a photo's own tags than those of another, to be said to know the pictures.
KNOWS = 1.5
TRUSTED = 0.5  # less of the visible words' mentions, and the user is told


def refined(
    photos: Photos, guide: Guide, alpha: float, published: bool = False, counts: np.ndarray | None = None
) -> tuple[sp.csr_array, Guide]:
    """Better tags (N, C) and the guide of Eq. (2) that helped: float32 probabilities of the probable words, or of as many
    words as ``counts`` says (:mod:`ctrh.guide.calibrate`); with ``published`` bool, those of Eq. (3)-(8).

    What users are right about is learned from the training photos.
    """
    tuned = None
    if published:
        say_agreement(photos, guide)
    if alpha > 0:
        say(f"fine-tuning the guide on {len(photos.split.train)} photos")
        tuned = finetune(guide, photos)
    say("refining the tags")
    mixed = mixed_guide(guide, tuned, alpha)
    if published:
        return refine(photos, guide, RefineConfig(alpha=alpha), tuned), mixed
    tokens, text = image_features(mixed, photos.images).class_token, mixed.text_features(photos.vocabulary)
    found = calibrate(tokens, text, photos.tags, photos.split.train)
    say_trust(found)
    return calibrated_tags(found.probability, photos.tags, counts=counts), mixed


def say_trust(found: Calibration) -> None:
    """Says in numbers how far the guide is believed about the photos, and what to do if it is not."""
    sees = f"the guide sees {found.by_guide.sum()} of {len(found.by_guide)} words in the photos, and "
    say(f"{sees}{found.trust:.0%} of what was written of visible things; a mention of these is right in {found.reliability:.0%}")
    if found.trust < TRUSTED:
        warnings.warn(
            f"{sees}that is {found.trust:.0%} of what was written of visible things: it hardly fits these pictures, and most "
            "tags stay as they are. Use a real CLIP (--guide ViT-B-32 --pretrained laion2b_s34b_b79k)",
            stacklevel=2,
        )


def likely_words(
    guide: Guide, images: Images, words: Sequence[str], count: int, least: float
) -> list[list[tuple[str, float]]]:
    """For each picture at most ``count`` words of at least the probability ``least``, the most probable first: CLIP's
    softmax over all ``words``."""
    tokens = image_features(guide, images).class_token
    shares = softmax(guide.scale * direct_scores(tokens, guide.text_features(words)), axis=1)  # (N, C)
    best = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    return [[(words[c], float(row[c])) for c in order if row[c] >= least] for row, order in zip(shares, best)]


def agreement(photos: Photos, guide: Guide) -> tuple[float, float]:
    """Of as many words as a photo has tags, the share that are its tags: what the guide names when it looks at the photo
    itself, and when it looks at another one (so much comes of the words' frequencies alone)."""
    generator = np.random.default_rng(0)
    rows = np.sort(generator.permutation(photos.split.train)[:LOOKED_AT])
    tokens = image_features(guide, photos.images).class_token[rows]
    scores, tags = direct_scores(tokens, guide.text_features(photos.vocabulary)), photos.tags[rows]
    others = [r_precision(scores[generator.permutation(len(rows))], tags) for _ in range(5)]
    return r_precision(scores, tags), float(np.mean(others))


def say_agreement(photos: Photos, guide: Guide) -> None:
    """Says in numbers whether the guide knows what is in the photos, and what to do if it does not."""
    own, other = agreement(photos, guide)
    say(f"the guide names {own:.0%} of the tags that a photo has, looking at it, and {other:.0%} looking at another")
    if own < KNOWS * other:
        warnings.warn(
            "the guide hardly knows what is in these pictures: refined tags may be worse than the users' own. Use a real "
            "CLIP (--guide ViT-B-32 --pretrained laion2b_s34b_b79k), or fit with --tags user",
            stacklevel=2,
        )
