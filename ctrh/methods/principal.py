"""Principal components, the first step of SH and ITQ."""

from __future__ import annotations

import numpy as np


def principal_components(centred: np.ndarray, count: int) -> np.ndarray:
    """(N, F) features of mean zero -> (F, ``count``): orthonormal directions, largest variance first.

    Unlike scikit-learn's PCA defined for features without any variance; each direction has its largest entry
    (the first of equal ones) positive. Raises ``ValueError`` when there are fewer than ``count`` directions.
    """
    if not 0 < count <= min(centred.shape):
        raise ValueError(
            f"{count} principal components need as many images and features, got an array of {centred.shape}"
        )
    _, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    directions = directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.where(directions[largest, np.arange(count)] < 0, -1.0, 1.0)
