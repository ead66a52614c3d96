"""Binary codes: packing, Hamming distances, and what tells a good set of codes from a collapsed one.

A code is a row of K bools. Packed, bit k is bit ``k % 8``, least significant first, of byte ``k // 8``
(numpy's ``bitorder="little"``, and the order of FAISS); the bits that fill up the last byte are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def check_codes(codes: np.ndarray, name: str = "codes") -> np.ndarray:
    """``codes`` if they are (N, K) bool, K > 0, else ``ValueError``: -1 or nan would count as ones."""
    if codes.ndim != 2 or codes.dtype != np.bool_ or codes.shape[1] == 0:
        raise ValueError(f"{name} must be (N, K) bool with K > 0, got {codes.shape} {codes.dtype}")
    return codes


def pack(codes: np.ndarray) -> np.ndarray:
    """(N, K) bool -> (N, ceil(K/8)) uint8, least significant bit first, filled up with zeros."""
    return np.packbits(check_codes(codes), axis=1, bitorder="little")


def check_packed(packed: np.ndarray, bits: int, name: str = "packed codes") -> np.ndarray:
    """``packed`` if it is (N, ceil(K/8)) uint8 with zeros after the first K = ``bits`` bits of a row.

    Raises ``ValueError`` otherwise: a stray bit would be counted in every distance.
    """
    width = -(-bits // 8)
    if bits < 1 or packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != width:
        raise ValueError(
            f"{name} of {bits} bits must be (N, {width}) uint8, got {packed.shape} {packed.dtype}"
        )
    if bits % 8 and (packed[:, -1] >> (bits % 8)).any():
        raise ValueError(f"{name}: bits are set after the first {bits}")
    return packed


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """(N, ceil(K/8)) uint8 -> (N, K) bool, the inverse of :func:`pack`."""
    return np.unpackbits(check_packed(packed, bits), axis=1, count=bits, bitorder="little").view(bool)


def as_words(packed: np.ndarray) -> np.ndarray:
    """(N, B) uint8 -> (N, ceil(B/8)) uint64: the same bits in words, for popcounts and bit masks."""
    rows, width = packed.shape
    padded = np.zeros((rows, -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)


def hamming_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All distances between packed codes, (N, B) and (M, B) uint8 -> (N, M) uint16.

    Meant for looking at some codes: rankings of a whole database come from :mod:`ctrh.retrieval.metrics` and
    :mod:`ctrh.retrieval.search`, which never hold N x M numbers.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"packed codes must be (N, B) and (M, B) uint8, got {a.shape} {a.dtype}, {b.shape} {b.dtype}"
        )
    distances = np.zeros((len(a), len(b)), dtype=np.uint16)
    for left, right in zip(as_words(a).T, as_words(b).T, strict=True):
        distances += np.bitwise_count(left[:, None] ^ right[None, :])
    return distances


def distinct_codes(packed: np.ndarray) -> int:
    """How many different codes there are among (N, B) uint8."""
    words = _comparable(packed)
    if words.ndim == 2 or len(words) == 0:
        return len(np.unique(words, axis=0))
    words.sort()  # in place: np.unique's table takes several times the memory of the codes
    return 1 + int((words[1:] != words[:-1]).sum())


def grouped(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, B) uint8 -> the rows where its U distinct codes come first (U,), ascending, and which of these each row is (N,)."""
    _, first, code_of = np.unique(_comparable(packed), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[code_of.ravel()]


def _comparable(packed: np.ndarray) -> np.ndarray:
    words = as_words(packed)
    return words[:, 0] if words.shape[1] == 1 else words  # many times as fast as rows of one


@dataclass(frozen=True)
class CodeStatistics:
    """``images`` N and ``unique`` codes among them; ``balance`` (K,): share of ones of each bit, best 0.5;
    ``correlation`` (K, K): Pearson's, between bits, where a constant bit correlates with nothing (0, also
    with itself).
    """

    images: int
    unique: int
    balance: np.ndarray
    correlation: np.ndarray

    @property
    def constant_bits(self) -> int:
        """How many bits are the same for at least 99 % of the images, and so say next to nothing."""
        return int(((self.balance <= 0.01) | (self.balance >= 0.99)).sum())

    @property
    def mean_correlation(self) -> float:
        """Mean |correlation| over pairs of different bits (0 for K = 1): 0 when each bit says something
        new."""
        bits = len(self.balance)
        off_diagonal = np.abs(self.correlation).sum() - np.abs(np.diag(self.correlation)).sum()
        return float(off_diagonal / (bits * (bits - 1))) if bits > 1 else 0.0

    @property
    def collapsed(self) -> bool:
        """All images share one code, or most bits are constant: the ranking is (nearly) the order of ties."""
        return self.images > 1 and (self.unique == 1 or 2 * self.constant_bits > len(self.balance))


def code_statistics(codes: np.ndarray) -> CodeStatistics:
    """Statistics of (N, K) bool codes, N > 0. Raises ``ValueError`` for no codes."""
    check_codes(codes)
    if len(codes) == 0:
        raise ValueError("statistics of no codes")
    centred = codes - codes.mean(axis=0)
    deviation = np.sqrt(np.square(centred).mean(axis=0))
    # A constant bit has deviation 0 up to rounding; dividing by it would turn rounding into correlation.
    varying = codes.any(axis=0) & ~codes.all(axis=0)
    standard = np.where(varying, centred / np.where(varying, deviation, 1), 0)
    return CodeStatistics(
        images=len(codes),
        unique=distinct_codes(pack(codes)),
        balance=codes.mean(axis=0),
        correlation=standard.T @ standard / len(codes),
    )
