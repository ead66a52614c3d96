"""Spectral hashing: Y. Weiss, A. Torralba, R. Fergus, Spectral Hashing, NIPS 2008."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ctrh.methods.method import Method
from ctrh.methods.principal import principal_components


class SH(TransformerMixin, BaseEstimator, Method):
    """Signs of the K smoothest functions on the box that the data fill (Weiss et al., Sec. 3.1).

    The features are rotated to their principal components and taken for uniform on the rectangle [a_j, b_j]
    of their ranges. The eigenfunctions of the weighted Laplacian along side j, and their eigenvalues, are for
    m = 1, 2, ...

        Phi_jm(x) = sin(pi/2 + m pi (x_j - a_j) / (b_j - a_j))
        lambda_jm = 1 - exp(-(eps^2 / 2) (m pi / (b_j - a_j))^2).

    The K smallest lambda are kept, whatever eps is: the smallest frequencies m / (b_j - a_j), ties to the
    earlier component. Bit k is [Phi_k >= 0]. Long sides so get several bits, at doubled, tripled, ...
    frequency. Products over several sides are eigenfunctions too; the paper leaves them out, because their
    signs follow from those of their factors.

    Fitted: ``mean_`` (F,), ``components_`` (F, J) with J = min(K, F, N), ``lower_`` (J,) = a, ``ranges_``
    (J,) = b - a, ``sides_`` and ``modes_`` (K,) = j and m of each bit.
    """

    name, needs = "SH", "features"
    colour, dashes, marker = "#8C6D31", (0, (1, 1.6)), "*"

    def __init__(self, bits: int = 32):
        self.bits = bits

    def fit(self, X: np.ndarray, y: None = None) -> SH:
        """``X`` (N, F). Features that are the same for all images get no bit, unless all of them are."""
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(axis=0)
        self.components_ = principal_components(X - self.mean_, min(self.bits, *X.shape))
        projected = (X - self.mean_) @ self.components_  # (N, J)
        self.lower_ = projected.min(axis=0)
        ranges = projected.max(axis=0) - self.lower_
        # A side as short as rounding is no side: dividing by it would fill the code with noise.
        flat = ranges <= 1e-12 * max(ranges.max(), np.abs(X).max())
        self.ranges_ = np.where(flat, np.inf, ranges)

        modes = np.arange(1, self.bits + 1)
        frequencies = np.where(flat, np.inf, 1 / np.where(flat, 1, ranges))[:, None] * modes  # (J, K)
        chosen = np.argsort(frequencies, axis=None, kind="stable")[: self.bits]
        self.sides_, self.modes_ = chosen // self.bits, modes[chosen % self.bits]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, K) bool codes. Features outside the training box are placed by the same
        functions."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        position = (
            (X - self.mean_) @ self.components_ - self.lower_
        ) / self.ranges_  # (N, J), in [0, 1] in training
        return np.sin(np.pi / 2 + np.pi * self.modes_ * position[:, self.sides_]) >= 0
