"""The claims of the article's text, in the words of a profile, and the numbers of its runs that they rest on.

A row of ``published/claims.csv`` is a claim: ``more`` is above every one of ``less`` (at each of ``bits`` against each of
``less_bits``). ``how``: "each" length for itself, their "mean", and of a parameter the "chosen" value above all others
or some value "inside" above both ends. ``{dataset}``, ``{score}``, ``{more}`` and ``{less}`` are
filled in by the profile.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd

from ctrh.paper.claims import Cell, Claim, Contrast, Estimate
from ctrh.paper.comparisons import comparison_runs
from ctrh.paper.costs import ALEXNET
from ctrh.paper.effects import precisions
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, results
from ctrh.paper.studies import ablation, backbones, guides, sensitivity
from ctrh.paper.tables import NAMES

STANDS_FOR = {"backbones": backbones.STANDS_FOR, "guides": guides.STANDS_FOR}


def all_claims(profile: Profile) -> list[Claim]:
    """The claims of the article, in its order, of the data sets that ``profile`` has or has something for."""
    with (files("ctrh.paper") / "published" / "claims.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    known = {dataset.article for dataset in profile.datasets}
    return [_claim(row, profile) for row in rows[rows["dataset"].isin(known)].itertuples()]


def _claim(row, profile: Profile) -> Claim:
    dataset, more = profile.dataset(row.dataset), row.more
    if row.study == "sensitivity":
        chosen = sensitivity.chosen_values(dataset)[more]
        options = _of_parameter(row, profile, chosen)
        more = f"{more} = {chosen:g}"
    else:
        options = (_contrasts(row),)
    score = {"map_all": "mAP@all", "map_5000": "mAP@5000"}.get(row.metric, row.metric)
    text = row.text.format(
        dataset=_here(NAMES[row.dataset], "" if dataset.data.name == row.dataset else dataset.data.name),
        score=_here(score, f"mAP@{profile.top}" if row.metric == "map_5000" and profile.top != 5000 else ""),
        more=_here(more, _stand_in(more, row.study, profile)),
        less=_here(row.less, _stand_in(row.less, row.study, profile)),
        within=row.within,
    )
    return Claim(text, options, float(row.within) if row.within else None)


def _contrasts(row) -> tuple[Contrast, ...]:
    def cells(name: str, lengths: str) -> tuple[Cell, ...]:
        return tuple(Cell(row.study, name, row.dataset, int(bits), row.metric) for bits in lengths.split())

    ours, contrasts = cells(row.more, row.bits), []
    for other in row.less.split(";"):
        theirs = cells(other, row.less_bits)
        if row.how == "mean":
            contrasts.append(Contrast(ours, theirs))
            continue
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
    stands_for = STANDS_FOR.get(study, {})
    labels = [label for label, _ in getattr(profile.study, study)] if stands_for else []
    return next((label for label in labels if label != article and stands_for.get(label) == article), "")


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
    """Every score of the profile's runs, (S, Q) percent of seeds and queries, by the article's names.

    Finished runs are read back, missing ones computed.
    """
    article = {dataset.data.name: dataset.article for dataset in profile.datasets}
    metrics = {f"map_{profile.top}": "map_5000"}
    cells = {}
    for study, runs in runs_of_studies(profile).items():
        for (dataset, bits, metric, label), seeds in precisions(results(runs)).items():
            name, score = STANDS_FOR.get(study, {}).get(label, label), metrics.get(metric, metric)
            cell = Cell(study, name, article[dataset], bits, score)
            cells[cell] = np.stack([seeds[seed] for seed in sorted(seeds)])
    return cells


def cost_cells(rows: pd.DataFrame, profile: Profile) -> dict[Cell, Estimate]:
    """The times and sizes of Table 3 (:func:`ctrh.paper.costs.cost_rows`): of the AlexNet networks, as the article's.

    A number without bounds is exact.
    """
    article = {dataset.data.name: dataset.article for dataset in profile.datasets}
    rows = rows[rows["backbone"] == "alexnet"]
    cells = {}
    for row in rows.itertuples():
        low, high = (row.mean if np.isnan(bound) else bound for bound in (row.low, row.high))
        cell = Cell("cost", row.method, article[row.dataset], row.bits, row.metric.removeprefix(ALEXNET))
        cells[cell] = Estimate(row.mean, low, high)
    return cells
