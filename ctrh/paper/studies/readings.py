"""What the unclear places of the article are worth: every reading changed alone, at one code length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pandas as pd

from ctrh.paper.effects import effects
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.studies.ablation import with_refinement

UNSUPERVISED = ("LSH", "SH", "ITQ")


@dataclass(frozen=True)
class Reading:
    """One place that can be read in another way, and what that changes: ``refine`` (``RefineConfig``),
    ``losses`` (``LossConfig``), ``settings`` (``CTRHConfig``); ``rates`` multiplies every learning rate."""

    where: str
    chosen: str
    other: str
    refine: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    rates: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.where}: {self.other}"


def readings(profile: Profile) -> list[Reading]:
    """All places, in the order of the equations, and how else each can be read."""
    heads, ratio = profile.heads, profile.ffn_ratio
    turn = max(1, round(profile.train.epochs / 40))  # WSHRCA's turns of 2 epochs out of 80, in proportion
    turns = f"{turn} epoch{'s' if turn > 1 else ''} each in turn"
    all_readings = [
        Reading("Eq. (5)", "τ = 2", "τ = 1", refine={"tau": 1.0}),
        Reading("Eq. (5)", "τ = 2", "τ = 100", refine={"tau": 100.0}),
        Reading("Eq. (8)", "weighted F_m", "unweighted F_m", refine={"weighted": False}),
        Reading("Eq. (10)", "text features as they come", "of mean length 1", settings={"text_length": 1.0}),
        Reading("Eq. (11)", f"heads: {heads}", "heads: 1", settings={"heads": 1}),
        Reading("Eq. (11)", f"heads: {heads}", "heads: 8", settings={"heads": 8}),
        Reading("Eq. (14)", f"FFN: {ratio} D", "FFN: 1 D", settings={"ffn_ratio": 1}),
        Reading("Eq. (14)", f"FFN: {ratio} D", "FFN: 4 D", settings={"ffn_ratio": 4}),
        Reading("Eq. (16), (17)", "mean over pairs", "sum over pairs", losses={"reduction": "sum"}),
        Reading("Eq. (17)", "r is trained too", "r is a target", losses={"similarity_into_text": False}),
        Reading("Eq. (18)", "A: mean of heads", "A: sum of heads", settings={"head_reduction": "sum"}),
        Reading("Eq. (18)", "A of length 1", "A as it is", losses={"normalise_attention": False}),
        Reading("Eq. (18)", "γ = 1", "γ = 0", losses={"gamma": 0.0}),
        Reading("Eq. (18)", "γ = 1", "γ = 2", losses={"gamma": 2.0}),
        Reading("Eq. (18)", "β = 1/C", "β: inverse frequency", losses={"beta": "inverse_frequency"}),
        Reading("Eq. (19)", "the 10 at (16)", "the 10 at (17)", losses={"weights": (1.0, 1.0, 10.0, 15.0)}),
        Reading("training", "joint", turns, settings={"alternate": turn}),
        Reading("training", "learning rates", "rates / 10", rates=0.1),
        Reading("training", "learning rates", "rates × 10", rates=10.0),
    ]
    # What the profile does anyhow is no other reading.
    return [reading for reading in all_readings if reading.chosen != reading.other]


def reading_runs(profile: Profile) -> list[Run]:
    """CTRH as it is read by default, and with one of :func:`readings` changed at a time, labelled by it."""
    default = Reading("", "", "")
    runs = []
    for dataset, reading, seed in product(profile.datasets, (default, *readings(profile)), profile.seeds):
        full = default_settings("CTRH", profile, dataset)
        train = full.train if reading.rates == 1 else full.train.faster(reading.rates)
        losses = replace(full.losses, **reading.losses)
        settings = replace(full, losses=losses, train=train, **reading.settings)
        where = dataset.data.name, "CTRH", profile.study.bits, seed
        label = "CTRH" if reading is default else reading.label
        run = make_run(profile, *where, settings=settings, label=label)
        runs.append(with_refinement(run, **reading.refine))
    return runs


def reading_effects(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """:func:`ctrh.paper.effects.effects` against the default, behind ``where``, ``chosen`` and ``other``."""
    rows = effects(results, "CTRH")
    places = {reading.label: reading for reading in readings(profile)}
    for i, name in enumerate(("where", "chosen", "other")):
        rows.insert(i, name, [getattr(places[label], name) for label in rows["label"]])
    return rows


def feature_runs(profile: Profile) -> list[Run]:
    """LSH, SH and ITQ on the guide's features and on those of the study's first backbone: the article says
    that they work on CLIP's features, and not on which."""
    label, name = profile.study.backbones[0]
    runs = []
    for dataset, method, seed in product(profile.datasets, UNSUPERVISED, profile.seeds):
        run = make_run(profile, dataset.data.name, method, profile.study.bits, seed, label=method)
        runs += [run, replace(run, inputs=replace(run.inputs, backbone=name), label=f"{method} on {label}")]
    return runs
