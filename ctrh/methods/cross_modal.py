"""Methods without labels that find photos by text: coins, ITQ on both modalities at once, and the tag side of CTRH."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from ctrh.encoding import relaxed_codes
from ctrh.methods.ctrh import CTRH
from ctrh.methods.deep import Inputs, readable
from ctrh.methods.itq import ITQ
from ctrh.methods.method import Method
from ctrh.methods.random import RandomCodes
from ctrh.methods.text_codes import text_codes, text_representations
from ctrh.network import mean_text, padded_tags

READINGS = ("least squares", "nearest")


class RandomPairs(Method):
    """Fair coins for both sides; a text's are not those of its photo."""

    name, needs = "random", "pairs"

    def __init__(self, bits: int = 32, seed: int = 0) -> None:
        self.coins = RandomCodes(bits, seed)

    def fit(self, image: np.ndarray, text: np.ndarray) -> RandomPairs:
        return self

    def encode(self, image: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, K) bool."""
        return self.coins.transform(image)

    def encode_text(self, text: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, K) bool."""
        return self.coins.transform(np.concatenate([text, text]))[len(text) :]


class CrossModalITQ(Method):
    """ITQ on images and texts of one space, such as CLIP's.

    Each modality is brought to unit length and centred by its own training mean first: CLIP's images and texts lie in
    two cones apart, and a plane between these would give all photos one bit and all texts the other.
    """

    name, needs, guides = "ITQ", "pairs", ("CLIP", "FLIP")

    def __init__(self, bits: int = 32, seed: int = 0) -> None:
        self.itq = ITQ(bits=bits, seed=seed)

    def fit(self, image: np.ndarray, text: np.ndarray) -> CrossModalITQ:
        """image, text: (N, F) features of N pairs. Raises ``ValueError`` for other shapes."""
        if image.shape != text.shape:
            raise ValueError(f"images {image.shape} and texts {text.shape} must be pairs in one space")
        self.image_mean_, self.text_mean_ = _unit(image).mean(axis=0), _unit(text).mean(axis=0)
        self.itq.fit(np.concatenate([_unit(image) - self.image_mean_, _unit(text) - self.text_mean_]))
        return self

    def encode(self, image: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, K) bool."""
        return self.itq.transform(_unit(image) - self.image_mean_)

    def encode_text(self, text: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, K) bool."""
        return self.itq.transform(_unit(text) - self.text_mean_)


class TagSide(Method):
    """Codes for the tags of photos, from a trained CTRH, which gives codes to photos alone.

    A photo's code asks its tags in (12). Without a photo nobody asks, so all tags weigh the same; values are linear, so
    r of Eq. (14) is then that of one text whose features are the mean of the tags' (:mod:`ctrh.methods.text_codes`).
    Two ways lead from r to K bits, both learned on training photos without labels:

    - "least squares": the ridge regression of the relaxed codes 2h - 1 of the photos on the r of their tags; its sign.
    - "nearest": Eq. (16) has brought the mapped code of each photo near to its text, so a text gets that code of the
      training photos that fits it best (:func:`ctrh.methods.text_codes.text_codes`).

    ``ridge``: the penalty, in units of the mean variance of the coordinates of r.
    """

    name, needs = "CTRH", "tags"

    def __init__(self, hasher: CTRH, reading: str = "least squares", ridge: float = 1.0) -> None:
        if reading not in READINGS:
            raise ValueError(f"reading must be one of {', '.join(READINGS)}, got {reading!r}")
        if ridge <= 0:
            raise ValueError(f"ridge must be positive, got {ridge}")
        self.hasher, self.reading, self.ridge = hasher, reading, ridge

    def fit(self, inputs: Inputs, tags: sp.csr_array) -> TagSide:
        """inputs: N training photos as ``hasher.fit`` takes them, tags: (N, C), what their users wrote.

        Photos without a tag are left out; ``ValueError`` when none has one.
        """
        tagged = np.flatnonzero(np.diff(sp.csr_array(tags).indptr))
        if not len(tagged):
            raise ValueError("no photo has a tag: there is no text to learn from")
        h = relaxed_codes(self.hasher.network, readable(inputs))[torch.from_numpy(tagged)].double().numpy()
        self.codes_ = h > 0.5
        r = self._represented(tags[tagged])
        wanted = 2 * h - 1
        self.mean_, self.middle_ = r.mean(axis=0), wanted.mean(axis=0)
        centred = r - self.mean_
        penalty = self.ridge * centred.var(axis=0).mean()
        normal = centred.T @ centred / len(r) + penalty * np.eye(r.shape[1])
        self.slope_ = np.linalg.solve(normal, centred.T @ (wanted - self.middle_) / len(r))  # (D, K)
        return self

    def encode(self, inputs: Inputs) -> np.ndarray:
        """The codes of N photos, as ``hasher`` gives them -> (N, K) bool."""
        return self.hasher.encode(inputs)

    def encode_text(self, tags: sp.csr_array) -> np.ndarray:
        """(N, C) tags -> (N, K) bool."""
        if self.reading == "nearest":
            return text_codes(self.hasher, self.codes_, self._mean_features(tags))
        return (self._represented(tags) - self.mean_) @ self.slope_ + self.middle_ > 0

    def _mean_features(self, tags: sp.csr_array) -> np.ndarray:
        return mean_text(self.hasher.network.text, padded_tags(tags)).numpy()

    def _represented(self, tags: sp.csr_array) -> np.ndarray:
        """r: (N, C) -> (N, D) float64."""
        return text_representations(self.hasher, self._mean_features(tags)).astype(np.float64)


def _unit(rows: np.ndarray) -> np.ndarray:
    """(N, F) -> rows of length one, float64; a zero row stays zero."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
