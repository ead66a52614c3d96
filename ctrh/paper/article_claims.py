"""The claims of the article's text, read from ``published/claims.csv``, told in the words of a profile.

A row is a claim: ``more`` is above every one of ``less`` (at each of ``bits`` against each of ``less_bits``). ``how``:
"each" length for itself, their "mean", "relative" in percent, and of a parameter the "chosen" value above all others or
some value "inside" above both ends. ``{dataset}``, ``{score}``, ``{more}`` and ``{less}`` are filled in by the profile.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

from ctrh.paper.claims import Cell, Claim, Contrast
from ctrh.paper.profiles import Profile
from ctrh.paper.studies import backbones, guides
from ctrh.paper.studies.sensitivity import chosen_values, values_of
from ctrh.paper.tables import NAMES

SCORES = {"map_all": "mAP@all", "map_5000": "mAP@5000"}


def all_claims(profile: Profile) -> list[Claim]:
    """The claims of the article, in its order, of the data sets that ``profile`` has or has something for."""
    with (files("ctrh.paper") / "published" / "claims.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    known = {dataset.article for dataset in profile.datasets}
    return [_claim(row, profile) for row in rows[rows["dataset"].isin(known)].itertuples()]


def _claim(row, profile: Profile) -> Claim:
    within = float(row.within) if row.within else None
    more, others = row.more, row.less.split(";")
    if row.study == "sensitivity":
        options = _of_parameter(row, profile)
        more = f"{more} = {chosen_values(profile.dataset(row.dataset))[more]:g}"
    else:
        options = (_contrasts(row, more, others),)
    text = row.text.format(
        dataset=_dataset(row.dataset, profile),
        score=_score(row.metric, profile),
        more=_called(more, row.study, profile),
        less=_called(row.less, row.study, profile),
        within=row.within,
    )
    return Claim(text, options, within)


def _contrasts(row, more: str, others: list[str]) -> tuple[Contrast, ...]:
    def cells(name: str, lengths: str) -> tuple[Cell, ...]:
        return tuple(Cell(row.study, name, row.dataset, int(bits), row.metric) for bits in lengths.split())

    ours = cells(more, row.bits)
    contrasts = []
    for other in others:
        theirs = cells(other, row.less_bits)
        if row.how == "mean":
            contrasts.append(Contrast(ours, theirs))
            continue
        pairs = zip(ours * len(theirs) if len(ours) == 1 else ours, theirs, strict=True)
        contrasts += [Contrast((one,), (two,), relative=row.how == "relative") for one, two in pairs]
    return tuple(contrasts)


def _of_parameter(row, profile: Profile) -> tuple[tuple[Contrast, ...], ...]:
    """What Figure 9 says of a parameter: an option for each value that may be the best, against the others."""
    values, bits = values_of(profile)[row.more], profile.study.bits

    def above(value: float, others) -> tuple[Contrast, ...]:
        one, *rest = (
            Cell(row.study, f"{row.more} = {x:g}", row.dataset, bits, row.metric) for x in (value, *others)
        )
        return tuple(Contrast((one,), (other,)) for other in rest)

    if row.how == "inside":
        ends = min(values), max(values)
        return tuple(above(value, ends) for value in values if value not in ends)
    chosen = chosen_values(profile.dataset(row.dataset))[row.more]
    return (above(chosen, [value for value in values if value != chosen]),)


def _dataset(article: str, profile: Profile) -> str:
    name = profile.dataset(article).data.name
    return NAMES[article] if name == article else f"{NAMES[article]} (here {name})"


def _score(metric: str, profile: Profile) -> str:
    score = SCORES.get(metric, metric)
    return score if metric != "map_5000" or profile.top == 5000 else f"{score} (here mAP@{profile.top})"


def _called(article: str, study: str, profile: Profile) -> str:
    """A backbone or guide by the article's name, and by that of the profile's which stands for it."""
    studies = {
        "backbones": (profile.study.backbones, backbones.STANDS_FOR),
        "guides": (profile.study.guides, guides.STANDS_FOR),
    }
    listed, stands_for = studies.get(study, ((), {}))
    names = [label for label, _ in listed if label != article and stands_for.get(label) == article]
    return f"{article} (here {names[0]})" if names else article
