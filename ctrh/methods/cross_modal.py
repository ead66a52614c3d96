"""Two methods without labels, made to find photos by text: ITQ on both modalities at once, and the tag side of CTRH."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from ctrh.encoding import mode, relaxed_codes
from ctrh.methods.ctrh import CTRH
from ctrh.methods.deep import Inputs, readable
from ctrh.methods.itq import ITQ
from ctrh.network import mean_text, padded_tags

READINGS = ("least squares", "nearest")


class CrossModalITQ:
    """ITQ on images and texts of one space, such as CLIP's.

    Each modality is brought to unit length and centred by its own training mean first: CLIP's images and texts lie in
    two cones apart, and a plane between these would give all photos one bit and all texts the other.
    """

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


class TagSide:
    """Codes for tags alone, from a trained CTRH, which gives them to photos only.

    Its texts are the representations r of Eq. (14). There the photo's own code asks the tags (12); without a photo
    nobody asks, so every tag weighs the same (the softmax of equal logits). Two ways lead from r to K bits, both learned
    on training photos without labels:

    - "least squares": the ridge regression of the relaxed codes 2h - 1 of the photos on the r of their tags; its sign.
    - "nearest": Eq. (16) has brought the mapped code v of each photo, Eq. (9), near to its text; so a text gets the
      code of the training photo whose v has the largest cosine with r (of equal ones the first).

    ``ridge``: the penalty, in units of the mean variance of the coordinates of r.
    """

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
        network = self.hasher.network
        h = relaxed_codes(network, readable(inputs))[torch.from_numpy(tagged)]
        self.codes_ = (h > 0.5).numpy()
        with torch.inference_mode():
            self.mapped_ = _unit(network.mapping(h).numpy())
        r = text_representations(self.hasher, tags[tagged])
        self.mean_, self.middle_ = r.mean(axis=0), (2 * h.numpy() - 1).mean(axis=0)
        centred, wanted = r - self.mean_, 2 * h.numpy() - 1 - self.middle_
        penalty = self.ridge * len(r) * centred.var(axis=0).mean()
        normal = centred.T @ centred + penalty * np.eye(r.shape[1])
        self.slope_ = np.linalg.solve(normal, centred.T @ wanted)  # (D, K)
        return self

    def encode_text(self, tags: sp.csr_array) -> np.ndarray:
        """(N, C) tags -> (N, K) bool; without a tag r = 0."""
        r = text_representations(self.hasher, tags)
        if self.reading == "nearest":
            return self.codes_[(_unit(r) @ self.mapped_.T).argmax(axis=1)]
        return (r - self.mean_) @ self.slope_ + self.middle_ > 0


def text_representations(hasher: CTRH, tags: sp.csr_array) -> np.ndarray:
    """r of Eq. (14) for tags that no photo asks: (N, C) -> (N, D) float64, 0 without a tag."""
    network = hasher.network
    ids = padded_tags(tags)
    with torch.inference_mode(), mode(network, training=False):
        if network.weighting is None:
            parts = [mean_text(network.text, part) for part in ids.split(256)]
        else:
            # A query of zeros has no preference: all logits of (12) are 0.
            silent = torch.zeros(1, network.text.shape[1])
            parts = [
                network.weighting(silent.expand(len(part), -1), network.text, part)[0]
                for part in ids.split(256)
            ]
    return torch.cat(parts).double().numpy()


def _unit(rows: np.ndarray) -> np.ndarray:
    """(N, F) -> rows of length one, float64; a zero row stays zero."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
