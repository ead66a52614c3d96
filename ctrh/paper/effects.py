"""What a change is worth: differences of paired runs, each with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ctrh.paper.runs import RunResult, average_precisions
from ctrh.paper.statistics import VERDICTS, interval, verdict
from ctrh.retrieval.codes import code_statistics

# (data set, bits, metric, label) -> seed -> (Q,) average precisions in percent.
Precisions = dict[tuple[str, int, str, str], dict[int, np.ndarray]]


def precisions(results: Iterable[RunResult]) -> Precisions:
    """The queries' average precisions of all ``results``; metrics are ``map_all`` and ``map_k``.

    Raises ``ValueError`` when two of them say the same of themselves: their label should tell them apart.
    """
    found: Precisions = {}
    for result in results:
        run = result.run
        for metric, ap in average_precisions(result.scores).items():
            seeds = found.setdefault((run.data.name, run.bits, metric, run.label or run.method), {})
            if run.seed in seeds:
                raise ValueError(f"two runs are called {run}")
            seeds[run.seed] = 100 * ap
    return found


def paired(ours: dict[int, np.ndarray], theirs: dict[int, np.ndarray]) -> np.ndarray:
    """(S, Q): ours minus theirs, seed by seed and query by query. Raises ``ValueError`` for other seeds."""
    if ours.keys() != theirs.keys():
        raise ValueError(f"seeds {sorted(ours)} cannot be paired with {sorted(theirs)}")
    return np.stack([ours[seed] - theirs[seed] for seed in sorted(ours)])


def differences(results: Sequence[RunResult], name: str | None, over: str) -> pd.DataFrame:
    """mAP of the runs labelled ``name`` (None: of every other label) minus that of those labelled ``over``.

    One row per data set, bits, metric (``map_all``, ``map_k``) and label, here ``method``: ``difference`` in points,
    paired by seed and query, ``low`` and ``high`` (95 %, :func:`ctrh.paper.statistics.interval`), ``seeds``, ``queries``,
    ``verdict``. Raises ``ValueError`` where one of the two is missing.
    """
    found, rows = precisions(results), []
    for (dataset, bits, metric, label), seeds in found.items():
        if label == over or name not in (None, label):
            continue
        if (dataset, bits, metric, over) not in found:
            raise ValueError(f"{dataset}, {bits} bits: there is no run of {over!r} to compare {label!r} with")
        values = paired(seeds, found[dataset, bits, metric, over])
        difference, low, high = interval(values)
        row = {"dataset": dataset, "bits": bits, "metric": metric, "method": label, "over": over}
        row |= {"difference": difference, "low": low, "high": high}
        row |= {"seeds": len(values), "queries": values.shape[1], "verdict": verdict(low, high)}
        rows.append(row)
    if not rows:
        raise ValueError(f"there is no run of {name or 'others'!r} to compare with {over!r}")
    return pd.DataFrame(rows)


def effects(results: Sequence[RunResult], over: str) -> pd.DataFrame:
    """:func:`differences` of every ``label``, with a ``note`` of how many of its trainings have collapsed."""
    rows = differences(results, None, over).rename(columns={"method": "label"})
    lost = collapses(results)
    notes = [_note(lost.get((row.dataset, row.bits, row.label), 0), row.seeds) for row in rows.itertuples()]
    return rows.assign(note=notes)


def counted(rows: pd.DataFrame) -> str:
    """ "better in 3, undecided in 5, worse in 0 of 8": the verdicts of rows of :func:`effects`."""
    counts = ", ".join(f"{each} in {(rows['verdict'] == each).sum()}" for each in VERDICTS)
    return f"{counts} of {len(rows)}"


def listed(rows: pd.DataFrame, name: str = "label") -> str:
    """Rows of :func:`effects` as a list in Markdown, a line for each ``name``: the points on every data set, verdicts."""
    lines = []
    for label, part in rows.groupby(name, sort=False):
        texts = [
            f"{row.dataset} {_points(row.difference)}{_span(row)}{', ' + row.note if row.note else ''}"
            for row in part.itertuples()
        ]
        lines.append(f"- **{label}**: {'; '.join(texts)}")
    return "\n".join(lines)


def _span(row) -> str:
    return f" ({_points(row.low)} to {_points(row.high)}: {row.verdict})"


def _points(value: float) -> str:
    return f"{round(value, 1) + 0:+.1f}"  # no "-0.0"


def collapses(results: Iterable[RunResult]) -> dict[tuple[str, int, str], int]:
    """(data set, bits, label) -> of how many runs the codes have collapsed; only those with some."""
    found: dict[tuple[str, int, str], int] = {}
    for result in results:
        if code_statistics(result.database_codes).collapsed:
            key = (result.run.data.name, result.run.bits, result.run.label or result.run.method)
            found[key] = found.get(key, 0) + 1
    return found


def collapses_in_words(results: Sequence[RunResult]) -> str:
    """ "Codes have collapsed in 2 of 96 runs: ...", with the label, data set and bits of each."""
    found = collapses(results)
    listed = [f"{label} ({name}, {bits} bits: {count})" for (name, bits, label), count in found.items()]
    rest = f": {'; '.join(listed)}." if listed else "."
    return f"Codes have collapsed in {sum(found.values())} of {len(results)} runs{rest}"


def _note(collapsed: int, runs: int) -> str:
    return f"collapsed: {collapsed} of {runs}" if collapsed else ""
