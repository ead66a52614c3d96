"""The claims of the article's text, each with the cells of its tables and figures that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctrh.paper.claims import Cell, Claim, Contrast
from ctrh.paper.profiles import Profile
from ctrh.paper.studies import backbones, guides
from ctrh.paper.studies.sensitivity import chosen_values, values_of
from ctrh.paper.tables import NAMES

BITS = (16, 32, 48, 64)
SCORES = {"map_all": "mAP@all", "map_5000": "mAP@5000"}
DATASETS = ("mirflickr", "nuswide")
METHODS = ("LSH", "SH", "ITQ", "WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH")
STEPS = {"TR": "Baseline", "TR+TW": "TR", "CTRH": "TR+TW"}
# What "about equal" and "on a par" mean here; the article gives no bound.
ABOUT_EQUAL, ON_A_PAR = 0.5, 10.0


def all_claims(profile: Profile) -> list[Claim]:
    """The claims of the article, in its order, told for the data sets and the k of ``profile``."""
    told = _Telling(profile)
    return [
        *_comparison(told),
        *_ablation(told),
        *_sensitivity(told, profile),
        *_backbones(told),
        *_guides(told),
    ]


@dataclass(frozen=True)
class _Telling:
    """How a data set and a score are called: by the article's name, and by what stands for it in the profile."""

    profile: Profile

    @property
    def datasets(self) -> tuple[str, ...]:
        """The article's data sets that the profile has, or has something for."""
        return tuple(name for name in DATASETS if any(each.article == name for each in self.profile.datasets))

    def dataset(self, article: str) -> str:
        own = self.profile.dataset(article).data.name
        return NAMES[article] if own == article else f"{NAMES[article]} (here {own})"

    def called(self, article: str, stands_for: Mapping[str, str], labels: Sequence[str]) -> str:
        """A backbone or guide by the article's name, and by that of the profile's which stands for it."""
        own = [label for label in labels if label != article and stands_for.get(label) == article]
        return f"{article} (here {own[0]})" if own else article

    def score(self, metric: str) -> str:
        own = metric != "map_5000" or self.profile.top == 5000
        return SCORES[metric] if own else f"{SCORES[metric]} (here mAP@{self.profile.top})"


def _pairs(
    study: str, more: str, less: Sequence[str], dataset: str, metric: str, bits: Sequence[int] = BITS
) -> tuple[Contrast, ...]:
    """``more`` against each of ``less`` at each length."""
    return tuple(
        Contrast((Cell(study, more, dataset, each, metric),), (Cell(study, other, dataset, each, metric),))
        for other in less
        for each in bits
    )


def _comparison(told: _Telling) -> list[Claim]:
    found = []
    for metric in SCORES:
        for dataset in told.datasets:
            where, score = told.dataset(dataset), told.score(metric)
            others = _pairs("comparison", "CTRH", METHODS[:-1], dataset, metric)
            found.append(Claim(f"CTRH has the highest {score} at every length on {where}", (others,)))
    for metric in SCORES:
        for dataset in told.datasets:
            where, score = told.dataset(dataset), told.score(metric)
            both = (
                tuple(Cell("comparison", name, dataset, bits, metric) for bits in BITS)
                for name in ("CTRH", "WSHRCA")
            )
            text = f"CTRH is ahead of WSHRCA in {score} on {where}, averaged over lengths"
            found.append(Claim(text, ((Contrast(*both),),)))
    found += [claim for metric in SCORES for claim in _lengths(told, metric)]
    costs = {"time_ms": "takes the time of WSHRCA to encode", "memory_mb": "needs the memory of WSHRCA"}
    for metric, verb in costs.items():
        for dataset in told.datasets:
            both = ((Cell("cost", name, dataset, 64, metric),) for name in ("CTRH", "WSHRCA"))
            text = f"CTRH {verb} (within {ON_A_PAR:g} %) on {told.dataset(dataset)}"
            found.append(Claim(text, ((Contrast(*both, relative=True),),), ON_A_PAR))
    return found


def _lengths(told: _Telling, metric: str) -> list[Claim]:
    if "mirflickr" not in told.datasets:
        return []
    where, score = told.dataset("mirflickr"), told.score(metric)
    of = {bits: (Cell("comparison", "CTRH", "mirflickr", bits, metric),) for bits in BITS}
    shorter = tuple(Contrast(of[48], of[bits]) for bits in (16, 32))
    about = f"64 bits are about as good as 48 (within {ABOUT_EQUAL} points) in {score} on {where}"
    return [
        Claim(f"48 bits give CTRH a higher {score} than 16 and 32 on {where}", (shorter,)),
        Claim(about, ((Contrast(of[64], of[48]),),), ABOUT_EQUAL),
    ]


def _ablation(told: _Telling) -> list[Claim]:
    return [
        Claim(
            f"{step} improves on {before} in {told.score(metric)} at every length on {told.dataset(dataset)}",
            (_pairs("ablation", step, (before,), dataset, metric),),
        )
        for metric in SCORES
        for dataset in told.datasets
        for step, before in STEPS.items()
    ]


def _sensitivity(told: _Telling, profile: Profile) -> list[Claim]:
    found, values, bits = [], values_of(profile), profile.study.bits
    metric, score = "map_5000", told.score("map_5000")
    for dataset in told.datasets:
        where = told.dataset(dataset)

        def pairs(parameter: str, value: float, others: Sequence[float], dataset: str = dataset):
            names = [f"{parameter} = {other:g}" for other in others if other != value]
            return _pairs("sensitivity", f"{parameter} = {value:g}", names, dataset, metric, (bits,))

        ends = min(values["α"]), max(values["α"])
        inside = tuple(pairs("α", value, ends) for value in values["α"] if value not in ends)
        found.append(Claim(f"An α between 0 and 1 gives a higher {score} than both ends on {where}", inside))
        for parameter, value in chosen_values(profile.dataset(dataset)).items():
            text = f"{parameter} = {value:g} gives the highest {score} of the values tried on {where}"
            found.append(Claim(text, (pairs(parameter, value, values[parameter]),)))
    return found


def _backbones(told: _Telling) -> list[Claim]:
    if (
        "mirflickr" not in told.datasets
    ):  # of NUS-WIDE the article does not claim it, nor does its Table 6 show it
        return []
    labels = [label for label, _ in told.profile.study.backbones]
    deeper = ("ResNet-50", "ViT-B-16", "CLIP (ViT-B-32)")
    called = {name: told.called(name, backbones.STANDS_FOR, labels) for name in ("AlexNet", *deeper)}
    return [
        Claim(
            f"{called[name]} is a better backbone than {called['AlexNet']} in {told.score(metric)} at every length on "
            f"{told.dataset('mirflickr')}",
            (_pairs("backbones", name, ("AlexNet",), "mirflickr", metric),),
        )
        for metric in SCORES
        for name in deeper
    ]


def _guides(told: _Telling) -> list[Claim]:
    labels = [label for label, _ in told.profile.study.guides]
    clip, other = (told.called(name, guides.STANDS_FOR, labels) for name in ("CLIP", "OpenCLIP"))
    return [
        Claim(
            f"{clip} is a better guide than {other} in {told.score(metric)} at every length on {told.dataset(dataset)}",
            (_pairs("guides", "CLIP", ("OpenCLIP",), dataset, metric),),
        )
        for metric in SCORES
        for dataset in told.datasets
    ]
