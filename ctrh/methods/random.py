"""Random codes: what retrieval scores when nothing was learned."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ctrh.methods.method import Method


class RandomCodes(TransformerMixin, BaseEstimator, Method):
    """Fair coins, one for each bit of each image; the features are not looked at."""

    name, needs = "random", "features"
    colour, dashes, marker = "#A6A6A6", (0, (1, 4)), "."
    compared = False

    def __init__(self, bits: int = 32, seed: int = 0):
        self.bits = bits
        self.seed = seed

    def fit(self, X: np.ndarray, y: None = None) -> RandomCodes:
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, K) bool; the same draws for every call of the same length."""
        return np.random.default_rng(self.seed).random((len(X), self.bits)) < 0.5

    def __sklearn_is_fitted__(self) -> bool:
        return True
