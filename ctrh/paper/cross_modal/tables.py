"""The grids of the cross-modal study, and tidy rows out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.data.tables import FolderError
from ctrh.methods.cross_modal import READINGS
from ctrh.methods.fjsph_losses import TERMS
from ctrh.methods.registry import CROSS_MODAL
from ctrh.paper.comparisons import ranked
from ctrh.paper.cross_modal.pairs import FeatureConfig
from ctrh.paper.cross_modal.runs import DIRECTIONS, CrossResult, CrossRun
from ctrh.paper.profiles import CrossData, Profile
from ctrh.paper.runs import make_run
from ctrh.paper.tasks import photos_of
from ctrh.retrieval.metrics import evaluate


class Variant(NamedTuple):
    """FJSPH with another guide, the ``term`` (of ``TERMS``) at weight 0, or other ``losses`` or ``settings``."""

    label: str
    what: str = ""
    guide: str = "FLIP"
    term: str = ""
    losses: Mapping[str, object] = {}
    settings: Mapping[str, object] = {}


FULL = Variant("FJSPH")
WITHOUT = (  # FJSPH less one thing
    Variant("no FLIP masking", "the guide is tuned on whole pictures", guide="unmasked"),
    Variant("no tuning", "the guide's features as they come", guide="CLIP"),
    Variant("no contrastive term", "its weight is 0", term="contrastive"),
    Variant("sample-wise only", "the cluster-wise term has weight 0", term="cluster"),
    Variant("cluster-wise only", "the sample-wise term has weight 0", term="sample"),
)
CHOICES = (  # the other ways to read the abstract (docs/fjsph_choices.md)
    Variant("all pairs are negatives", "also pairs that share a label", losses={"negatives": "all"}),
    Variant("similarity by overlap", "the cosine of the label vectors", losses={"overlap": "cosine"}),
    Variant("within modalities, too", "photos with photos, texts with texts", losses={"within": True}),
    Variant("fixed centres", "rows of a Hadamard matrix, not learned", losses={"anchors": "hadamard"}),
    Variant("contrast on codes", "not on representations", settings={"contrast_on": "codes"}),
)


def with_present_data(profile: Profile) -> tuple[Profile, tuple[str, ...]]:
    """``profile`` with those data sets of the study that belong to its own, or are optional and on this machine,
    and why others are left out. ``ValueError`` for none."""
    own = {settings.article for settings in profile.datasets}
    kept, absent = [], []
    for data in profile.cross.datasets:
        try:
            if data.article in own or (data.optional and photos_of(data.data)):
                kept.append(data)
        except FolderError as error:
            absent.append(f"{data.name}: {error}")
    if not kept:
        remedy = f"add one for {', '.join(sorted(own))}"
        raise ValueError(f"profile {profile.name}: none of its data sets is in cross.datasets: {remedy}")
    return replace(profile, cross=replace(profile.cross, datasets=tuple(kept))), tuple(absent)


def feature_config(profile: Profile, kind: str) -> FeatureConfig:
    """The guide as it comes ("CLIP"), tuned with hidden patches ("FLIP"), or on whole pictures ("unmasked")."""
    if kind == "CLIP":
        return FeatureConfig(profile.guide)
    flip, tuned = profile.cross.flip, profile.cross.tuned
    return FeatureConfig(profile.guide, flip if kind == "FLIP" else replace(flip, ratio=0.0), tuned)


def fjsph_run(profile: Profile, data: CrossData, bits: int, seed: int, variant: Variant) -> CrossRun:
    """FJSPH as ``profile`` prescribes it, but for what ``variant`` changes."""
    base, features = profile.cross.fjsph, feature_config(profile, variant.guide)
    weights = tuple(weight * (term != variant.term) for term, weight in zip(TERMS, base.losses.weights))
    losses = replace(base.losses, weights=weights, **variant.losses)
    train = replace(base.train, seed=seed)
    settings = replace(base, bits=bits, losses=losses, train=train, **variant.settings)
    about = data, FULL.label, bits, seed, features, profile.cross.ks, variant.label, settings
    return CrossRun(*about, convention=profile.convention)


def comparison_runs(profile: Profile) -> list[CrossRun]:
    """All methods on all data sets, lengths and seeds; CTRH for the seeds of the profile's other tables, on an
    optional data set with the settings of the profile's first."""
    runs, cross = [], profile.cross
    own = {settings.article for settings in profile.datasets}
    for data, bits, seed, method in product(cross.datasets, cross.bits, cross.seeds, CROSS_MODAL.values()):
        if method.needs == "labels":
            runs.append(fjsph_run(profile, data, bits, seed, FULL))
            continue
        for kind in method.guides:
            name = method.name
            label = f"{name} ({kind})" if len(method.guides) > 1 else name
            about = data, name, bits, seed, feature_config(profile, kind), cross.ks, label
            run = CrossRun(*about, convention=profile.convention)
            if method.needs == "pairs":
                runs.append(run)
            elif seed in profile.seeds:
                like = data.article if data.article in own else profile.datasets[0].article
                taught = replace(make_run(profile, like, name, bits, seed), data=data.data)
                run = replace(run, ctrh=taught)
                for reading, suffix in zip(READINGS, ("", " (nearest)"), strict=True):
                    runs.append(replace(run, reading=reading, label=label + suffix))
    return runs


def ablation_runs(profile: Profile) -> list[CrossRun]:
    """FJSPH and ``WITHOUT``, at one length."""
    return _variant_runs(profile, WITHOUT, profile.cross.seeds)


def choice_runs(profile: Profile) -> list[CrossRun]:
    """FJSPH and ``CHOICES``, at one length and for one seed."""
    return _variant_runs(profile, CHOICES, profile.cross.seeds[:1])


def _variant_runs(profile: Profile, variants: Sequence[Variant], seeds: Sequence[int]) -> list[CrossRun]:
    grid, bits = product(profile.cross.datasets, (FULL, *variants), seeds), profile.cross.ablation_bits
    return [fjsph_run(profile, data, bits, seed, variant) for data, variant, seed in grid]


def both_ways(compare: Callable, results: Sequence[CrossResult], *labels: str) -> pd.DataFrame:
    """``compare`` (:mod:`ctrh.paper.effects`) of the ``results`` in each ``direction``, the first column."""
    frames = {way: compare([result.view(way) for result in results], *labels) for way in DIRECTIONS}
    return pd.concat(frames, names=["direction"]).reset_index("direction").reset_index(drop=True)


def word_answers(result: CrossResult, count: int = 10) -> pd.DataFrame:
    """The words of the pairs ask for photos of the database: rows for :mod:`ctrh.paper.report.explorer`."""
    run, pairs = result.run, result.run.task
    names, database = list(photos_of(run.data.data).label_names), pairs.split.database
    asked = np.eye(len(names), dtype=bool)[[names.index(word) for word in pairs.words]]  # (W, L)
    answers = result.codes["words"], result.codes["image"][database], asked, pairs.labels[database]
    scores = evaluate(*answers, ks=(), ns=(count,))
    rows = ranked(pairs.words, pairs.photos[database], *answers, count)
    ap = np.repeat(scores.ap_all, len(rows) // len(pairs.words))
    rows = rows.assign(dataset=run.data.name, method=run.label, bits=run.bits, ap=ap)
    return rows[["dataset", "query", "method", "bits", "rank", "photo", "distance", "relevant", "ap"]]
