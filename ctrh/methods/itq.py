"""Iterative quantisation: Gong & Lazebnik, A Procrustean approach to learning binary codes, CVPR 2011."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ctrh.methods.method import Method
from ctrh.methods.principal import principal_components


class ITQ(TransformerMixin, BaseEstimator, Method):
    """Principal components, rotated to lie close to the corners of a cube (Gong & Lazebnik, Sec. 2).

    With V = (X - mean) W, W the K first principal directions, minimise their Eq. (2)

        Q(B, R) = ||B - V R||_F^2      over B in {-1, 1}^(N x K) and orthogonal R (K, K),

    by turns from a random rotation: B = sgn(V R); then R = T S^T from the singular value decomposition
    B^T V = S Omega T^T (the orthogonal Procrustes problem). Bit k is [(V R)_k >= 0].

    Fitted: ``mean_`` (F,), ``components_`` (F, K) = W, ``rotation_`` (K, K) = R, and ``losses_``
    (1 + iterations,): Q / N at the start and after each iteration, which cannot rise.
    """

    name, needs = "ITQ", "features"
    colour, dashes, marker = "#56B4E9", (0, (1, 0.7)), "P"

    def __init__(self, bits: int = 32, seed: int = 0, iterations: int = 50):
        self.bits = bits
        self.seed = seed
        self.iterations = iterations

    def fit(self, X: np.ndarray, y: None = None) -> ITQ:
        """``X`` (N, F). Raises ``ValueError`` for more bits than features or images."""
        X = validate_data(self, X, dtype=np.float64)
        if self.bits > X.shape[1]:
            raise ValueError(
                f"ITQ gives at most one bit per feature: {self.bits} bits, {X.shape[1]} feature(s)"
            )
        self.mean_ = X.mean(axis=0)
        self.components_ = principal_components(X - self.mean_, self.bits)
        projected = (X - self.mean_) @ self.components_  # V (N, K)
        gaussian = np.random.default_rng(self.seed).standard_normal((self.bits, self.bits))
        start, _ = np.linalg.qr(gaussian)
        self.rotation_, self.losses_ = learn_rotation(projected, start, self.iterations)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, K) bool codes."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) @ self.components_ @ self.rotation_ >= 0


class RotatedPCA(ITQ):
    """Principal components under a random rotation: ITQ's start, a baseline of its authors ("PCA-RR", Sec. 3) that is
    hard to beat for how little it does. The rotation spreads the variance, which a few components have most of."""

    name = "PCA-RR"
    colour, dashes, marker = "#0F766E", (0, (2, 1, 1, 1)), "<"

    def __init__(self, bits: int = 32, seed: int = 0):
        super().__init__(bits, seed, iterations=0)


def learn_rotation(V: np.ndarray, start: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """V (N, K), first rotation (K, K) -> last rotation R and Q / N at each step (1 + iterations,)."""
    R = start
    losses = [quantisation_loss(V, R)]
    for _ in range(iterations):
        B = np.where(V @ R >= 0, 1.0, -1.0)
        S, _, T_transposed = np.linalg.svd(B.T @ V)
        R = T_transposed.T @ S.T
        losses.append(quantisation_loss(V, R))
    return R, np.array(losses)


def quantisation_loss(V: np.ndarray, R: np.ndarray) -> float:
    """Their Eq. (2) per image: ||sgn(V R) - V R||_F^2 / N = mean over images of sum_k (1 - |V R|_k)^2."""
    return float(np.square(1 - np.abs(V @ R)).sum(axis=1).mean())
