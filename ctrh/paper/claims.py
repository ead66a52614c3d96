"""The claims of the article's text as data, and what of them holds for given numbers.

One test reads the article's own numbers and those measured here: is the smallest of some differences above zero?
A row of ``published/claims.csv`` is a claim: ``more`` is above every one of ``less`` (at each of ``bits`` against
each of ``less_bits``). ``how``: "each" length for itself, their "mean", and of a parameter the "chosen" value above
all others or some value "inside" above both ends. The profile fills in what stands in braces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.paper.comparisons import comparison_runs
from ctrh.paper.costs import ALEXNET
from ctrh.paper.effects import precisions
from ctrh.paper.profiles import Profile
from ctrh.paper.published import TABLES, published_table
from ctrh.paper.runs import Run, results
from ctrh.paper.statistics import interval
from ctrh.paper.studies import ablation, backbones, guides, sensitivity
from ctrh.paper.tables import NAMES

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
COMPARED_IN = {"variant": "ablation", "backbone": "backbones", "guide": "guides"}  # else "comparison" and "cost"
STANDS_FOR = {"backbones": backbones.STANDS_FOR, "guides": guides.STANDS_FOR}


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
        """The difference with its interval, paired by seed and query, or with the bounds of two estimates at
        their worst; ``KeyError`` where a cell is missing."""
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
    """All contrasts of one of ``options`` are above 0; or the only one lies between -``within`` and ``within``."""

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

    [low, high] covers the greatest (over options) of the smallest (within one) true differences with 95 % confidence,
    as the lower bounds are at a level divided among the options and the upper ones at a level divided within one. A
    claim holds when all of it is above 0, and does not when all is below; with a bound, inside and outside of it.
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
    borne_out = value > 0 if claim.within is None else abs(value) < claim.within
    return value, None if np.isnan(value) else borne_out


def published_cells() -> dict[Cell, np.ndarray]:
    """Every number that the article prints, as (1, 1)."""
    cells = {}
    for number, (_, compares) in TABLES.items():
        study = COMPARED_IN.get(compares, "cost" if number == 3 else "comparison")
        for row in published_table(number).itertuples():
            about = getattr(row, compares), row.dataset, row.bits, row.metric
            cells[Cell(study, *about)] = np.array([[row.published]])
    return cells


def claims_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per claim, with the published and the measured value in points of mAP, in percent for costs."""
    printed = published_cells()
    rows = [(claim.text, stated(claim, printed)[0], *judge(claim, measured)) for claim in claims]
    return pd.DataFrame(rows, columns=["claim", "published", "measured", "low", "high", "verdict"])


def parts_table(claims: Sequence[Claim], measured: Numbers) -> pd.DataFrame:
    """A row per contrast of every claim, which tells what a verdict rests on; intervals of 95 % each."""
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


def all_claims(profile: Profile) -> list[Claim]:
    """The claims of the article, in its order, of the data sets that ``profile`` has or has something for."""
    with (files("ctrh.paper") / "published" / "claims.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    known = {dataset.article for dataset in profile.datasets}
    return [_claim(row, profile) for row in rows[rows["dataset"].isin(known)].itertuples()]


def _claim(row, profile: Profile) -> Claim:
    dataset, more, options = profile.dataset(row.dataset), row.more, None
    if row.study == "sensitivity":
        chosen = sensitivity.chosen_values(dataset)[more]
        options = _of_parameter(row, profile, chosen)
        more = f"{more} = {chosen:g}"
    score = row.metric.replace("map_", "mAP@")
    score_here = score.replace("5000", str(profile.top))
    text = row.text.format(
        dataset=_here(NAMES[row.dataset], "" if dataset.data.name == row.dataset else dataset.data.name),
        score=_here(score, "" if score_here == score else score_here),
        more=_here(more, _stand_in(more, row.study, profile)),
        less=_here(row.less, _stand_in(row.less, row.study, profile)),
        within=row.within,
    )
    return Claim(text, options or (_contrasts(row),), float(row.within) if row.within else None)


def _contrasts(row) -> tuple[Contrast, ...]:
    def cells(name: str, lengths: str) -> tuple[Cell, ...]:
        return tuple(Cell(row.study, name, row.dataset, int(bits), row.metric) for bits in lengths.split())

    ours, contrasts = cells(row.more, row.bits), []
    for other in row.less.split(";"):
        theirs = cells(other, row.less_bits)
        if row.how == "mean":
            contrasts.append(Contrast(ours, theirs))
        else:
            pairs = zip(ours * len(theirs) if len(ours) == 1 else ours, theirs, strict=True)
            contrasts += [Contrast((one,), (two,)) for one, two in pairs]
    return tuple(contrasts)


def _of_parameter(row, profile: Profile, chosen: float) -> tuple[tuple[Contrast, ...], ...]:
    """What Figure 9 says of a parameter: an option for each value that may be the best, against the others."""
    values = sensitivity.values_of(profile)[row.more]
    about = row.dataset, profile.study.bits, row.metric
    cells = {x: Cell(row.study, f"{row.more} = {x:g}", *about) for x in values}
    ends = (values[0], values[-1]) if row.how == "inside" else [x for x in values if x != chosen]
    best = [x for x in values if x not in ends]
    return tuple(tuple(Contrast((cells[x],), (cells[end],)) for end in ends) for x in best)


def _here(article: str, stand_in: str) -> str:
    return f"{article} (here {stand_in})" if stand_in else article


def _stand_in(article: str, study: str, profile: Profile) -> str:
    """The profile's backbone or guide that stands for the article's; "" for none."""
    if study not in STANDS_FOR:
        return ""
    labels = (label for label, _ in getattr(profile.study, study) if label != article)
    return next((label for label in labels if STANDS_FOR[study].get(label) == article), "")


def runs_of_studies(profile: Profile) -> dict[str, list[Run]]:
    """The runs that claims rest on, by study."""
    return {
        "comparison": comparison_runs(profile),
        "ablation": ablation.variant_runs(profile),
        "sensitivity": sensitivity.sensitivity_runs(profile),
        "backbones": backbones.backbone_runs(profile),
        "guides": guides.guide_runs(profile),
    }


def measured_cells(profile: Profile) -> dict[Cell, np.ndarray]:
    """Every score of the profile's runs, (S, Q) percent of seeds and queries, by the article's names."""
    article = {dataset.data.name: dataset.article for dataset in profile.datasets}
    metrics, cells = {f"map_{profile.top}": "map_5000"}, {}
    for study, runs in runs_of_studies(profile).items():
        for (dataset, bits, metric, label), seeds in precisions(results(runs)).items():
            name, score = STANDS_FOR.get(study, {}).get(label, label), metrics.get(metric, metric)
            cell = Cell(study, name, article[dataset], bits, score)
            cells[cell] = np.stack([seeds[seed] for seed in sorted(seeds)])
    return cells


def cost_cells(rows: pd.DataFrame, profile: Profile) -> dict[Cell, Estimate]:
    """Table 3 (:func:`ctrh.paper.costs.cost_rows`) of the AlexNet networks; a number without bounds is exact."""
    article, cells = {dataset.data.name: dataset.article for dataset in profile.datasets}, {}
    for row in rows[rows["backbone"] == "alexnet"].itertuples():
        low, high = (row.mean if np.isnan(bound) else bound for bound in (row.low, row.high))
        cell = Cell("cost", row.method, article[row.dataset], row.bits, row.metric.removeprefix(ALEXNET))
        cells[cell] = Estimate(row.mean, low, high)
    return cells
