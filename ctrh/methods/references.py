"""What codes are held against: the vectors that they are made from, uncompressed, and codes made of the guide's own
words. None is a method of the tables; they stand beside them and tell what a gain is made of."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ctrh.methods.itq import ITQ
from ctrh.methods.method import Method


class FloatFeatures(TransformerMixin, BaseEstimator, Method):
    """The guide's image features as they are, ranked by cosine: what codes of them can lose by compression."""

    name, needs = "features (float)", "features"
    colour, dashes, marker = "#8F8F8F", (0, (6, 1)), "1"
    compared = binary = False

    def __init__(self, bits: int = 32):
        self.bits = bits  # like every method, though floating-point numbers they stay

    def fit(self, X: np.ndarray, y: None = None) -> FloatFeatures:
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, F) -> the same."""
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


class FloatConcepts(FloatFeatures):
    """The guide's distribution over the vocabulary, ranked by cosine: what it knows of a picture without any learning."""

    name, needs = "concepts (float)", "concepts"
    colour, dashes, marker = "#9C9C9C", (0, (6, 1, 1, 1)), "2"


class ConceptITQ(ITQ):
    """ITQ on the square root of the concept distribution, whose dot products are the Bhattacharyya coefficients of two
    distributions; the few large probabilities would be nearly all of their variance."""

    name, needs = "ITQ (concepts)", "concepts"
    colour, dashes, marker = "#A9A9A9", (0, (3, 1, 1, 1, 1, 1)), "3"
    compared = False

    def fit(self, X: np.ndarray, y: None = None) -> ConceptITQ:
        """``X`` (N, C), rows of sum 1."""
        return super().fit(np.sqrt(X))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, C) distributions -> (N, K) bool codes."""
        return super().transform(np.sqrt(X))
