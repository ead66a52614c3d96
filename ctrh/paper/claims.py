"""The claims of the article's text as data, and what of them holds for given numbers.

One test reads the article's own numbers and those measured here: is the smallest of some differences above zero?
A row of ``published/claims.csv`` is a claim: ``more`` is above every one of ``less`` (at each of ``bits`` against
each of ``less_bits``). ``how``: "each" length for itself, their "mean", and of a parameter the "chosen" value above
all others or some value "inside" above both ends. With ``within`` the difference is said to be ``by`` (0), give or take as
much; what ``by`` says is of the article's data, and judged on these alone. The profile fills in what stands in braces.

Many claims are judged at once, and one in twenty would be by chance: verdicts are Holm's (1979), so that with 95 %
confidence *none* is wrong. Intervals are of 95 % each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from ctrh.paper.comparisons import comparison_runs
from ctrh.paper.costs import ALEXNET
from ctrh.paper.effects import Precisions, label_of, precisions
from ctrh.paper.profiles import DataConfig, Profile
from ctrh.paper.published import TABLES, published_table
from ctrh.paper.runs import Run, RunResult, results
from ctrh.paper.statistics import interval
from ctrh.paper.studies import ablation, backbones, guides, sensitivity
from ctrh.paper.tables import NAMES

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
COMPARED_IN = {"variant": "ablation", "backbone": "backbones", "guide": "guides"}  # else "comparison" and "cost"
STANDS_FOR = {"backbones": backbones.STANDS_FOR, "guides": guides.STANDS_FOR}
ERROR = 0.05
# Where the curves of Figures 4-7 are compared: at ranks, and at percents of recall.
POINTS = {
    "P@N": {f"P@{n}": n for n in (1, 10, 100, 250, 500, 750, 1000)},
    "PR": {f"precision at {share} % recall": share for share in (10, 30, 50, 70, 90)},
}


class Cell(NamedTuple):
    """One number, in the article's names: ``study``: "comparison", "cost", "ablation", "backbones", "guides", "sensitivity"."""

    study: str
    name: str
    dataset: str
    bits: int
    metric: str


class Estimate(NamedTuple):
    """A number with its own bounds (95 %), such as a median time, which is above 0."""

    value: float
    low: float
    high: float

    def at(self, level: float) -> Estimate:
        """With bounds of another level, as if the logarithm were normal."""
        wider = norm.ppf((1 + level) / 2) / norm.ppf(0.975)
        return Estimate(self.value, *(self.value * (bound / self.value) ** wider for bound in self[1:]))


# What is known of a cell: (S, Q) scores of seeds and queries, or an estimate.
Numbers = Mapping[Cell, np.ndarray | Estimate]


@dataclass(frozen=True)
class Contrast:
    """The mean of the cells ``more`` less that of ``less``; of two estimates, which are costs, in percent of the latter."""

    more: tuple[Cell, ...]
    less: tuple[Cell, ...]

    def known(self, numbers: Numbers) -> bool:
        """Whether there is a number for every cell."""
        return all(cell in numbers for cell in (*self.more, *self.less))

    def bounds(self, numbers: Numbers, level: float = 0.95) -> Estimate:
        """The difference with its interval, paired by seed and query, or with the bounds of two estimates at
        their worst; ``KeyError`` where a cell is missing."""
        more, less = ([numbers[cell] for cell in cells] for cells in (self.more, self.less))
        if isinstance(more[0], Estimate):
            (value, low, high), (other, lowest, highest) = more[0].at(level), less[0].at(level)
            shares = np.array([value / other, low / highest, high / lowest])
            return Estimate(*(100 * (shares - 1)))
        values = np.mean(more, axis=0) - np.mean(less, axis=0)
        if len(values) == 1:  # claims are of trainings, of which one tells nothing
            return Estimate(float(values.mean()), np.nan, np.nan)
        return Estimate(*interval(values, level))


@dataclass(frozen=True)
class Claim:
    """All contrasts of one of ``options`` are above 0; or the only one is ``by``, give or take ``within``."""

    text: str
    options: tuple[tuple[Contrast, ...], ...]
    within: float | None = None
    by: float = 0.0


class Outcome(NamedTuple):
    """``value``: the smallest difference of the best option (the difference itself with a bound), its interval, the
    verdict, and what has to be said about it."""

    value: float
    low: float
    high: float
    verdict: str
    note: str


def judge(claim: Claim, numbers: Numbers, error: float = ERROR) -> Outcome:
    """What ``numbers`` say of a claim, by those of its parts that have numbers; undecided where none has.

    [low, high] covers the greatest (over options) of the smallest (within one) true differences but for ``error``, as
    the lower bounds are at a level divided among the options and the upper ones at a level divided within one. A
    claim holds when all of it is above 0, and does not when all is below; with a bound, inside and outside of it.
    """
    ends, parts, notes = [], [contrast for option in claim.options for contrast in option], []
    for option in claim.options:
        if not (known := [contrast for contrast in option if contrast.known(numbers)]):
            continue
        lowest = [contrast.bounds(numbers, 1 - error / len(claim.options)) for contrast in known]
        highest = [contrast.bounds(numbers, 1 - error / len(known)) for contrast in known]
        value, low = min(x.value for x in lowest), min(x.low for x in lowest)
        ends.append((value, low, min(x.high for x in highest)))
    if not ends:
        return Outcome(np.nan, np.nan, np.nan, OPEN, "")
    value, low, high = np.max(ends, axis=0).tolist()
    if (count := sum(part.known(numbers) for part in parts)) < len(parts):
        notes.append(f"{count} of {len(parts)} comparisons, the others have no numbers")
    if claim.within is None:
        verdict = HOLDS if low > 0 else FAILS if high < 0 else OPEN
    else:
        least, most = claim.by - claim.within, claim.by + claim.within
        verdict = HOLDS if least < low and high < most else FAILS if low > most or high < least else OPEN
        if low < high:
            of_costs = isinstance(numbers[parts[0].more[0]], Estimate)
            what, unit = ("measurements", "%") if of_costs else ("queries and seeds", "points")
            notes.append(f"these {what} cannot decide less than {(high - low) / 2:.2g} {unit}")
    return Outcome(value, low, high, verdict, "; ".join(notes))


