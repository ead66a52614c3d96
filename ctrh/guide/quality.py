"""How good tags are, where the truth is known: precision, recall, F1, and the precision that Eq. (3) leaves
possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ctrh.guide.refine import best_tags


@dataclass(frozen=True)
class TagQuality:
    """Shares in [0, 1]; "micro" pools the tags of all photos, "photo" is the mean over photos.

    ``best_*`` is the precision of an oracle that gives every photo as many tags as it was given: Eq. (3)
    keeps the number of the user's tags, so a photo with fewer true tags than that cannot do better. Means
    over photos leave out the photos without a value (no tags given: precision; no true tags: recall; neither:
    F1). NaN where nothing is left.
    """

    precision_micro: float
    recall_micro: float
    f1_micro: float
    best_precision_micro: float
    precision_photo: float
    recall_photo: float
    f1_photo: float
    best_precision_photo: float
    tags_per_photo: float


def tag_quality(given: sp.csr_array, truth: sp.csr_array) -> TagQuality:
    """given, truth: (N, C) bool CSR, the tags to be judged and those that are right."""
    if given.shape != truth.shape:
        raise ValueError(f"tags have shape {given.shape}, truth {truth.shape}")
    given, truth = (sp.csr_array(tags, dtype=bool).astype(np.int64) for tags in (given, truth))
    right = given.multiply(truth).sum(axis=1)
    given, true = given.sum(axis=1), truth.sum(axis=1)  # each (N,), numbers of tags
    best = np.minimum(given, true)
    counts = {
        "precision": (right, given),
        "recall": (right, true),
        "f1": (2 * right, given + true),
        "best_precision": (best, given),
    }
    micro = {f"{name}_micro": _share(part.sum(), whole.sum()) for name, (part, whole) in counts.items()}
    photo = {f"{name}_photo": _mean_share(part, whole) for name, (part, whole) in counts.items()}
    return TagQuality(**micro, **photo, tags_per_photo=_share(given.sum(), len(given)))


def r_precision(scores: np.ndarray, truth: sp.csr_array) -> float:
    """scores: (N, C), truth: (N, C) bool -> mean over photos of the share of true tags among the R_i best.

    R_i is the number of true tags; photos without any are left out. Ties go to the lower index, as in tag
    replacement.
    """
    truth = sp.csr_array(truth, dtype=bool).astype(np.int64)
    true = truth.sum(axis=1)
    return _mean_share(best_tags(scores, true).astype(np.int64).multiply(truth).sum(axis=1), true)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean_share(part: np.ndarray, whole: np.ndarray) -> float:
    some = whole > 0
    return _share((part[some] / whole[some]).sum(), some.sum())
