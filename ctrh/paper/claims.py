"""Claims as data, and what of them holds for given numbers.

A claim names cells of tables and figures. The same test reads the article's own numbers and those measured here: is the
smallest of some differences above zero? So every verdict can be traced to the cells it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctrh.paper.published import TABLES, published_table
from ctrh.paper.statistics import interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
STUDY_OF = {1: "comparison", 2: "comparison", 3: "cost", 4: "ablation", 5: "ablation"} | {
    **dict.fromkeys((6, 7), "backbones"),
    **dict.fromkeys((8, 9), "guides"),
}


@dataclass(frozen=True)
class Cell:
    """One number, in the article's names: ``study`` is one of ``STUDY_OF`` or "sensitivity" (Figure 9)."""

    study: str
    name: str
    dataset: str
    bits: int
    metric: str


@dataclass(frozen=True)
class Estimate:
    """A number that comes with its own bounds (95 %), such as a median time."""

    value: float
    low: float
    high: float


# What is known of a cell: (S, Q) scores of seeds and queries, or an estimate.
Numbers = Mapping[Cell, np.ndarray | Estimate]


@dataclass(frozen=True)
class Contrast:
    """The mean of the cells ``more`` less that of ``less``; ``relative``: in percent of the latter."""

    more: tuple[Cell, ...]
    less: tuple[Cell, ...]
    relative: bool = False

    def bounds(self, numbers: Numbers, level: float = 0.95) -> tuple[float, float, float]:
        """The difference, and its bounds; raises ``KeyError`` where a cell is missing.

        Scores are paired by seed and query (:func:`ctrh.paper.statistics.interval`); of two estimates, both bounds are
        taken at their worst.
        """
        more, less = ([numbers[cell] for cell in cells] for cells in (self.more, self.less))
        if isinstance(more[0], Estimate):
            (one,), (other,) = more, less
            return (
                self._less(one.value, other.value),
                self._less(one.low, other.high),
                self._less(one.high, other.low),
            )
        values = self._less(np.mean(more, axis=0), np.mean(less, axis=0))
        if len(values) == 1:  # claims are of trainings, of which one tells nothing
            return float(values.mean()), float("nan"), float("nan")
        return interval(values, level)

    def _less(self, more, less):
        return 100 * (more / less - 1) if self.relative else more - less


@dataclass(frozen=True)
class Claim:
    """``text``, and what it says of numbers: in one of ``options`` all contrasts are above 0; or with ``within``, its only
    contrast lies between -``within`` and ``within``.
    """

    text: str
    options: tuple[tuple[Contrast, ...], ...]
    within: float | None = None

    def __post_init__(self) -> None:
        if not all(self.options) or (self.within is not None and [len(o) for o in self.options] != [1]):
            raise ValueError(
                f"{self.text}: options must not be empty, and with a bound there must be one contrast"
            )


@dataclass(frozen=True)
class Outcome:
    """``value``: the smallest difference of the best option (the difference itself with a bound), and its interval."""

    value: float
    low: float
    high: float
    verdict: str


def judge(claim: Claim, numbers: Numbers) -> Outcome:
    """What ``numbers`` say of a claim; undecided where one is missing.

    [low, high] covers the greatest (over options) of the smallest (within one) true differences with 95 % confidence:
    its lower bound is the greatest of the smallest lower bounds at a level divided among the options, its upper bound
    the same of the upper ones at a level divided within the option. A claim holds when all of it is above 0, and does
    not when all of it is below; with a bound, inside and outside of it.
    """
    shared = 1 - 0.05 / len(claim.options)
    try:
        lowest = [[part.bounds(numbers, shared) for part in option] for option in claim.options]
        highest = [
            [part.bounds(numbers, 1 - 0.05 / len(option)) for part in option] for option in claim.options
        ]
    except KeyError:
        return Outcome(float("nan"), float("nan"), float("nan"), OPEN)
    value = max(min(value for value, _, _ in option) for option in lowest)
    low = max(min(low for _, low, _ in option) for option in lowest)
    high = max(min(high for _, _, high in option) for option in highest)
    return Outcome(value, low, high, _verdict(low, high, claim.within))


