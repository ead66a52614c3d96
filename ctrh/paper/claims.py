"""Claims as data, and what of them holds for given numbers.

A claim names cells of tables and figures. The same test reads the article's own numbers and those measured here: is the
smallest of some differences above zero? So every verdict can be traced to the cells it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.paper.published import TABLES, published_table
from ctrh.paper.statistics import interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
COMPARED_IN = {"variant": "ablation", "backbone": "backbones", "guide": "guides"}  # else "comparison" and "cost"


class Cell(NamedTuple):
    """One number, in the article's names: ``study``: "comparison", "cost", "ablation", "backbones", "guides", "sensitivity"."""

    study: str
    name: str
    dataset: str
    bits: int
    metric: str


class Estimate(NamedTuple):
    """A number with its own bounds (95 %), such as a median time."""

    value: float
    low: float
    high: float


# What is known of a cell: (S, Q) scores of seeds and queries, or an estimate.
Numbers = Mapping[Cell, np.ndarray | Estimate]


@dataclass(frozen=True)
class Contrast:
    """The mean of the cells ``more`` less that of ``less``; of two estimates, which are costs, in percent of the latter."""

    more: tuple[Cell, ...]
    less: tuple[Cell, ...]

    def bounds(self, numbers: Numbers, level: float = 0.95) -> Estimate:
        """The difference with its interval, paired by seed and query; ``KeyError`` where a cell is missing.

        The bounds of two estimates are both taken at their worst.
        """
        more, less = ([numbers[cell] for cell in cells] for cells in (self.more, self.less))
        if isinstance(more[0], Estimate):
            (value, low, high), (other, lowest, highest) = more[0], less[0]
            shares = np.array([value / other, low / highest, high / lowest])
            return Estimate(*(100 * (shares - 1)))
        values = np.mean(more, axis=0) - np.mean(less, axis=0)
        if len(values) == 1:  # claims are of trainings, of which one tells nothing
            return Estimate(float(values.mean()), np.nan, np.nan)
        return Estimate(*interval(values, level))


@dataclass(frozen=True)
class Claim:
    """``text``, and what it says of numbers: in one of ``options`` all contrasts are above 0; or with ``within``, its only
    contrast lies between -``within`` and ``within``.
    """

    text: str
    options: tuple[tuple[Contrast, ...], ...]
    within: float | None = None


class Outcome(NamedTuple):
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
    ends = []
    try:
        for option in claim.options:
            lowest = [contrast.bounds(numbers, 1 - 0.05 / len(claim.options)) for contrast in option]
            highest = [contrast.bounds(numbers, 1 - 0.05 / len(option)) for contrast in option]
            value, low = min(x.value for x in lowest), min(x.low for x in lowest)
            ends.append((value, low, min(x.high for x in highest)))
    except KeyError:
        return Outcome(np.nan, np.nan, np.nan, OPEN)
    value, low, high = np.max(ends, axis=0).tolist()
    if claim.within is None:
        verdict = HOLDS if low > 0 else FAILS if high < 0 else OPEN
    elif -claim.within < low and high < claim.within:
        verdict = HOLDS
    else:
        verdict = FAILS if low > claim.within or high < -claim.within else OPEN
    return Outcome(value, low, high, verdict)


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
        study = COMPARED_IN.get(compares, "cost" if number == 3 else "comparison")
        for row in published_table(number).itertuples():
            cell = Cell(study, getattr(row, compares), row.dataset, row.bits, row.metric)
            cells[cell] = np.array([[row.published]])
    return cells


def claims_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per claim: ``claim``, ``published``, ``measured``, ``low``, ``high`` (in points of mAP, or percent where a
    claim is of costs), ``verdict``."""
    printed = published_cells()
    rows = [(claim.text, stated(claim, printed)[0], *judge(claim, measured)) for claim in claims]
    return pd.DataFrame(rows, columns=["claim", "published", "measured", "low", "high", "verdict"])


def parts_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per contrast of every claim, which tells what a verdict rests on: ``claim``, ``option``, ``more``, ``less``,
    ``dataset``, ``metric``, ``bits``, ``published``, ``measured``, ``low``, ``high`` (95 % each)."""
    printed, rows = published_cells(), []
    for claim in claims:
        for number, option in enumerate(claim.options, 1):
            for contrast in option:
                alone, cell = Claim(claim.text, ((contrast,),)), contrast.more[0]
                names = [cell.name, contrast.less[0].name]
                if cell.bits != contrast.less[0].bits:
                    names = [f"{name}, {x.bits} bits" for name, x in zip(names, (cell, contrast.less[0]))]
                bits = "mean" if len(contrast.more) > 1 else cell.bits
                about = (claim.text, number, *names, cell.dataset, cell.metric, bits)
                rows.append((*about, stated(alone, printed)[0], *judge(alone, measured)[:3]))
    columns = ["claim", "option", "more", "less", "dataset", "metric", "bits"]
    return pd.DataFrame(rows, columns=[*columns, "published", "measured", "low", "high"])
