r"""The compiled inner loops of the metrics: a block of queries against the whole database, without sorting.

K-bit codes have only K+1 distances, so a ranking is a row of tie groups d = 0..K with n_d items, r_d of them
relevant, and everything in this file follows from these counts. Write N and R for the items and the relevant
items in the groups nearer than d.

**Random order inside a group.** The j-th place of the group holds a relevant item with probability r/n, and
then (r-1)/(n-1) of the other j-1 places before it do on average. So the precisions at the relevant items in
its first m places add up to

    E_m(n, r) = sum_{j=1..m} (r/n) (R + 1 + (j-1) (r-1)/(n-1)) / (N + j)
              = (r/n) [ (R + 1) D + (r-1)/(n-1) (m - (N + 1) D) ],     D = H(N + m) - H(N),

with harmonic numbers H, since (j-1)/(N+j) = 1 - (N+1)/(N+j); the second term is absent for n = 1. Orders in
different groups are independent and R does not depend on them, so the sum up to a rank k in group d is S +
E_m(n, r): S = the sum of E_n(n, r) over the nearer groups, m = k - N.

**AP@k over the hits inside the top k.** The denominator R + h is random when k cuts a group: h, the hits
among the m places inside, is hypergeometric, P(h) = C(r, h) C(n-r, m-h) / C(n, m). Given h, every arrangement
of h hits in the m places is equally likely: the case of a whole group of m items with h relevant ones. S is
independent of h. Therefore

    E[AP@k] = sum_h P(h) (S + E_m(m, h)) / (R + h),     the term being 0 for R + h = 0,

and one term is left (h = r) when k ends a group, as it does for the whole database. With min(k, relevant
items) as denominator it is a constant, and E[AP@k] = (S + E_m(n, r)) / min(k, relevant items).

**Stable order.** Items of a group keep the database's order: a second sweep over the database places each
item at rank N + (items of its group seen so far).

**The first k relevant items** in place of the top k, divided by min(k, relevant items): all of the nearer groups,
and of the group that holds the last one the first f. A relevant item at its place x + 1 is one of them where at
most t = f - 1 of the x items before it are relevant; H, their number, is hypergeometric, so that these add up to

    sum_{x=0..n-1} (r/n) ((R + 1) F_x + G_x) / (N + x + 1),     F_x = P(H <= t),  G_x = E[H; H <= t].

One more item, relevant with probability q = (r-1-H)/(n-1-x), turns P(H = t) = p into t + 1 with q_t:
F_{x+1} = F_x - q_t p and G_{x+1} = G_x + ((r-1) F_x - G_x)/(n-1-x) - (t + 1) q_t p.

Compiled functions that call each other stay in one file: numba notices changes of a cached function's own file only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing import Signature
from numba.extending import intrinsic

# Pairs measured at once: long enough for vector instructions, short enough to stay in the fastest cache.
TILE = 2048


def compiled(function: Callable) -> Callable:
    """``numba.njit`` without the GIL, kept on disk, compiled at the first call.

    Where numba finds no folder to write to (read-only installation, no home), each process compiles anew.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@intrinsic
def popcount(typing, word) -> tuple[Signature, Callable]:
    """The ones in a uint64, as int64: the processor's own instruction, for which numba has no name."""

    def generate(context, builder: ir.IRBuilder, signature: Signature, arguments: list) -> ir.Value:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@compiled
def measure(code, mask, database_codes, database_masks, start, stop, cells, shared):
    """``cells[i] = 2 * distance + relevant`` for items ``start + i`` < ``stop`` and one query.

    ``code`` (W,), ``mask`` (V,) uint64; the database (W, M) and (V, M), words first; ``cells`` uint32 and ``shared`` uint64,
    scratch, (TILE,).
    """
    # Slices: an index that might be negative would keep the compiler from taking several items in one instruction.
    cells, shared = cells[: stop - start], shared[: stop - start]
    cells[:] = 0
    shared[:] = 0
    for w in range(1, len(code)):
        word, words = code[w], database_codes[w, start:stop]
        for i in range(len(cells)):
            cells[i] += 2 * popcount(word ^ words[i])
    for w in range(1, len(mask)):
        label, labels = mask[w], database_masks[w, start:stop]
        for i in range(len(cells)):
            shared[i] |= label & labels[i]
    # Mostly there is one word of each, and so one loop.
    word, words = code[0], database_codes[0, start:stop]
    label, labels = mask[0], database_masks[0, start:stop]
    for i in range(len(cells)):
        relevant = (shared[i] | (label & labels[i])) != 0
        cells[i] += 2 * popcount(word ^ words[i]) + relevant


