"""The tables of measurements: one row a name and size, a new measurement in place of the old one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd

from benchmarks.measuring import Result, machine
from ctrh.store import replacing

RESULTS, FACTS = (Path(__file__).with_name(name) for name in ("results.csv", "facts.csv"))
COLUMNS = {
    "results": ["name", "size", "ours_s", "reference_s", "ratio", "machine", "date"],
    "facts": ["name", "size", "quantity", "value", "machine", "date"],
}


def rows_of(result: Result) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A result as rows of results.csv and facts.csv."""
    where = {"machine": machine(), "date": datetime.date.today().isoformat()}
    named = {"name": result.name, "size": result.size}
    times = {"ours_s": result.ours_s, "reference_s": result.reference_s, "ratio": result.ratio}
    facts = [{**named, "quantity": name, "value": value, **where} for name, value in result.facts.items()]
    return (
        pd.DataFrame([{**named, **times, **where}], columns=COLUMNS["results"]),
        pd.DataFrame(facts, columns=COLUMNS["facts"]),
    )


def keep(rows: pd.DataFrame, path: Path) -> None:
    """Adds ``rows`` to the table; those of the same name, size (and quantity) make way."""
    key = [column for column in ("name", "size", "quantity") if column in rows]
    if path.is_file():
        old = pd.read_csv(path, dtype=dict.fromkeys(key, str))
        again = pd.MultiIndex.from_frame(old[key]).isin(pd.MultiIndex.from_frame(rows[key]))
        rows = pd.concat([part for part in (old[~again], rows) if len(part)] or [rows])
    with replacing(path) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n", float_format="%.4g")
