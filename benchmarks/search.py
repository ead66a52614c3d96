"""Nearest codes: exact, approximate and straight from the disk, beside numpy's scan."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measuring import Result, timed, timed_with_memory
from ctrh.retrieval.codes import as_words, distinct_codes
from ctrh.retrieval.search import HammingIndex, IndexConfig

BITS, NEAREST = 64, 10
# codes, kinds of approximate index, queries
SIZES = {
    "full": (
        (1_000_000, ("hnsw", "ivf", "multi-hash"), 500),
        # Building the graph of ten million codes takes longer than all other benchmarks together.
        (10_000_000, ("ivf", "multi-hash"), 100),
    ),
    "small": ((100_000, ("hnsw", "ivf", "multi-hash"), 100),),
    "tiny": ((2000, ("hnsw", "ivf", "multi-hash"), 10),),
}


REPEATED = {"full": (1_000_000, 200), "small": (100_000, 50), "tiny": (2000, 10)}


def run(scale: str) -> Iterator[Result]:
    for items, kinds, queries in SIZES[scale]:
        yield from compared(items, kinds, queries, *problem(items, queries))
    items, queries = REPEATED[scale]
    codes, asked = repeated(items, queries)
    distinct = f"{distinct_codes(codes)} distinct, "
    yield from compared(items, ("hnsw", "ivf", "multi-hash"), queries, codes, asked, distinct)


def compared(
    items: int, kinds: tuple[str, ...], queries: int, codes: np.ndarray, asked: np.ndarray, kind_of_codes: str = ""
) -> Iterator[Result]:
    scanned = max(1, min(queries, 10_000_000 // items))
    reference_s, expected = timed(scan, asked[:scanned], codes, NEAREST)
    reference_s /= scanned
    name = f"{items} codes x {BITS} bits, {kind_of_codes}top {NEAREST}, per query"
    exact = HammingIndex(codes, BITS)
    exact_s, (nearest, _) = timed(exact.search, asked, NEAREST)
    difference = float(np.abs(nearest[:scanned] - expected).max())
    yield Result(
        "search, exact",
        name,
        exact_s / queries,
        reference_s,
        difference,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.index"
        exact.save(path)
        stored = path.stat().st_size / items
        open_s, mapped = timed(lambda: HammingIndex.load(path, mapped=True, verify=False))
        mapped_s, (found, _) = timed(mapped.search, asked, NEAREST)
        difference = float(np.abs(found - nearest).max())
        facts = {"ms to open": 1000 * open_s, "bytes per code, with its id": stored}
        yield Result("search, memory-mapped", name, mapped_s / queries, reference_s, difference, facts)
        del mapped
    for kind in kinds:
        index = HammingIndex(codes, BITS, config=IndexConfig(kind))
        # The first search builds what the later ones use.
        build_s, megabytes, _ = timed_with_memory(index.search, asked[:1], NEAREST)
        ours_s, (found, ids) = timed(index.search, asked, NEAREST)
        facts = {
            # As near as the tenth, so that the choice among equal distances does not count.
            f"recall@{NEAREST}": float((found <= nearest[:, -1:]).mean()),
            "queries per second": queries / ours_s,
            "seconds to build": build_s,
            "bytes per code, beside the codes": megabytes * 1e6 / items,
        }
        true = np.bitwise_count(as_words(codes)[np.maximum(ids, 0), 0] ^ as_words(asked)[:, :1])
        difference = float(np.abs(np.where(ids >= 0, true.astype(int) - found, 0)).max())
        yield Result(f"search, {kind}", name, ours_s / queries, reference_s, difference, facts)


def problem(items: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed codes in groups of a hundred around random centres, a tenth of the bits flipped; queries like them.

    Codes of photos lie in groups; among evenly spread ones no approximate index could know where to look.
    """
    random = np.random.default_rng(0)
    centres = random.integers(0, 2**64, max(1, items // 100), dtype=np.uint64)
    of = np.concatenate([random.integers(0, len(centres), items), random.integers(0, len(centres), queries)])
    codes = centres[of]
    for bit in range(BITS):
        flipped = random.random(len(codes), dtype=np.float32) < 0.1
        codes ^= flipped.astype(np.uint64) << np.uint64(bit)
    packed = codes.view(np.uint8).reshape(-1, 8)
    return packed[:items], packed[items:]


def repeated(items: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed codes and queries as networks give them that use few codes, some of them for most photos.

    Far more than ten copies of the codes that are asked for: a graph of all items would have no way out of them.
    """
    random = np.random.default_rng(1)
    centres, _ = problem(max(10, items // 40), 0)
    rows = np.minimum(random.zipf(1.2, items + queries) - 1, len(centres) - 1)
    return centres[rows[:items]], centres[rows[items:]]


def scan(queries: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """The k least distances of each query, (Q, k), by numpy's popcount and partition."""
    words = as_words(codes)[:, 0]
    distances = [np.bitwise_count(words ^ query) for query in as_words(queries)[:, 0]]
    return np.array([np.sort(np.partition(row, k - 1)[:k]) for row in distances], dtype=np.int64)
