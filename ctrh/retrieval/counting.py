"""How many items, relevant or not, lie at each distance: on a graphics card, for sets where that is what takes time.

The processor's own way (:func:`ctrh.retrieval.ranking.count_groups`) compares packed words; a graphics card multiplies
matrices: the codes as ±1 give K - 2 times the distance, the labels as 0 and 1 the number of shared ones. Both are sums of
fewer than 2^24 ones, exact in 32 bits.
"""

from __future__ import annotations

import numpy as np
import torch

PAIRS = 2**24  # compared at once: some hundred megabytes


def group_counts(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    device: str | torch.device,
    pairs: int = PAIRS,
) -> np.ndarray:
    """(Q, K) and (M, K) codes, (Q, L) and (M, L) labels, all bool -> (Q, K+1, 2) int64.

    At [q, d, r]: the items at distance d from query q that are relevant to it (r = 1) or not (r = 0). ``pairs``: of a query
    and an item, are compared at once.
    """
    bits = query_codes.shape[1]
    wide = max(1, min(len(database_codes), pairs))
    high = max(1, pairs // wide)
    counts = np.empty((len(query_codes), 2 * (bits + 1)), dtype=np.int64)
    for top in range(0, len(query_codes), high):
        codes = _signs(query_codes[top : top + high], device)
        labels = _ones(query_labels[top : top + high], device)
        rows = torch.arange(len(codes), device=device)[:, None] * (2 * (bits + 1))
        found = torch.zeros(len(codes) * 2 * (bits + 1), dtype=torch.int64, device=device)
        for left in range(0, len(database_codes), wide):
            part = slice(left, left + wide)
            distances = (bits - codes @ _signs(database_codes[part], device).T) / 2
            relevant = labels @ _ones(database_labels[part], device).T > 0
            cells = rows + 2 * distances.long() + relevant
            found += torch.bincount(cells.flatten(), minlength=len(found))
        counts[top : top + high] = found.reshape(len(codes), -1).cpu().numpy()
    return counts.reshape(-1, bits + 1, 2)


def _ones(values: np.ndarray, device: str | torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device).float()


def _signs(values: np.ndarray, device: str | torch.device) -> torch.Tensor:
    return 2 * _ones(values, device) - 1
