"""Locality-sensitive hashing: Charikar, Similarity estimation from rounding algorithms, STOC 2002."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ctrh.methods.method import Method


class LSH(TransformerMixin, BaseEstimator, Method):
    """The side of K random hyperplanes on which a feature vector x lies (Charikar, Sec. 3):

        h_k(x) = [ <r_k, x> >= 0 ],   r_k ~ N(0, I),   so that   P(h_k(x) != h_k(y)) = angle(x, y) / pi.

    ``center``: take angles around the mean of the training features, the custom in image hashing, because
    image features fill a narrow cone and planes through the origin miss it; ``False`` is the paper's form.
    Fitted: ``mean_`` (F,), zero without centring; ``hyperplanes_`` (F, K).
    """

    name, needs = "LSH", "features"
    colour, dashes, marker = "#595959", (0, (1, 2.5)), "X"

    def __init__(self, bits: int = 32, seed: int = 0, center: bool = True):
        self.bits = bits
        self.seed = seed
        self.center = center

    def fit(self, X: np.ndarray, y: None = None) -> LSH:
        """``X`` (N, F): only its mean and width matter."""
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(axis=0) if self.center else np.zeros(X.shape[1])
        self.hyperplanes_ = np.random.default_rng(self.seed).standard_normal((X.shape[1], self.bits))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, K) bool codes."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) @ self.hyperplanes_ >= 0
