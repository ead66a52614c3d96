"""The compiled loop of exact search: a block of queries against the whole database, tile by tile, without sorting.

Of each query the items at every distance are counted as they are met. ``limit`` is the distance below which there are
not yet k of them, and an item at ``limit`` or farther comes behind those that are there: only nearer ones are kept.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from ctrh.retrieval.ranking import TILE, compiled, popcount

CHUNK = 64  # distances that are compared with the limit at once
BLOCK = 32  # queries that see a tile while it is in the cache
KEPT_AT_ONCE = 2**22  # items, at most, that are kept for the queries of a block
PAIRS_A_THREAD = 2**20  # with fewer pairs of a query and an item, another thread costs more time than it saves


def nearest_rows(queries: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed (Q, B) and (N, B) uint8, k <= N -> distances (Q, k) int32 and rows (Q, k) int64, equal ones in their order."""
    # The widest word that fits: codes are compared as they lie, in memory or in a mapped file.
    word = next(size for size in (8, 4, 2, 1) if codes.shape[1] % size == 0)
    asked, words = queries.view(f"u{word}"), codes.view(f"u{word}").reshape(-1)
    words.flags.writeable = False  # as in a mapped file: one compiled function for both
    distances, rows = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    threads = min(numba.config.NUMBA_NUM_THREADS, 1 + len(queries) * len(codes) // PAIRS_A_THREAD)
    size = max(1, min(BLOCK, -(-len(queries) // threads), KEPT_AT_ONCE // (2 * k)))

    def search(start: int) -> None:
        block = slice(start, start + size)
        find_nearest(asked[block], words, 8 * codes.shape[1], distances[block], rows[block])

    with ThreadPoolExecutor(threads) as pool:
        # Without another thread the pool is not asked, and starts none.
        list((pool.map if threads > 1 else map)(search, range(0, len(queries), size)))
    return distances, rows


@compiled
def add_distances(word, words, distances):
    """Adds to ``distances`` (n,) those of ``word`` to each of ``words`` (n,), the parts of codes that lie at one place."""
    for i in range(len(distances)):
        distances[i] += popcount(np.uint64(word ^ words[i]))


@compiled
def find_nearest(queries, codes, bits, distances, rows):
    """Fills ``distances`` and ``rows`` (Q, k).  queries: (Q, W) and codes: (N * W,) unsigned words of ``bits`` in all."""
    asked, k = distances.shape
    width = queries.shape[1]
    items = len(codes) // width
    counts = np.zeros((asked, bits + 1), dtype=np.int64)
    limit = np.full(asked, bits + 1)
    nearer = np.zeros(asked, dtype=np.int64)  # items below the limit
    kept = np.zeros(asked, dtype=np.int64)
    far = np.empty((asked, min(2 * k, items)), dtype=np.uint16)
    row = np.empty(far.shape, dtype=np.int64)
    parts = np.empty((width, TILE), dtype=codes.dtype)
    tile = np.empty(TILE, dtype=np.uint16)
    for start in range(0, items, TILE):
        stop = min(start + TILE, items)
        measured = tile[: stop - start]
        if width > 1:
            for w in range(width):
                parts[w, : len(measured)] = codes[start * width + w : stop * width : width]
        for q in range(asked):
            measured[:] = 0
            if width == 1:
                add_distances(queries[q, 0], codes[start:stop], measured)
            else:
                for w in range(width):
                    add_distances(queries[q, w], parts[w, : len(measured)], measured)
            for first in range(0, len(measured), CHUNK):
                chunk = measured[first : first + CHUNK]
                # Without a branch, and so many at once; nearly always it ends here.
                least = chunk[0]
                for i in range(len(chunk)):
                    least = min(least, chunk[i])
                if least >= limit[q]:
                    continue
                for i in range(len(chunk)):
                    if chunk[i] >= limit[q]:
                        continue
                    if kept[q] == far.shape[1]:
                        # Up to the limit there are k at most: half of the space is free again.
                        left = 0
                        for j in range(kept[q]):
                            if far[q, j] <= limit[q]:
                                far[q, left], row[q, left] = far[q, j], row[q, j]
                                left += 1
                        kept[q] = left
                    far[q, kept[q]], row[q, kept[q]] = chunk[i], start + first + i
                    kept[q] += 1
                    counts[q, chunk[i]] += 1
                    nearer[q] += 1
                    while nearer[q] == k:
                        limit[q] -= 1
                        nearer[q] -= counts[q, limit[q]]
    place = np.empty(bits + 1, dtype=np.int64)
    for q in range(asked):
        place[0] = 0
        for d in range(bits):
            place[d + 1] = place[d] + counts[q, d]
        for j in range(kept[q]):
            d = far[q, j]
            if place[d] < k:
                distances[q, place[d]], rows[q, place[d]] = d, row[q, j]
                place[d] += 1
