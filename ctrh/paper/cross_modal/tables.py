"""The grids of the cross-modal study, and tidy rows out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from ctrh.data.tables import FolderError
from ctrh.methods.cross_modal import READINGS
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.paper.comparisons import differences
from ctrh.paper.cross_modal.pairs import FeatureConfig
from ctrh.paper.cross_modal.runs import DIRECTIONS, CrossResult, CrossRun
from ctrh.paper.profiles import CrossData, Profile
from ctrh.paper.runs import make_run
from ctrh.paper.tables import over_seeds
from ctrh.paper.tasks import photos_of

FULL = "FJSPH"
# FJSPH less one thing: what is missing, and what a reader is told about it.
WITHOUT = {
    "no FLIP masking": "the guide is tuned on whole pictures",
    "no tuning": "the guide's features as they come",
    "no contrastive term": "its weight is 0",
    "sample-wise only": "the cluster-wise term has weight 0",
    "cluster-wise only": "the sample-wise term has weight 0",
}
# The other ways to read the abstract (docs/fjsph_choices.md).
CHOICES = {
    "all pairs are negatives": "pairs that share a label are pushed apart, too",
    "similarity by overlap": "the cosine of the label vectors in place of shared or not",
    "within modalities, too": "photos are compared with photos and texts with texts as well",
    "fixed centres": "rows of a Hadamard matrix in place of learned class centres",
    "contrast on codes": "the contrastive term compares codes, not representations",
}


def with_present_data(profile: Profile) -> tuple[Profile, tuple[str, ...]]:
    """``profile`` with those data sets of the study that it can use, and why others are left out.

    A data set belongs to one of the profile's own, or it is optional and on this machine. ``ValueError`` when none does.
    """
    own = {settings.article for settings in profile.datasets}
    kept, absent = [], []
    for data in profile.cross.datasets:
        if data.article in own:
            kept.append(data)
        elif data.optional:
            try:
                photos_of(data.data)
                kept.append(data)
            except FolderError as error:
                absent.append(f"{data.name}: {error}")
    if not kept:
        raise ValueError(
            f"profile {profile.name}: none of its data sets is in cross.datasets: add one for {', '.join(sorted(own))}"
        )
    return replace(profile, cross=replace(profile.cross, datasets=tuple(kept))), tuple(absent)


def feature_config(profile: Profile, kind: str) -> FeatureConfig:
    """The guide as it comes ("CLIP"), tuned with hidden patches ("FLIP"), or on whole pictures ("unmasked")."""
    cross = profile.cross
    if kind == "CLIP":
        return FeatureConfig(profile.guide)
    flip = cross.flip if kind == "FLIP" else replace(cross.flip, ratio=0.0)
    return FeatureConfig(profile.guide, flip, cross.tuned)


def fjsph_run(
    profile: Profile,
    data: CrossData,
    bits: int,
    seed: int,
    label: str = FULL,
    kind: str = "FLIP",
    settings: FJSPHConfig | None = None,
) -> CrossRun:
    """FJSPH as ``profile`` prescribes it, or with other ``settings`` (bits and seed are put in) or features."""
    settings = settings or profile.cross.fjsph
    settings = replace(settings, bits=bits, train=replace(settings.train, seed=seed))
    features = feature_config(profile, kind)
    return CrossRun(data, "FJSPH", bits, seed, features, profile.cross.ks, settings, label=label)


def comparison_runs(profile: Profile) -> list[CrossRun]:
    """All methods on all data sets, lengths and seeds; CTRH for those seeds that the profile's other tables have.

    On an optional data set CTRH has the settings of the profile's first.
    """
    runs, cross = [], profile.cross
    own = {settings.article for settings in profile.datasets}
    for data, bits, seed in product(cross.datasets, cross.bits, cross.seeds):
        clip, flip = (feature_config(profile, kind) for kind in ("CLIP", "FLIP"))
        plain = {"data": data, "bits": bits, "seed": seed, "ks": cross.ks}
        runs.append(CrossRun(method="random", features=clip, **plain))
        runs.append(CrossRun(method="ITQ", features=clip, label="ITQ (CLIP)", **plain))
        runs.append(CrossRun(method="ITQ", features=flip, label="ITQ (FLIP)", **plain))
        if seed in profile.seeds:
            like = data.article if data.article in own else profile.datasets[0].article
            taught = replace(make_run(profile, like, "CTRH", bits, seed), data=data.data)
            for reading, label in zip(READINGS, ("CTRH", "CTRH (nearest)"), strict=True):
                runs.append(
                    CrossRun(method="CTRH", features=clip, ctrh=taught, reading=reading, label=label, **plain)
                )
        runs.append(fjsph_run(profile, data, bits, seed))
    return runs


def ablation_runs(profile: Profile) -> list[CrossRun]:
    """FJSPH and ``WITHOUT``, at one length."""
    cross, base = profile.cross, profile.cross.fjsph
    contrastive, sample, cluster, quantisation = base.losses.weights

    def weighted(*weights: float) -> FJSPHConfig:
        return replace(base, losses=replace(base.losses, weights=weights))

    variants = {
        FULL: ("FLIP", base),
        "no FLIP masking": ("unmasked", base),
        "no tuning": ("CLIP", base),
        "no contrastive term": ("FLIP", weighted(0.0, sample, cluster, quantisation)),
        "sample-wise only": ("FLIP", weighted(contrastive, sample, 0.0, quantisation)),
        "cluster-wise only": ("FLIP", weighted(contrastive, 0.0, cluster, quantisation)),
    }
    grid = product(cross.datasets, variants.items(), cross.seeds)
    return [
        fjsph_run(profile, data, cross.ablation_bits, seed, label, *variant)
        for data, (label, variant), seed in grid
    ]


def choice_runs(profile: Profile) -> list[CrossRun]:
    """FJSPH and ``CHOICES``, at one length and for one seed."""
    cross, base = profile.cross, profile.cross.fjsph

    def losses(**options: object) -> FJSPHConfig:
        return replace(base, losses=replace(base.losses, **options))

    variants = {
        FULL: base,
        "all pairs are negatives": losses(negatives="all"),
        "similarity by overlap": losses(overlap="cosine"),
        "within modalities, too": losses(within=True),
        "fixed centres": losses(anchors="hadamard"),
        "contrast on codes": replace(base, contrast_on="codes"),
    }
    grid = product(cross.datasets, variants.items())
    return [
        fjsph_run(profile, data, cross.ablation_bits, cross.seeds[0], label, settings=settings)
        for data, (label, settings) in grid
    ]


def cross_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of :meth:`CrossResult.rows` -> one per method, data set, length, direction and metric: ``mean``, ``low``,
    ``high`` over seeds; ``published`` is empty, the article's numbers are not public.

    ``metric`` names the direction too, as in "i2t_map_all", so that it alone tells the numbers apart.
    """
    named = rows.assign(metric=rows["direction"] + "_" + rows["metric"])
    by = ["method", "dataset", "bits", "direction", "metric"]
    return over_seeds(named, by).assign(published=float("nan"))


def gaps(results: Sequence[CrossResult], name: str, over: str) -> pd.DataFrame:
    """:func:`ctrh.paper.comparisons.differences` in both directions, behind the column ``direction``."""
    frames = []
    for direction in DIRECTIONS:
        frame = differences([result.view(direction) for result in results], name, over)
        frame.insert(0, "direction", direction)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def effects(results: Sequence[CrossResult], labels: Iterable[str], metric: str = "map_all") -> pd.DataFrame:
    """What each of ``labels`` changes against ``FULL``: ``direction``, ``dataset``, ``label``, ``difference`` in points
    with its interval, ``verdict``, and ``note`` where codes collapsed.
    """
    noted = {result.run.label: result.rows()["note"].max() for result in results}
    frames = [gaps(results, label, FULL).assign(label=label, note=noted[label]) for label in labels]
    found = pd.concat(frames, ignore_index=True)
    return found[found["metric"] == metric].reset_index(drop=True)