@compiled
def count_groups(codes, masks, database_codes, database_masks, counts):
    """Fills ``counts`` (B, K+1, 2) int64 for B queries: irrelevant and relevant items at each distance.

    ``codes`` (B, W), ``masks`` (B, V). All of them meet a tile of the database while it is in the fastest cache.
    """
    items = database_codes.shape[1]
    cells = np.empty(TILE, dtype=np.uint32)
    shared = np.empty(TILE, dtype=np.uint64)
    flat = counts.reshape(len(codes), -1)
    flat[:] = 0
    # Four tables, each for a quarter of the tile: adding twice in a row to one number would wait for the first.
    tables = np.zeros((4, flat.shape[1]), dtype=np.int32)
    a, b, c, d = tables
    for start in range(0, items, TILE):
        stop = min(start + TILE, items)
        n = (stop - start) // 4
        for q in range(len(codes)):
            measure(codes[q], masks[q], database_codes, database_masks, start, stop, cells, shared)
            first, second, third, fourth = cells[:n], cells[n : 2 * n], cells[2 * n : 3 * n], cells[3 * n :]
            for i in range(n):
                a[first[i]] += 1
                b[second[i]] += 1
                c[third[i]] += 1
                d[fourth[i]] += 1
            for i in range(4 * n, stop - start):
                a[cells[i]] += 1
            for cell in range(flat.shape[1]):
                flat[q, cell] += a[cell] + b[cell] + c[cell] + d[cell]
            tables[:] = 0


@compiled
def precision_sum(harmonic, before, relevant_before, items, relevant, places):
    """E_m(n, r) of the module's text, with N, R, n, r, m in the order of the arguments."""
    if relevant == 0:
        return 0.0
    reciprocals = harmonic[before + places] - harmonic[before]
    first = (relevant_before + 1) * reciprocals
    if items == 1:
        return first
    others = (relevant - 1) / (items - 1) * (places - (before + 1) * reciprocals)
    return relevant / items * (first + others)


@compiled
def average_precision_given(harmonic, nearer_sum, before, relevant_before, places, hits):
    """E[AP@k | h] over the hits inside, of which h = ``hits`` are in the m = ``places`` of the cut group."""
    if relevant_before + hits == 0:
        return 0.0
    inside = precision_sum(harmonic, before, relevant_before, places, hits, places)
    return (nearer_sum + inside) / (relevant_before + hits)


