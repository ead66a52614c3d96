"""The tags that a guide infers, with probabilities: the rows behind Figures 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ctrh.data.photos import Photos
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.refine import ZERO_SHOT, RefineConfig, scores_of


def top_tags(scores: np.ndarray, vocabulary: Sequence[str], count: int, scale: float) -> pd.DataFrame:
    """scores: (N, C) -> rows (``row``, ``rank`` from 1, ``tag``, ``score``, ``probability``), the ``count``
    best each.

    Probabilities are softmax(scale * score) over the whole vocabulary, with CLIP's own inverse temperature;
    the article does not say how it makes them. Of equal scores the lower index comes first.
    """
    probability = torch.softmax(scale * torch.as_tensor(scores).double(), dim=1).numpy()
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    rows, ranks = np.indices(best.shape)
    return pd.DataFrame(
        {
            "row": rows.ravel(),
            "rank": ranks.ravel() + 1,
            "tag": np.asarray(vocabulary, dtype=object)[best].ravel(),
            "score": np.take_along_axis(scores, best, axis=1).ravel(),
            "probability": np.take_along_axis(probability, best, axis=1).ravel(),
        }
    )


def removal_effect(
    photos: Photos,
    guide: Guide,
    indices: Sequence[int],
    count: int = 10,
    config: RefineConfig = ZERO_SHOT,
) -> pd.DataFrame:
    """Figure 3: the ``count`` best tags of a few photos, predicted directly and after the removal of
    redundant features.

    Rows as in :func:`top_tags`, with ``photo`` (the index) in place of ``row`` and ``prediction``, "direct"
    or "removed". ``config`` gives the readings; its ``alpha`` is for the caller, who passes the guide of Eq.
    (2).
    """
    features = image_features(guide, photos.images, np.asarray(indices))
    text = guide.text_features(photos.vocabulary)
    frames = []
    for prediction in ("direct", "removed"):
        scores = scores_of(*features, text, replace(config, remove_redundant=prediction == "removed"))
        frame = top_tags(scores, photos.vocabulary, count, guide.scale)
        frame.insert(0, "photo", np.asarray(indices)[frame.pop("row")])
        frame.insert(1, "prediction", prediction)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
