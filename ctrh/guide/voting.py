"""Tag relevance by neighbour voting, which needs no model of language: Li, Snoek, Worring, Learning social tag relevance
by neighbor voting, IEEE Transactions on Multimedia 11(7), 2009 ("TagVote")."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

PAIRS = 4_000_000  # compared at once


def neighbour_votes(features: np.ndarray, tags: sp.csr_array, k: int = 100) -> np.ndarray:
    """Their tagRelevance(c, i, k) = n_c(the k visual neighbours of i) - k n_c(all) / N: how many more of the photos that
    look like i carry tag c than of as many at random.  features: (N, F), tags: (N, C) bool -> (N, C) float32.

    Neighbours are the k most similar *other* photos by cosine, of equal ones the earlier; all others where N <= k. Who wrote
    a tag is not asked (they count a user once, where he is known), and what is below 0 stays so (they put 1).
    """
    photos, k = len(features), min(k, len(features) - 1)
    ones = sp.csr_array(tags, dtype=bool).astype(np.float32)
    unit = normalize(torch.as_tensor(features), dim=1)
    nearest = np.empty((photos, k), dtype=np.int64)
    rows = max(1, PAIRS // photos)
    for start in range(0, photos, rows):
        cosines = (unit[start : start + rows] @ unit.T).numpy()
        own = np.arange(len(cosines))
        cosines[own, start + own] = -np.inf
        nearest[start : start + rows] = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    ends = np.arange(photos + 1) * k
    neighbours = sp.csr_array((np.ones(photos * k, np.float32), nearest.ravel(), ends), shape=(photos, photos))
    prior = k * ones.sum(axis=0) / photos  # (C,)
    return (neighbours @ ones).toarray() - prior