@compiled
def cut_average_precision(harmonic, nearer_sum, before, relevant_before, items, relevant, places):
    """E[AP@k] over the hits inside: the hypergeometric sum of the module's text.

    Starts at the mode with weight 1 and walks to both sides by the ratios P(h+1)/P(h), which fall all the
    way: what is left out below 1e-20 of the mode is below rounding, and nothing under- or overflows.
    """
    least = max(0, places - (items - relevant))
    most = min(places, relevant)
    mode = min(max((places + 1) * (relevant + 1) // (items + 2), least), most)
    total = 1.0
    expected = average_precision_given(harmonic, nearer_sum, before, relevant_before, places, mode)
    spare = items - relevant - places
    weight = 1.0
    for h in range(mode, most):
        weight *= (relevant - h) * (places - h) / ((h + 1) * (spare + h + 1))
        if weight < 1e-20:
            break
        total += weight
        expected += weight * average_precision_given(
            harmonic, nearer_sum, before, relevant_before, places, h + 1
        )
    weight = 1.0
    for h in range(mode, least, -1):
        weight *= h * (spare + h) / ((relevant - h + 1) * (places - h + 1))
        if weight < 1e-20:
            break
        total += weight
        expected += weight * average_precision_given(
            harmonic, nearer_sum, before, relevant_before, places, h - 1
        )
    return expected / total


@compiled
def first_relevant_sum(before, relevant_before, items, relevant, first):
    """The precisions at the ``first`` of a group's relevant items: the last sum of the module's text."""
    n, r, t = items - 1, relevant - 1, first - 1
    # P(H = t) by logarithms: it underflows for few items drawn.
    least = math.lgamma(r + 1) - math.lgamma(t + 1) - math.lgamma(r - t + 1) + math.lgamma(n - r + 1) - math.lgamma(n + 1)
    share, found, total = 1.0, 0.0, 0.0
    for x in range(items):
        total += ((relevant_before + 1) * share + found) / (before + x + 1)
        if x < n:
            passed = 0.0
            if t <= x <= n - r + t:
                p = least - math.lgamma(x - t + 1) - math.lgamma(n - r - x + t + 1) + math.lgamma(x + 1) + math.lgamma(n - x + 1)
                passed = (r - t) / (n - x) * math.exp(p)
            found += (r * share - found) / (n - x) - first * passed
            share -= passed
    return relevant / items * total


@compiled
def score_expected(counts, cuts, scored, harmonic, over_hits, of_relevant, hits, precisions):
    """Expected values for B queries, random order inside ties.

    ``cuts`` (J,) int64: ranks, ascending, at most M; ``scored`` (J,) bool: where average precision is wanted.
    Fills ``hits`` (B, J): expected relevant items in the top cuts[j], and ``precisions`` (B, J): expected
    AP@cuts[j], 0 where it is not wanted. ``of_relevant``: over the first cuts[j] relevant items.
    """
    precisions[:] = 0
    for q in range(len(counts)):
        all_relevant = counts[q, :, 1].sum()
        before = 0
        relevant_before = 0
        nearer_sum = 0.0
        i = 0 if of_relevant and all_relevant > 0 else len(cuts)
        j = 0
        for d in range(counts.shape[1]):
            relevant = counts[q, d, 1]
            items = counts[q, d, 0] + relevant
            while i < len(cuts) and min(cuts[i], all_relevant) <= relevant_before + relevant:
                if scored[i]:
                    wanted = min(cuts[i], all_relevant)
                    inside = first_relevant_sum(before, relevant_before, items, relevant, wanted - relevant_before)
                    precisions[q, i] = (nearer_sum + inside) / wanted
                i += 1
            while j < len(cuts) and cuts[j] <= before + items:
                places = cuts[j] - before
                hits[q, j] = relevant_before + places * relevant / items
                if scored[j] and all_relevant > 0 and over_hits:
                    precisions[q, j] = cut_average_precision(
                        harmonic, nearer_sum, before, relevant_before, items, relevant, places
                    )
                elif scored[j] and all_relevant > 0 and not of_relevant:
                    inside = precision_sum(harmonic, before, relevant_before, items, relevant, places)
                    precisions[q, j] = (nearer_sum + inside) / min(cuts[j], all_relevant)
                j += 1
            nearer_sum += precision_sum(harmonic, before, relevant_before, items, relevant, items)
            before += items
            relevant_before += relevant


@compiled
def score_stable(
    counts, cuts, cut_of_rank, over_hits, of_relevant, codes, masks, database_codes, database_masks, hits, precisions
):
    """The same as :func:`score_expected`, at all cuts, for ties in the database's order.

    ``cut_of_rank`` (M,): for rank p, at p - 1, the first j with p <= cuts[j]. ``of_relevant``: precisions count at the first
    cuts[j] relevant items, wherever they are.
    """
    items = database_codes.shape[1]
    cells = np.empty(TILE, dtype=np.uint32)
    shared = np.empty(TILE, dtype=np.uint64)
    hits[:] = 0
    precisions[:] = 0
    for q in range(len(codes)):
        placed = np.zeros(counts.shape[1], dtype=np.int64)
        found = np.zeros(counts.shape[1], dtype=np.int64)
        for d in range(1, len(placed)):
            placed[d] = placed[d - 1] + counts[q, d - 1].sum()
            found[d] = found[d - 1] + counts[q, d - 1, 1]
        for start in range(0, items, TILE):
            stop = min(start + TILE, items)
            measure(codes[q], masks[q], database_codes, database_masks, start, stop, cells, shared)
            for i in range(stop - start):
                d = cells[i] >> 1
                placed[d] += 1
                if cells[i] & 1:
                    found[d] += 1
                    hits[q, cut_of_rank[placed[d] - 1]] += 1
                    place = found[d] if of_relevant else placed[d]
                    precisions[q, cut_of_rank[place - 1]] += found[d] / placed[d]
        all_relevant = counts[q, :, 1].sum()
        for j in range(1, len(cuts)):
            hits[q, j] += hits[q, j - 1]
            precisions[q, j] += precisions[q, j - 1]
        for j in range(len(cuts)):
            denominator = hits[q, j] if over_hits else min(cuts[j], all_relevant)
            precisions[q, j] = precisions[q, j] / denominator if denominator > 0 else 0.0


@compiled
def add_scores(counts, hits, hits_sum, recall_sum, radius_precision, radius_recall):
    """Adds up B queries, one after the other: hits and recall at the cuts (J,), both by distance (K+1,)."""
    for q in range(len(counts)):
        all_relevant = max(counts[q, :, 1].sum(), 1)
        for j in range(len(hits_sum)):
            hits_sum[j] += hits[q, j]
            recall_sum[j] += hits[q, j] / all_relevant
        items = 0
        relevant = 0
        for d in range(counts.shape[1]):
            items += counts[q, d, 0] + counts[q, d, 1]
            relevant += counts[q, d, 1]
            radius_precision[d] += relevant / max(items, 1)
            radius_recall[d] += relevant / all_relevant
