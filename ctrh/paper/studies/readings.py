"""What the unclear places of the article are worth: every reading changed alone, at one code length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pandas as pd

from ctrh.paper.effects import effects
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.studies.ablation import with_refinement
from ctrh.paper.tables import score_titles

DEFAULT = "CTRH"
UNSUPERVISED = ("LSH", "SH", "ITQ")


@dataclass(frozen=True)
class Reading:
    """One place that can be read in another way. ``chosen`` says how it is read by default, ``other`` the alternative.

    What the alternative changes: ``refine`` (:class:`ctrh.guide.refine.RefineConfig`), ``losses``
    (:class:`ctrh.losses.LossConfig`), ``settings`` (:class:`ctrh.methods.ctrh.CTRHConfig`); ``rates`` multiplies every
    learning rate.
    """

    where: str
    chosen: str
    other: str
    refine: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    rates: float = 1.0


def readings(profile: Profile) -> tuple[Reading, ...]:
    """All places, in the order of the equations, and how else each can be read."""
    # WSHRCA's turns of 2 epochs out of 80, in proportion.
    turn = max(1, round(profile.train.epochs / 40))
    return (
        Reading("Eq. (5)", "τ = 2", "τ = 1", refine={"tau": 1.0}),
        Reading("Eq. (5)", "τ = 2", "τ = 100", refine={"tau": 100.0}),
        Reading("Eq. (8)", "weighted F_m", "unweighted F_m", refine={"weighted": False}),
        Reading("Eq. (10)", "text features as they come", "of mean length 1", settings={"text_length": 1.0}),
        *(
            Reading("Eq. (11)", f"heads: {profile.heads}", f"heads: {heads}", settings={"heads": heads})
            for heads in (1, 8)
            if heads != profile.heads
        ),
        *(
            Reading(
                "Eq. (14)", f"FFN: {profile.ffn_ratio} D", f"FFN: {ratio} D", settings={"ffn_ratio": ratio}
            )
            for ratio in (1, 4)
            if ratio != profile.ffn_ratio
        ),
        Reading("Eq. (16), (17)", "mean over pairs", "sum over pairs", losses={"reduction": "sum"}),
        Reading("Eq. (17)", "r is trained too", "r is a target", losses={"similarity_into_text": False}),
        Reading("Eq. (18)", "A: mean of heads", "A: sum of heads", settings={"head_reduction": "sum"}),
        Reading("Eq. (18)", "A of length 1", "A as it is", losses={"normalise_attention": False}),
        Reading("Eq. (18)", "γ = 1", "γ = 0", losses={"gamma": 0.0}),
        Reading("Eq. (18)", "γ = 1", "γ = 2", losses={"gamma": 2.0}),
        Reading("Eq. (18)", "β = 1/C", "β: inverse frequency", losses={"beta": "inverse_frequency"}),
        Reading("Eq. (19)", "the 10 at (16)", "the 10 at (17)", losses={"weights": (1.0, 1.0, 10.0, 15.0)}),
        Reading(
            "training",
            "joint",
            f"{turn} epoch{'s' if turn > 1 else ''} each in turn",
            settings={"alternate": turn},
        ),
        Reading("training", "learning rates", "rates / 10", rates=0.1),
        Reading("training", "learning rates", "rates × 10", rates=10.0),
    )


def label_of(reading: Reading) -> str:
    return f"{reading.where}: {reading.other}"


def reading_runs(profile: Profile) -> list[Run]:
    """CTRH as it is read by default, labelled ``DEFAULT``, and with one of :func:`readings` changed at a time."""
    grid = product(profile.datasets, (None, *readings(profile)), profile.seeds)
    return [_run(profile, dataset, reading, seed) for dataset, reading, seed in grid]


def _run(profile: Profile, dataset: DatasetSettings, reading: Reading | None, seed: int) -> Run:
    name, bits = dataset.data.name, profile.study.bits
    if reading is None:
        return make_run(profile, name, "CTRH", bits, seed, label=DEFAULT)
    full = default_settings("CTRH", profile, dataset)
    train = full.train if reading.rates == 1 else full.train.faster(reading.rates)
    settings = replace(full, losses=replace(full.losses, **reading.losses), train=train, **reading.settings)
    run = make_run(profile, name, "CTRH", bits, seed, settings=settings, label=label_of(reading))
    return with_refinement(run, **reading.refine)


def reading_effects(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """The rows of :func:`ctrh.paper.effects.effects` against the default, behind ``where``, ``chosen`` and ``other``."""
    rows = effects(results, DEFAULT)
    places = {label_of(reading): reading for reading in readings(profile)}
    told = [(place.where, place.chosen, place.other) for place in rows["label"].map(places)]
    return pd.concat([pd.DataFrame(told, columns=["where", "chosen", "other"]), rows], axis=1)


def effects_table(rows: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """The rows of :func:`reading_effects` as text, a line a reading, a column for each data set and score."""
    titles = {metric: title.split(" ")[0] for metric, title in score_titles(profile).items()}
    bounds = [
        "" if row.low != row.low else f" ({row.low:+.1f} to {row.high:+.1f})" for row in rows.itertuples()
    ]
    notes = rows["note"].where(rows["note"] == "", ", " + rows["note"])
    texts = rows.assign(
        text=rows["difference"].map("{:+.2f}".format) + bounds + notes, metric=rows["metric"].map(titles)
    )
    index, columns = ["where", "chosen", "other"], ["dataset", "metric"]
    return texts.pivot_table("text", index, columns, aggfunc="first", sort=False)


def feature_runs(profile: Profile) -> list[Run]:
    """LSH, SH and ITQ on the guide's features, labelled by the method, and on those of the study's first backbone.

    The article says that they work on CLIP's features, and not on which.
    """
    label, name = profile.study.backbones[0]
    runs = []
    for dataset, method, seed in product(profile.datasets, UNSUPERVISED, profile.seeds):
        run = make_run(profile, dataset.data.name, method, profile.study.bits, seed, label=method)
        other = replace(run.inputs, backbone=name)
        runs += [run, replace(run, inputs=other, label=f"{method} on {label}")]
    return runs


def feature_effects(results: Sequence[RunResult]) -> pd.DataFrame:
    """:func:`ctrh.paper.effects.effects` of the other features over the guide's, for each method of :func:`feature_runs`."""
    frames = [
        effects([each for each in results if each.run.method == method], method) for method in UNSUPERVISED
    ]
    return pd.concat(frames, ignore_index=True)
