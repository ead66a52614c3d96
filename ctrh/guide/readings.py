"""What in Eq. (4)-(8) re-ranks tags: every scoring rule on its way, and which of them choose the same tags."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

from ctrh.guide.equations import tag_distribution, tag_weights
from ctrh.guide.quality import tag_quality
from ctrh.guide.refine import best_tags, direct_scores, tag_scores


def scoring_rules(
    class_token: np.ndarray, mean_token: np.ndarray, text: np.ndarray, tau: float = 2.0
) -> dict[str, np.ndarray]:
    """From the class token's cosine to Eq. (8), one step at a time: name -> (N, C) float64.

    In double precision: where rules are equal on paper, no rounding should part them.
    """
    cls, mean, text = (np.asarray(part, dtype=np.float64) for part in (class_token, mean_token, text))
    unit = normalize(torch.from_numpy(text), dim=1)
    products = torch.from_numpy(mean) @ unit.T
    w = tag_weights(tag_distribution(torch.from_numpy(cls), unit, tau))
    return {
        "class token": direct_scores(cls, text),
        "mean token": products.numpy(),
        "unweighted (8)": tag_scores(cls, mean, text, tau, weighted=False),
        "w × mean token": (w * products).numpy(),
        "weighted (8)": tag_scores(cls, mean, text, tau, weighted=True),
    }


def agreement(
    rules: dict[str, np.ndarray], counts: np.ndarray, truth: sp.csr_array | None = None
) -> pd.DataFrame:
    """One row per rule: the share of photos for which it chooses the same tags as each of the others (a column
    each), and its precision where the ``truth`` (N, C) is known.

    ``counts``: (N,), how many tags a photo gets; photos that get none are left out of the shares.
    """
    chosen = {name: best_tags(scores, counts) for name, scores in rules.items()}
    some = np.asarray(counts) > 0
    rows = []
    for name, tags in chosen.items():
        same = {
            other: float(((tags != theirs).sum(axis=1) == 0)[some].mean()) for other, theirs in chosen.items()
        }
        precision = np.nan if truth is None else tag_quality(tags, truth).precision_micro
        rows.append({"ranked by": name, **same, "precision": precision})
    return pd.DataFrame(rows)


def subtracted(rules: dict[str, np.ndarray]) -> pd.DataFrame:
    """What Eq. (8) takes away, for both readings: its mean over photos, and the largest difference between two
    tags of one photo (0: the same for all tags)."""
    steps = {
        "unweighted": ("mean token", "unweighted (8)"),
        "weighted": ("w × mean token", "weighted (8)"),
    }
    taken = {reading: rules[before] - rules[after] for reading, (before, after) in steps.items()}
    return pd.DataFrame(
        [
            {"reading": reading, "mean": part.mean(), "difference": np.ptp(part, axis=1).max()}
            for reading, part in taken.items()
        ]
    )
