"""Principal components, the first step of SH and ITQ."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

# Below this share of the largest variance the Gram matrix tells directions from rounding no more.
LEAST_VARIANCE = 1e-8


def principal_components(centred: np.ndarray, count: int) -> np.ndarray:
    """(N, F) features of mean zero -> (F, ``count``): orthonormal directions, largest variance first.

    Unlike scikit-learn's PCA defined for features without any variance; each direction has its largest entry
    (the first of equal ones) positive. Raises ``ValueError`` when there are fewer than ``count`` directions.
    """
    if not 0 < count <= min(centred.shape):
        raise ValueError(
            f"{count} principal components need as many images and features, got an array of {centred.shape}"
        )
    images, features = centred.shape
    directions = None
    if images < features:
        # X X^T u = v u gives the direction X^T u / sqrt(v): the smaller of the two matrices is enough.
        variances, u = eigh(centred @ centred.T, subset_by_index=(images - count, images - 1))
        if variances[0] > LEAST_VARIANCE * variances[-1]:
            directions = centred.T @ (u / np.sqrt(variances))
    if directions is None:
        _, directions = eigh(centred.T @ centred, subset_by_index=(features - count, features - 1))
    directions = directions[:, ::-1]  # from ascending to descending
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.where(directions[largest, np.arange(count)] < 0, -1.0, 1.0)