def _verdict(low: float, high: float, within: float | None) -> str:
    if within is None:
        return HOLDS if low > 0 else FAILS if high < 0 else OPEN
    if -within < low and high < within:
        return HOLDS
    return FAILS if low > within or high < -within else OPEN


def stated(claim: Claim, numbers: Numbers) -> tuple[float, bool | None]:
    """The value of the article's own numbers and whether they bear the claim out; NaN and None where it prints none."""
    value = judge(claim, numbers).value
    if np.isnan(value):
        return value, None
    return value, value > 0 if claim.within is None else abs(value) < claim.within


def published_cells() -> dict[Cell, np.ndarray]:
    """Every number that the article prints, as (1, 1)."""
    cells = {}
    for number, (_, compares) in TABLES.items():
        for row in published_table(number).itertuples():
            cell = Cell(STUDY_OF[number], getattr(row, compares), row.dataset, row.bits, row.metric)
            cells[cell] = np.array([[row.published]])
    return cells


def claims_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per claim: ``claim``, ``published``, ``measured``, ``low``, ``high`` (in points of mAP, or percent where a
    claim is of costs), ``verdict``."""
    printed = published_cells()
    rows = []
    for claim in claims:
        here = judge(claim, measured)
        rows.append((claim.text, stated(claim, printed)[0], here.value, here.low, here.high, here.verdict))
    return pd.DataFrame(rows, columns=["claim", "published", "measured", "low", "high", "verdict"])


def parts_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per contrast of every claim, which tells what a verdict rests on: ``claim``, ``option``, ``more``, ``less``,
    ``dataset``, ``metric``, ``bits``, ``published``, ``measured``, ``low``, ``high`` (95 % each)."""
    printed = published_cells()
    rows = []
    for claim in claims:
        for number, option in enumerate(claim.options, 1):
            for contrast in option:
                alone = Claim(claim.text, ((contrast,),))
                here, first = judge(alone, measured), contrast.more[0]
                named = {side: _names(getattr(contrast, side), contrast) for side in ("more", "less")}
                rows.append(
                    {
                        "claim": claim.text,
                        "option": number,
                        **named,
                        "dataset": first.dataset,
                        "metric": first.metric,
                        "bits": "mean" if len(contrast.more) > 1 else first.bits,
                        "published": stated(alone, printed)[0],
                        "measured": here.value,
                        "low": here.low,
                        "high": here.high,
                    }
                )
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame) -> str:
    """The rows of :func:`claims_table` as a Markdown table; what holds or does not is in bold."""
    lines = ["| claim | published | measured | 95 % | verdict |", "|---|---:|---:|---:|---|"]
    for row in table.itertuples():
        published, measured, low, high = (_number(getattr(row, name)) for name in table.columns[1:5])
        span = f"{low} to {high}" if low and high else ""
        verdict = row.verdict if row.verdict == OPEN else f"**{row.verdict}**"
        lines.append(f"| {row.claim} | {published} | {measured} | {span} | {verdict} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{round(value, 2) + 0:+.2f}"


def failures_in_words(table: pd.DataFrame, parts: pd.DataFrame) -> str:
    """What each claim that does not hold founders on, out of :func:`claims_table` and :func:`parts_table`."""
    lines = []
    for text in table.loc[table["verdict"] == FAILS, "claim"]:
        part = parts[parts["claim"] == text]
        weak = part.loc[part["measured"].idxmin()]
        length = f"{weak['bits']} bits" if weak["bits"] != "mean" else "mean over lengths"
        lines.append(
            f"- {text}: {(part['high'] < 0).sum()} of {len(part)} comparisons are below 0; the weakest is {weak['more']} "
            f"against {weak['less']} ({length}: {weak['measured']:+.1f})."
        )
    return "\n".join(lines) or "There is none."


def _names(cells: tuple[Cell, ...], contrast: Contrast) -> str:
    names = ", ".join(dict.fromkeys(cell.name for cell in cells))
    lengths = {cell.bits for cell in (*contrast.more, *contrast.less)}
    return f"{names}, {cells[0].bits} bits" if len(cells) == 1 and len(lengths) > 1 else names