def judged(claims: Sequence[Claim], numbers: Numbers) -> list[Outcome]:
    """:func:`judge` of all claims, the verdicts by Holm's procedure: with m of them open, what is decided at an error of
    0.05 / m is decided; then the rest again, with a smaller m. Claims without an interval cannot be wrong, and are not
    counted."""
    outcomes = [judge(claim, numbers) for claim in claims]
    left = [number for number, outcome in enumerate(outcomes) if outcome.low <= outcome.high]
    decided = left
    while decided and left:
        again = {number: judge(claims[number], numbers, ERROR / len(left)) for number in left}
        for number, outcome in again.items():
            outcomes[number] = outcomes[number]._replace(verdict=outcome.verdict)
        decided = [number for number, outcome in again.items() if outcome.verdict != OPEN]
        left = [number for number in left if number not in decided]
    return outcomes


def stated(claim: Claim, numbers: Numbers) -> tuple[float, bool | None]:
    """The value of the article's own numbers and whether they bear the claim out; NaN and None where it prints none."""
    value = judge(claim, numbers).value
    borne_out = value > 0 if claim.within is None else abs(value - claim.by) < claim.within
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
    """A row per claim, with the published and the measured value in points, in percent for costs, and :func:`judged`."""
    printed = published_cells()
    outcomes = zip(claims, judged(claims, measured), strict=True)
    rows = [(claim.text, stated(claim, printed)[0], *outcome) for claim, outcome in outcomes]
    return pd.DataFrame(rows, columns=["claim", "published", "measured", "low", "high", "verdict", "note"])


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
    own = {dataset.article for dataset in profile.datasets if dataset.data == DataConfig(dataset.article)}
    kept = rows["dataset"].isin(known) & ((rows["by"] == "") | rows["dataset"].isin(own))
    return [_claim(row, profile) for row in rows[kept].itertuples()]


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
        by=row.by,
    )
    bound = float(row.within) if row.within else None
    return Claim(text, options or (_contrasts(row),), bound, float(row.by or 0))


def _contrasts(row) -> tuple[Contrast, ...]:
    def cells(name: str, lengths: str, metric: str) -> tuple[Cell, ...]:
        return tuple(Cell(row.study, name, row.dataset, int(bits), metric) for bits in lengths.split())

    contrasts = []
    for other, metric in product(row.less.split(";"), POINTS.get(row.metric, (row.metric,))):
        ours, theirs = cells(row.more, row.bits, metric), cells(other, row.less_bits, metric)
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
    """Every score of the profile's runs, (S, Q) percent of seeds and queries, by the article's names; of curves (S, 1), as a
    run keeps the queries' mean alone."""
    article = {dataset.data.name: dataset.article for dataset in profile.datasets}
    metrics, cells = {f"map_{profile.top}": "map_5000"}, {}
    for study, runs in runs_of_studies(profile).items():
        found = results(runs)
        scores = precisions(found) | (_curves(found) if study == "comparison" else {})
        for (dataset, bits, metric, label), seeds in scores.items():
            name, score = STANDS_FOR.get(study, {}).get(label, label), metrics.get(metric, metric)
            cell = Cell(study, name, article[dataset], bits, score)
            cells[cell] = np.stack([seeds[seed] for seed in sorted(seeds)])
    return cells


def _curves(found: Sequence[RunResult]) -> Precisions:
    """The curves at ``POINTS``, each as the one "query" of its run; ranks beyond the database are left out."""
    curves: Precisions = {}
    for result in found:
        run, scores = result.run, result.scores
        by_rank = dict(zip(scores.ns, scores.precision_at, strict=True))
        values = {name: by_rank[n] for name, n in POINTS["P@N"].items() if n <= scores.curve_ranks[-1]}
        for name, share in POINTS["PR"].items():
            values[name] = np.interp(share / 100, scores.curve_recall, scores.curve_precision)
        for name, value in values.items():
            curves.setdefault((run.data.name, run.bits, name, label_of(result)), {})[run.seed] = np.array([100 * value])
    return curves


def cost_cells(rows: pd.DataFrame, profile: Profile) -> dict[Cell, Estimate]:
    """Table 3 (:func:`ctrh.paper.costs.cost_rows`) of the AlexNet networks; a number without bounds is exact."""
    article, cells = {dataset.data.name: dataset.article for dataset in profile.datasets}, {}
    for row in rows[rows["backbone"] == "alexnet"].itertuples():
        low, high = (row.mean if np.isnan(bound) else bound for bound in (row.low, row.high))
        cell = Cell("cost", row.method, article[row.dataset], row.bits, row.metric.removeprefix(ALEXNET))
        cells[cell] = Estimate(row.mean, low, high)
    return cells


def by_dataset(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` of claims with the data set that each speaks of (``dataset``) taken out of its text (``subject``)."""
    named = table["claim"].str.extract(r"( on (?:MirFlickr|NUS-WIDE)(?: \(here [^)]*\))?)", expand=False).fillna("")
    subjects = [claim.replace(where, "") if where else claim for claim, where in zip(table["claim"], named)]
    return table.assign(dataset=named.str.removeprefix(" on "), subject=subjects)
