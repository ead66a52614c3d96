"""What a text query asks for, and which of its results are no better than chance. Without PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# What queries of nothing find: so many of them are asked, of each the best photos, and this share passes for something.
QUERIES, BEST, SHARE = 64, 10, 0.05


def wanted(text: str) -> list[tuple[float, str]]:
    """Phrases with their weights: "beach +dog -people" -> (0.5, beach), (0.5, dog), (-1, people).

    A sign counts where a word begins. Raises ``ValueError`` for a text without a phrase.
    """
    pieces = re.split(r"(?:^|(?<=\s))([+\-−])\s*", text if re.match(r"[+\-−]", text) else f"+{text}")
    signs = [1 if sign == "+" else -1 for sign in pieces[1::2]]
    phrases = [(sign, " ".join(phrase.split())) for sign, phrase in zip(signs, pieces[2::2], strict=True)]
    phrases = [(sign, phrase) for sign, phrase in phrases if phrase]
    if not phrases:
        raise ValueError(f"there is nothing to look for in {text!r}")
    share = {sign: sign / sum(each == sign for each, _ in phrases) for sign, _ in phrases}
    return [(share[sign], phrase) for sign, phrase in phrases]


@dataclass(frozen=True)
class Chance:
    """How photos score for words that say nothing of them. ``mean``, ``std``: (N,), over words of the training;
    ``least``: so many ``std`` above ``mean`` a result lies that one in twenty of the best for random letters reaches."""

    mean: np.ndarray
    std: np.ndarray
    least: float

    @classmethod
    def of(cls, about: Mapping[str, Any], parts: Mapping[str, np.ndarray]) -> Chance | None:
        """What :func:`ctrh.app.photo_search.save_photos` wrote of it, None for a hasher that knows no words."""
        return None if about["least"] is None else cls(parts["mean"], parts["std"], about["least"])


def text_results(
    text: str, scores_of: Callable[[Sequence[str]], np.ndarray], chance: Chance, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``k`` best photos: rows, scores, and whether chance would do as well. ``scores_of``: P phrases -> (P, N).

    The score is the mean of those of the phrases that are wanted, less that of those that are not.
    """
    weights, phrases = zip(*wanted(text), strict=True)
    scores = np.asarray(weights) @ scores_of(phrases)  # (N,)
    rows = np.argsort(-scores, kind="stable")[:k]
    above = (scores - sum(weights) * chance.mean)[rows] / chance.std[rows]
    # Independent phrases vary as the root of their squares' sum.
    return rows, scores[rows], above <= chance.least * np.linalg.norm(weights)


def least_of_chance(scores: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """``least`` of :class:`Chance`. scores: (Q, N), of the photos for :func:`random_texts`."""
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :BEST]
    return float(np.quantile((np.take_along_axis(scores, rows, axis=1) - mean[rows]) / std[rows], 1 - SHARE))


def random_texts() -> list[str]:
    generator, letters = np.random.default_rng(0), list("abcdefghijklmnopqrstuvwxyz")
    return ["".join(generator.choice(letters, generator.integers(4, 10))) for _ in range(QUERIES)]


def random_codes(codes: np.ndarray) -> np.ndarray:
    """(QUERIES, K) bool: each bit from a photo of its own, so that bits are as frequent as in the ``codes`` (N, K), and
    have nothing to do with each other."""
    rows = np.random.default_rng(0).integers(0, len(codes), (QUERIES, codes.shape[1]))
    return codes[rows, np.arange(codes.shape[1])]
