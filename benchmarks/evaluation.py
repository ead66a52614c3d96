"""Evaluation: every score in one pass over packed codes, beside what other projects do (:mod:`benchmarks.peers`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.measuring import Result, timed, timed_with_memory
from benchmarks.peers import CUT, PEERS
from ctrh.retrieval.metrics import Convention, evaluate

# queries, database, queries that the others are timed on, turns
SIZES = {
    "full": ((5000, 176_365, 8, 3), (2000, 18_000, 40, 5)),
    "small": ((500, 20_000, 16, 1),),
    "tiny": ((12, 700, 12, 1),),
}
BITS = 64


def run(scale: str) -> Iterator[Result]:
    for queries, items, few, turns in SIZES[scale]:
        for ties in ("expected", "stable"):
            evaluate(*problem(2, 50, 10), convention=Convention(ties))  # compiles
        yield from beside_peers(queries, items, few, turns)
    yield from many_labels(*SIZES[scale][0][:2])


def beside_peers(queries: int, items: int, few: int, turns: int, labels: int = 10) -> Iterator[Result]:
    """Ours and the others by turns, so that a machine's slow minute meets both, on as many threads; of each the median."""
    inputs = problem(queries, items, labels)
    dense = signs(*inputs)
    some = dense[0][:few], dense[1], dense[2][:few], dense[3]
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(turns):
        for threads in (1, 2):
            ours = timed(lambda threads=threads: evaluate(*inputs, ks=(CUT,), threads=threads))[0]
            seconds.setdefault(("ours", threads), []).append(ours)
            with threadpool_limits(threads):
                for name, peer in PEERS.items():
                    seconds.setdefault((name, threads), []).append(timed(peer, *some)[0] * queries / few)
    scores = evaluate(inputs[0][:few], inputs[1], inputs[2][:few], inputs[3], ks=(CUT,), convention=Convention("stable"))
    size = f"{queries} x {items} x {BITS} bits, {labels} labels"
    note = f"; reference extrapolated from {few} queries" if few < queries else ""
    for name, peer in PEERS.items():
        # scikit-learn has no order inside ties, and so another number.
        ours = float(scores.ap_at[0].mean())
        difference = 0.0 if "scikit" in name else abs(peer(*some, stable=True) - ours)
        for threads in (1, 2):
            # Of each turn's ratio the median: Result takes it from the two times.
            ratio = float(np.median(np.divide(seconds[name, threads], seconds["ours", threads])))
            ours_s = float(np.median(seconds["ours", threads]))
            yield Result(f"evaluation, {name}", f"{size}, {threads} threads{note}", ours_s, ratio * ours_s, difference)


def many_labels(queries: int, items: int, labels: int = 81) -> Iterator[Result]:
    """More labels than a word holds, stable ties, and a graphics card where there is one; memory too."""
    inputs = problem(queries, items, labels)
    few = min(queries, 16)
    some = signs(inputs[0][:few], inputs[1], inputs[2][:few], inputs[3])
    name, peer = next(iter(PEERS.items()))
    reference_s = timed(peer, *some)[0] * queries / few
    ways = [("expected", None), ("stable", None)]
    if torch.cuda.is_available():
        ways.append(("expected", "cuda"))
    for ties, device in ways:
        ours_s, megabytes, scores = timed_with_memory(
            partial(evaluate, *inputs, ks=(CUT,), convention=Convention(ties), threads=2, device=device)
        )
        stable = abs(peer(*some, stable=True) - float(scores.ap_at[0, :few].mean())) if ties == "stable" else 0.0
        size = f"{queries} x {items} x {BITS} bits, {labels} labels, {ties} ties, 2 threads"
        size += f", {torch.cuda.get_device_name()}" if device else ""
        size += f"; reference extrapolated from {few} queries" if few < queries else ""
        yield Result(f"evaluation, {name}", size, ours_s, reference_s, stable, {"peak extra MB": megabytes})


def signs(*codes_and_labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """±1 codes and 0/1 labels, float32: what the peers take."""
    codes, database, labels, database_labels = (part.astype(np.float32) for part in codes_and_labels)
    return 2 * codes - 1, 2 * database - 1, labels, database_labels


def problem(
    queries: int, items: int, labels: int, bits: int = BITS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random codes and about two labels an image: time does not depend on their content."""
    random = np.random.default_rng(0)
    return (
        random.random((queries, bits)) < 0.5,
        random.random((items, bits)) < 0.5,
        random.random((queries, labels)) < 2 / labels,
        random.random((items, labels)) < 2 / labels,
    )
