"""Evaluation: every score in one pass over packed codes, beside the loop that sorts the database for each query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.measuring import Result, timed, timed_with_memory
from ctrh.retrieval.metrics import evaluate

# queries, database, queries that the loop is timed on
SIZES = {"full": (5000, 176_365, 40), "small": (500, 20_000, 20), "tiny": (12, 700, 12)}
BITS, CUT = 64, 5000


def run(scale: str) -> Iterator[Result]:
    queries, items, timed_queries = SIZES[scale]
    for labels in (10, 81):
        codes_and_labels = problem(queries, items, labels)
        few = tuple(part[:timed_queries] if len(part) == queries else part for part in codes_and_labels)
        for ties in ("expected", "stable"):
            evaluate(*problem(2, 50, labels), ties=ties)  # compiles
        seconds, _ = timed(sorting_loop, *few)
        reference_s = seconds * queries / timed_queries
        stable = np.array(sorting_loop(*few, kind="stable"))
        ways = [(1, "expected", None), (2, "expected", None), (2, "stable", None)]
        if torch.cuda.is_available():
            ways.append((2, "expected", "cuda"))
        for threads, ties, device in ways:
            ours_s, megabytes, scores = timed_with_memory(
                lambda inputs=codes_and_labels, threads=threads, ties=ties, device=device: evaluate(
                    *inputs, ks=(CUT,), ties=ties, threads=threads, device=device
                )
            )
            difference = 0.0
            if ties == "stable":
                ours = np.array([scores.ap_all, scores.ap_at[0]])[:, :timed_queries].mean(axis=1)
                difference = float(np.abs(ours - stable).max())
            size = f"{queries} x {items} x {BITS} bits, {labels} labels, {ties} ties, {threads} threads"
            if device:
                size += f", {torch.cuda.get_device_name()}"
            if timed_queries < queries:
                size += f"; reference extrapolated from {timed_queries} queries"
            yield Result("evaluation", size, ours_s, reference_s, difference, {"peak extra MB": megabytes})


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


def sorting_loop(query_codes, codes, query_labels, labels, cut: int = CUT, kind: str | None = None):
    """mAP@all and mAP@``cut`` as they are usually computed: ±1 dot product, argsort, precision at the hits."""
    signs, ones = np.where(codes, 1, -1).astype(np.float32), labels.astype(np.float32)
    bits = codes.shape[1]
    found: list[list[float]] = [[], []]
    for code, own in zip(query_codes, query_labels, strict=True):
        relevant = ones @ own.astype(np.float32) > 0
        distances = 0.5 * (bits - signs @ np.where(code, 1, -1).astype(np.float32))
        relevant = relevant[np.argsort(distances, kind=kind)]
        for precisions, part in zip(found, (relevant, relevant[:cut]), strict=True):
            ranks = np.flatnonzero(part) + 1
            precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0)
    return tuple(float(np.mean(precisions)) for precisions in found)
