"""What a change is worth: differences of paired runs, each with its interval, and the tables that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ctrh.paper.runs import RunResult, average_precisions
from ctrh.paper.statistics import interval, verdict
from ctrh.retrieval.codes import code_statistics

DIFFERENCES = "dataset bits metric method over difference low high seeds queries verdict".split()
# (data set, bits, metric, label) -> seed -> (Q,) average precisions in percent.
Precisions = dict[tuple[str, int, str, str], dict[int, np.ndarray]]


def label_of(result: RunResult) -> str:
    return result.run.label or result.run.method


def precisions(results: Iterable[RunResult]) -> Precisions:
    """The queries' average precisions by key and seed. Raises ``ValueError`` for two runs of one name."""
    found: Precisions = {}
    for result in results:
        run = result.run
        for metric, ap in average_precisions(result.scores).items():
            seeds = found.setdefault((run.data.name, run.bits, metric, label_of(result)), {})
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
    """mAP of the runs labelled ``name`` (None: of all others) minus that of those labelled ``over``, in
    points, paired by seed and query, with its interval. Raises ``ValueError`` where one is missing."""
    found, rows = precisions(results), []
    for (dataset, bits, metric, label), seeds in found.items():
        if label == over or name not in (None, label):
            continue
        if (dataset, bits, metric, over) not in found:
            raise ValueError(f"{dataset}, {bits} bits: there is no run of {over!r} to compare {label!r} with")
        values = paired(seeds, found[dataset, bits, metric, over])
        difference, low, high = interval(values)
        counts = len(values), values.shape[1]
        rows.append((dataset, bits, metric, label, over, difference, low, high, *counts, verdict(low, high)))
    if not rows:
        raise ValueError(f"there is no run of {name or 'others'!r} to compare with {over!r}")
    return pd.DataFrame(rows, columns=DIFFERENCES)


def effects(results: Sequence[RunResult], over: str, label: str | None = None) -> pd.DataFrame:
    """:func:`differences` of every ``label`` (or one), with a ``note`` of how many trainings collapsed."""
    rows = differences(results, label, over).rename(columns={"method": "label"})
    flat = collapses(result for result in results if label in (None, label_of(result)))
    counts = [flat[row.dataset, row.bits, row.label] for row in rows.itertuples()]
    notes = [f"collapsed: {count} of {seeds}" if count else "" for count, seeds in zip(counts, rows["seeds"])]
    return rows.assign(note=notes)


def collapses(results: Iterable[RunResult]) -> Counter[tuple[str, int, str]]:
    """(data set, bits, label) -> of how many runs the codes have collapsed."""
    codes = ((result, result.database_codes) for result in results)
    flat = [result for result, given in codes if given is not None and code_statistics(given).collapsed]
    return Counter((result.run.data.name, result.run.bits, label_of(result)) for result in flat)


def effect_table(rows: pd.DataFrame, index: Sequence[str] = ("label",)) -> pd.DataFrame:
    """Rows of :func:`effects` at one length as text, a column for each data set and metric."""
    text = "{difference:+.2f} ({low:+.2f} to {high:+.2f}) {verdict} {note}"
    texts = [text.format(**row).rstrip() for row in rows.to_dict("records")]
    rows = rows.assign(text=texts, metric=_titles(rows))
    return rows.pivot_table("text", list(index), ["dataset", "metric"], aggfunc="first", sort=False)


def published_effects(rows: pd.DataFrame, tables: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Rows of :func:`effects` by ``bits`` beside the same differences of the article's ``tables``."""
    printed = pd.concat(table.rename(columns={table.columns[0]: "label"}) for table in tables.values())
    printed, keys = printed.set_index("label"), ["dataset", "bits", "metric"]
    for name in ("label", "over"):
        numbers = printed[[*keys, "published"]].rename_axis(name).rename(columns={"published": f"of {name}"})
        rows = rows.merge(numbers, on=[*keys, name], how="left")
    rows = rows.assign(published=rows["of label"] - rows["of over"], metric=_titles(rows))
    values, index = ["difference", "verdict", "published"], ["dataset", "metric", "label", "over"]
    table = rows.pivot_table(values, index, "bits", aggfunc="first", sort=False)
    return table[[name for name in values if name in table]]


def _titles(rows: pd.DataFrame) -> pd.Series:
    return rows["metric"].str.replace("map_", "mAP@")
