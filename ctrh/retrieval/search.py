"""Nearest codes by Hamming distance: exact, in memory or straight from the disk, or approximate for millions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ctrh.retrieval.code_file import damaged, read_code_file, write_code_file
from ctrh.retrieval.codes import check_packed, distinct_codes, grouped

if TYPE_CHECKING:
    import faiss

NO_ITEM, LARGEST_ID = -1, 2**63 - 1
KINDS = ("exact", "hnsw", "ivf", "multi-hash")
SCANNED = 2**16  # codes, at most, that are all compared whatever the kind: no structure is much faster there
MOST_BITS = 2**16 - 1  # what the distances of a tile can hold


@dataclass(frozen=True)
class IndexConfig:
    """How to search. ``kind`` is one of

    - "exact": every code is compared; the only kind that may stay on the disk;
    - "hnsw": a graph of near codes, ``links`` a code and layer (Malkov and Yashunin 2018);
    - "ivf": the codes in ``cells`` around mean codes, 0 for the root of their number (Sivic and Zisserman 2003);
    - "multi-hash": ``tables`` hash tables, each by its own share of the bits, 0 for 16 bits a table (Norouzi et al.
      2012).

    ``effort``: how much of it a query looks at: codes kept on the way ("hnsw"), cells ("ivf"), bits flipped in each
    table ("multi-hash"); more finds more and takes longer. 0 for 128, 32 and 1.

    The approximate ones hold each distinct code once, with the list of its items: among many copies of a code a graph
    finds no way on. "ivf" and "multi-hash" do without where most codes are distinct. Up to ``SCANNED`` codes are all
    compared.
    """

    kind: Literal["exact", "hnsw", "ivf", "multi-hash"] = "exact"
    links: int = 16
    cells: int = 0
    tables: int = 0
    effort: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.links < 2 or min(self.cells, self.tables, self.effort) < 0:
            raise ValueError(f"links must be at least 2; cells, tables and effort not negative, got {self}")


EXACT = IndexConfig()


class HammingIndex:
    """The codes of a database, ready to be searched; items can be added and removed.

    ``codes``: (N, ceil(K/8)) uint8, packed by :func:`ctrh.retrieval.codes.pack`; ``bits``: K, at most 65,535;
    ``ids``: (N,) int64, not negative and all different, the items' names in the answers (0..N-1 unless given, which
    takes no memory).
    Raises ``ValueError`` for codes that are not packed like that, other ids, and an empty database.
    """

    def __init__(
        self,
        codes: np.ndarray,
        bits: int,
        ids: np.ndarray | None = None,
        config: IndexConfig = EXACT,
    ) -> None:
        if bits > MOST_BITS:
            raise ValueError(f"codes can have {MOST_BITS} bits, got {bits}")
        self.codes = np.ascontiguousarray(check_packed(codes, bits))
        self.bits = bits
        self.config = config
        if len(codes) == 0:
            raise ValueError("an index needs at least one code")
        self._ids = None if ids is None else _unless_rows(checked_ids(ids, len(codes)))
        self._structure: faiss.IndexBinary | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, in the order of the codes."""
        return np.arange(len(self)) if self._ids is None else self._ids

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest codes of each query, nearest first; "exact": equal distances in the order of the codes.

        ``queries``: (Q, ceil(K/8)) uint8 -> distances (Q, min(k, N)) int32 and ids (Q, min(k, N)) int64. Where an
        approximate index finds fewer, the rest has the distance K + 1 and the id ``NO_ITEM``.
        Raises ``ValueError`` for ``k`` < 1 or queries of another width.
        """
        check_packed(queries, self.bits, "queries")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        queries, k = np.ascontiguousarray(queries), min(k, len(self))
        if self.config.kind == "exact":
            distances, rows = _all_compared(queries, self.codes, k)
        else:
            distances, rows = self._nearest_items(queries, k)
        found = rows >= 0
        ids = rows if self._ids is None else np.where(found, self._ids[rows], NO_ITEM)
        return np.where(found, distances, self.bits + 1), ids

    def add(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """More items behind those that are there. codes: (M, ceil(K/8)), ids: (M,), from the largest one on if None.

        Raises ``ValueError`` for an id that is taken.
        """
        check_packed(codes, self.bits)
        if ids is not None or self._ids is not None:
            more = next_ids(int(self.ids.max()), len(codes)) if ids is None else checked_ids(ids, len(codes))
            # All of them are checked before anything changes.
            ids = _unless_rows(checked_ids(np.concatenate([self.ids, more]), len(self) + len(codes)))
        self.codes, self._ids = np.concatenate([self.codes, codes]), ids
        if self._structure is None or self._groups is not None:
            self._regroup()

    def remove(self, ids: np.ndarray) -> None:
        """Takes items away; an approximate index is built anew at the next search.

        Raises ``ValueError`` for an id that is not there, and when none would be left.
        """
        ids = np.unique(whole_ids(ids))
        gone = np.isin(self.ids, ids)
        if gone.sum() != len(ids):
            missing = np.setdiff1d(ids, self.ids)
            raise ValueError(f"{len(missing)} of the ids are not in the index, such as {missing[0]}")
        if gone.all():
            raise ValueError("an index needs at least one code: remove the file instead")
        self.codes, self._ids, self._structure = self.codes[~gone], _unless_rows(self.ids[~gone]), None
        self._regroup()

    def save(self, path: str | Path) -> None:
        """Writes everything to one file (:mod:`ctrh.retrieval.code_file`), whole or not at all."""
        parts = {"codes": self.codes}
        if self._ids is not None:
            parts["ids"] = self._ids
        if self.config.kind != "exact":
            self._build()
        if self._structure is not None:
            import faiss

            parts["structure"] = faiss.serialize_index_binary(self._structure)
        write_code_file(path, {"bits": self.bits, "config": asdict(self.config)}, parts)

    @classmethod
    def load(cls, path: str | Path, mapped: bool = False, verify: bool = True) -> HammingIndex:
        """Reads what :meth:`save` wrote.

        ``mapped`` (only "exact"): codes and ids stay on the disk, and the system keeps in memory what it has room for;
        adding and removing then make copies and leave the file as it is. ``verify=False`` skips the checksum, for
        which the file is read once. The checksum finds damage, not malice: load only files that you trust.
        Raises ``ValueError`` for a damaged or other file.
        """
        about, parts = read_code_file(path, mapped, verify)
        index = cls.__new__(cls)  # the file's checksum has vouched for what the constructor would check
        try:
            index.codes, index._ids, index.bits = parts["codes"], parts.get("ids"), about["bits"]
            index.config, index._structure = IndexConfig(**about["config"]), None
            shape, types = index.codes.shape, (index.codes.dtype, index.ids.dtype)
            if not shape[0] or shape[1:] != (-(-index.bits // 8),) or types != (np.uint8, np.int64):
                raise ValueError(f"codes of shape {shape} and types {types}")
            if index.ids.shape != shape[:1]:
                raise ValueError(f"ids of shape {index.ids.shape} for codes of shape {shape}")
            if "structure" in parts:
                import faiss

                index._structure = faiss.deserialize_index_binary(parts["structure"])
                if index._structure.ntotal == shape[0] and index.config.kind != "hnsw":
                    index._groups = None
                held = len(index) if index._groups is None else len(index._groups[0])
                if (index._structure.ntotal, index._structure.d) != (held, 8 * shape[1]):
                    raise ValueError("its structure is of other codes")
        except (ValueError, KeyError, TypeError, RuntimeError, AssertionError) as error:
            raise damaged(path, str(error)) from error
        if mapped and index.config.kind != "exact":
            raise ValueError(f"{path} holds an index of kind {index.config.kind!r}: only exact ones can be mapped")
        return index

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Of the distinct codes, in the order of their first rows: these (U,); all rows, code by code (N,); and where each
        code's begin among them (U + 1,). None where the structure holds, or is to hold, all codes as they are.
        """
        may_repeat = self.config.kind != "hnsw" and self._structure is None
        if may_repeat and 2 * distinct_codes(self.codes) > len(self):
            return None
        first, code_of = grouped(self.codes)
        begins = np.concatenate([[0], np.bincount(code_of).cumsum()])
        return first, np.argsort(code_of, kind="stable"), begins

    def _regroup(self) -> None:
        self.__dict__.pop("_groups", None)

    def _build(self) -> np.ndarray:
        """The codes that are searched (U, ceil(K/8)), with the structure for it, where there is need for one."""
        codes = self.codes if self._groups is None else self.codes[self._groups[0]]
        if self._structure is not None and self._structure.ntotal < len(codes):
            self._structure.add(codes[self._structure.ntotal :])
        elif self._structure is None and len(codes) > SCANNED:
            self._structure = _BUILDERS[self.config.kind](codes, self.bits, self.config)
        return codes

    def _nearest_items(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances (Q, k) and rows (Q, k), -1 where there are no more: the items of the nearest codes."""
        codes = self._build()
        wanted = min(k, len(codes))
        if self._structure is None:
            distances, found = _all_compared(queries, codes, wanted)
        else:
            distances, found = self._structure.search(queries, wanted)
        if self._groups is None:
            return distances, found
        _, members, begins = self._groups
        sizes = np.where(found >= 0, np.diff(begins)[found], 0)
        ends = np.minimum(sizes.cumsum(axis=1), k)
        taken = np.diff(ends, axis=1, prepend=0).ravel()  # so many items of each code, until there are k
        filled = np.arange(k) < ends[:, -1:]
        # The places of a code's items in ``members``: its first one, and 0, 1, 2, ... on.
        places = np.repeat(begins[found].ravel() - (taken.cumsum() - taken), taken) + np.arange(taken.sum())
        far, rows = np.zeros((len(queries), k), np.int32), np.full((len(queries), k), NO_ITEM)
        far[filled], rows[filled] = np.repeat(distances.ravel(), taken), members[places]
        return far, rows


def _all_compared(queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    from ctrh.retrieval.nearest import nearest_rows  # numba takes its time

    return nearest_rows(queries, codes, k)


def _unless_rows(ids: np.ndarray) -> np.ndarray | None:
    """None for 0..N-1: an item's row says as much."""
    return None if np.array_equal(ids, np.arange(len(ids))) else ids


def _hnsw(codes: np.ndarray, bits: int, config: IndexConfig) -> faiss.IndexBinary:
    import faiss

    index = faiss.IndexBinaryHNSW(8 * codes.shape[1], config.links)
    index.hnsw.efSearch = config.effort or 128
    index.add(codes)
    return index


def _ivf(codes: np.ndarray, bits: int, config: IndexConfig) -> faiss.IndexBinary:
    import faiss

    cells = min(config.cells or round(len(codes) ** 0.5), len(codes))
    quantizer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index = faiss.IndexBinaryIVF(quantizer, 8 * codes.shape[1], cells)
    index.nprobe = min(config.effort or 32, cells)
    # 40 codes a cell are what FAISS asks for; evenly spaced ones, so that no order of the database matters.
    index.cp.min_points_per_centroid = 1
    index.train(np.ascontiguousarray(codes[:: max(1, len(codes) // (40 * cells))]))
    index.add(codes)
    # The quantizer must outlive the index, which only borrows it.
    index.own_fields = True
    quantizer.this.disown()
    return index


def _multi_hash(codes: np.ndarray, bits: int, config: IndexConfig) -> faiss.IndexBinary:
    import faiss

    tables = min(config.tables or max(1, round(bits / 16)), bits)
    share = min(bits // tables, 32)
    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], tables, share)
    index.nflip = min(config.effort or 1, share)
    index.add(codes)
    return index


_BUILDERS: dict[str, Callable[[np.ndarray, int, IndexConfig], faiss.IndexBinary]] = {
    "hnsw": _hnsw,
    "ivf": _ivf,
    "multi-hash": _multi_hash,
}


def checked_ids(ids: np.ndarray, count: int) -> np.ndarray:
    """``ids`` as int64 if they are ``count`` different whole numbers from 0 on, else ``ValueError``."""
    ids = whole_ids(ids)
    if ids.shape != (count,):
        raise ValueError(f"ids must be ({count},) whole numbers, got {ids.shape}")
    if (ids < 0).any() or len(np.unique(ids)) != count:
        raise ValueError("ids must not be negative, and an id can be given to one code only")
    return ids


def whole_ids(ids: np.ndarray) -> np.ndarray:
    """``ids`` as int64. Raises ``ValueError`` for other numbers and for those from 2^63 on, which would turn negative."""
    ids = np.asarray(ids)
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be whole numbers, got {ids.dtype}")
    if ids.size and int(ids.max()) > LARGEST_ID:
        raise ValueError(f"ids must be at most {LARGEST_ID}, got {ids.max()}")
    return ids.astype(np.int64)


def next_ids(largest: int, count: int) -> np.ndarray:
    """(count,) int64, from the one after ``largest`` on. Raises ``ValueError`` where there are not as many."""
    if largest + count > LARGEST_ID:
        raise ValueError(f"there are no {count} ids after {largest}: name the ids")
    return np.arange(largest + 1, largest + 1 + count)
