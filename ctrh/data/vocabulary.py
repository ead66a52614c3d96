"""From lists of words to the (N, C) tag matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp


def build_vocabulary(tag_lists: Iterable[Iterable[str]], least: int = 1) -> tuple[str, ...]:
    """The words that at least ``least`` photos carry, most frequent first, ties in alphabetical order."""
    counts = Counter(word for words in tag_lists for word in set(words))
    kept = [word for word, count in counts.items() if count >= least]
    return tuple(sorted(kept, key=lambda word: (-counts[word], word)))


def tag_matrix(tag_lists: Sequence[Iterable[str]], vocabulary: Sequence[str]) -> sp.csr_array:
    """(N, C) bool CSR: which photo carries which word; words outside ``vocabulary`` are left out."""
    column = {word: index for index, word in enumerate(vocabulary)}
    if len(column) != len(vocabulary):
        raise ValueError("the vocabulary names a word twice")
    rows = [sorted({column[word] for word in words if word in column}) for words in tag_lists]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    indices = np.fromiter((index for row in rows for index in row), dtype=np.int64, count=int(indptr[-1]))
    shape = (len(rows), len(vocabulary))
    return sp.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=shape)
