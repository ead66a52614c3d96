"""Rows of curves: precision over the first N photos, precision over recall, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ctrh.paper.runs import RunResult
from ctrh.paper.statistics import half_width

# Points of a curve that is drawn: more would not be seen, and every one is a row of the figure's CSV.
POINTS = 80


def precision_rows(results: Iterable[RunResult], last: int = 1000) -> pd.DataFrame:
    """Precision at N = 1 ... ``last`` in percent, a row for each drawn point of each data set, label and length.

    Columns: ``dataset``, ``label``, ``bits``, ``n``, ``precision``, and ``low`` and ``high``, which bound it with 95 %
    confidence (Student's t over seeds; NaN for one seed). N ends with the database.
    """

    def curve(result: RunResult) -> dict[str, np.ndarray]:
        scores, most = result.scores, min(last, len(result.database_codes))
        shown = np.flatnonzero(scores.ns <= most)
        shown = shown[drawn(len(shown))]
        return {"n": scores.ns[shown], "precision": 100 * scores.precision_at[shown]}

    return _over_seeds(results, curve).astype({"n": int})


def recall_rows(results: Iterable[RunResult]) -> pd.DataFrame:
    """Precision over recall by Hamming ranking in percent, as :func:`precision_rows`, with ``recall`` (its mean over
    seeds at the same rank) in place of ``n``, and ``rank``."""

    def curve(result: RunResult) -> dict[str, np.ndarray]:
        scores = result.scores
        shown = drawn(len(scores.curve_ranks))
        ranks, precision, recall = (
            values[shown] for values in (scores.curve_ranks, scores.curve_precision, scores.curve_recall)
        )
        return {"rank": ranks, "recall": 100 * recall, "precision": 100 * precision}

    return _over_seeds(results, curve).astype({"rank": int})


def drawn(count: int) -> np.ndarray:
    """Which of ``count`` points of a curve are drawn: the first and the last, dense at the start, where it is steep."""
    share = np.linspace(0, 1, POINTS) ** 1.5
    return np.unique((share * (count - 1)).round().astype(int))


def _over_seeds(
    results: Iterable[RunResult], curve: Callable[[RunResult], dict[str, np.ndarray]]
) -> pd.DataFrame:
    """The mean over seeds of the named (P,) arrays of ``curve``, and bounds of the one called "precision"."""
    found: dict[tuple[str, str, int], list[dict[str, np.ndarray]]] = {}
    for result in results:
        run = result.run
        found.setdefault((run.data.name, run.label or run.method, run.bits), []).append(curve(result))
    frames = []
    for (dataset, label, bits), curves in found.items():
        points = {name: np.mean([each[name] for each in curves], axis=0) for name in curves[0]}
        seeds = len(curves)
        spread = np.full(len(points["precision"]), np.nan)
        if seeds > 1:
            spread = np.std([each["precision"] for each in curves], axis=0, ddof=1)
        half = half_width(spread, seeds)
        about = {"dataset": dataset, "label": label, "bits": bits}
        bounds = {"low": points["precision"] - half, "high": points["precision"] + half}
        frames.append(pd.DataFrame({**points, **bounds}).round(4).assign(**about))
    rows = pd.concat(frames, ignore_index=True)
    return rows[["dataset", "label", "bits", *rows.columns.drop(["dataset", "label", "bits"])]]
