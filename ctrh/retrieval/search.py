"""Exact nearest codes by Hamming distance, over FAISS's flat binary index."""

from __future__ import annotations

import io
from pathlib import Path

import faiss
import numpy as np

from ctrh.retrieval.codes import check_packed
from ctrh.store import replacing


class HammingIndex:
    """The codes of a database, ready to be searched.

    ``codes``: (N, ceil(K/8)) uint8, packed by :func:`ctrh.retrieval.codes.pack`; ``bits``: K, any number from
    1 on. Raises ``ValueError`` for codes that are not packed like that, and for an empty database.
    """

    def __init__(self, codes: np.ndarray, bits: int):
        self.codes = np.ascontiguousarray(check_packed(codes, bits))
        self.bits = bits
        if len(codes) == 0:
            raise ValueError("an index needs at least one code")
        # The filling bits are zero on both sides, so they add nothing to a distance.
        self._index = faiss.IndexBinaryFlat(8 * self.codes.shape[1])
        # Counting sort takes codes as they come: equal distances stay in order by construction, not by luck.
        self._index.use_heap = False
        self._index.add(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest codes of each query, nearest first, equal distances by the lower index.

        ``queries``: (Q, ceil(K/8)) uint8 -> distances (Q, min(k, N)) int32 and indices (Q, min(k, N)) int64.
        Raises ``ValueError`` for ``k`` < 1 or queries of another width.
        """
        check_packed(queries, self.bits, "queries")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return self._index.search(np.ascontiguousarray(queries), min(k, len(self)))

    def save(self, path: str | Path) -> None:
        """Writes codes and bits to ``path`` (numpy's npz), whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, codes=self.codes, bits=np.int64(self.bits))

    @classmethod
    def load(cls, path: str | Path) -> HammingIndex:
        """Reads what :meth:`save` wrote. Raises ``ValueError`` for a damaged or other file."""
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                return cls(stored["codes"], int(stored["bits"]))
        # The arrays have checksums; what a wrong byte elsewhere raises is the choice of numpy and zipfile.
        except Exception as error:
            raise ValueError(
                f"{path} is damaged or not an index: build and save it anew ({error})"
            ) from error
