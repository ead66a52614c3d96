"""Text queries for CTRH, which gives codes to photos alone: through its tag side, Eq. (9)-(14).

Training makes the mapped code v of a photo (Eq. 9) point where the representation r of its tags does (Eq. 16). A text
is taken for the only tag of a photo; the softmax of Eq. (12) over one tag is 1 whoever asks, so r is a function of the
text alone, and cos(v, r) says how well a photo's code fits it.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ctrh.methods.ctrh import CTRH
from ctrh.retrieval.codes import check_codes

CODES_AT_ONCE = 8192


def text_representations(hasher: CTRH, text: np.ndarray) -> np.ndarray:
    """r of Eq. (14), each text being the only tag: (Q, D) features of Eq. (10) -> (Q, D) float32.

    ``text`` comes from the guide that ``hasher`` learned its tags from. Where the hasher scales tag features to a mean
    length (``text_length``), texts get this very length. Without tag weighting r is the text's feature itself.
    Raises ``ValueError`` for another width.
    """
    width = hasher._fitted().text.shape[1]
    if text.ndim != 2 or text.shape[1] != width:
        raise ValueError(f"text has shape {text.shape}, expected (Q, {width})")
    with torch.inference_mode():
        return TextSide(hasher)(torch.as_tensor(np.asarray(text, dtype=np.float32))).numpy()


class TextSide(nn.Module):
    """:func:`text_representations` as a module: (Q, D) -> (Q, D)."""

    def __init__(self, hasher: CTRH) -> None:
        super().__init__()
        self.length = hasher.config.text_length
        self.weighting = copy.deepcopy(hasher._fitted().weighting)
        self.cpu().eval()

    def forward(self, features: Tensor) -> Tensor:
        if self.length is not None:
            features = normalize(features, dim=1) * self.length
        if self.weighting is None:
            return features
        # With one tag for each it does not matter which code asks.
        return self.weighting(torch.zeros_like(features), features, torch.arange(len(features))[:, None])[0]


def text_scores(hasher: CTRH, codes: np.ndarray, text: np.ndarray) -> np.ndarray:
    """cos(v, r) of N codes and Q texts. codes: (N, K) bool, text: (Q, D) as above -> (Q, N) float32.

    To rank photos by a row is to rank them by their codes without giving the text a code.
    """
    r = normalize(torch.from_numpy(text_representations(hasher, text)), dim=1)
    # Photos share codes, and each code is mapped once.
    distinct, inverse = np.unique(check_codes(codes), axis=0, return_inverse=True)
    with torch.inference_mode():
        mapping = copy.deepcopy(hasher._fitted().mapping).cpu()
        parts = [r @ normalize(mapping(part), dim=1).T for part in _as_floats(distinct).split(CODES_AT_ONCE)]
    return torch.cat(parts, dim=1).numpy()[:, inverse.reshape(-1)]


def text_codes(hasher: CTRH, candidates: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Codes for Q texts, to be searched like those of photos: of the ``candidates`` the one that fits best.

    candidates: (N, K) bool, codes that photos have, such as those of training; text: (Q, D) -> (Q, K) bool. Among
    all 2^K codes there may be better ones, but none that photos are near to. Raises ``ValueError`` without candidates.
    """
    if len(candidates) == 0:
        raise ValueError("a text's code is chosen among candidates, and there are none")
    return candidates[text_scores(hasher, candidates, text).argmax(axis=1)]


def _as_floats(codes: np.ndarray) -> Tensor:
    return torch.from_numpy(codes.astype(np.float32))
