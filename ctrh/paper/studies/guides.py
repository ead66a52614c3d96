"""What the guide is worth: Tables 8 and 9, and the tags on which two guides differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.guide.quality import tag_quality
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.runs import Run, make_run
from ctrh.paper.studies.backbones import named_tables
from ctrh.paper.tag_tables import exchange_rows, photos_to_show, tag_config
from ctrh.paper.tasks import TagConfig, photos_of, tags_of

TABLES = (8, 9)
STANDS_FOR = {"small": "CLIP", "small-b": "OpenCLIP"}


def guide_runs(profile: Profile) -> list[Run]:
    """CTRH on tags (and their text features) of each of the study's guides, for all data sets, lengths and seeds.

    The pictures go through the profile's own backbone throughout: only what teaches changes.
    """
    grid = product(profile.datasets, profile.study.guides, profile.bits, profile.seeds)
    runs = []
    for dataset, (label, guide), bits, seed in grid:
        run = make_run(profile, dataset.data.name, "CTRH", bits, seed, label=label)
        runs.append(replace(run, tags=replace(run.tags, guide=guide)))
    return runs


def mapping_in_words(profile: Profile) -> str:
    """Which guide stands beside which row of the article."""
    own = {label: STANDS_FOR[label] for label, _ in profile.study.guides if label in STANDS_FOR}
    looks = [label for label, guide in profile.study.guides if guide == profile.guide]
    sibling = ""
    if profile.backbone == "guide" and looks:
        sibling = (
            f" The pictures are seen by the encoder of *{looks[0]}* throughout, to which its own tags and texts may come "
            "more easily than another guide's."
        )
    if not own:
        return f"These are the article's two guides.{sibling}"
    stands = ", ".join(f"*{label}* stands beside {article}" for label, article in own.items())
    return (
        f"They are not the article's: {stands}. This project trained them on drawn scenes, with other seeds and for "
        "another number of epochs (`tools/pretrain_guide.py`). What can be seen is what a second, differently trained "
        f"guide changes, not how OpenAI's CLIP compares with OpenCLIP.{sibling}"
    )


def guide_tables(rows: pd.DataFrame, profile: Profile) -> dict[int, pd.DataFrame]:
    """Tables 8 (mAP@all) and 9 (mAP@k) out of the rows of :func:`guide_runs`."""
    return named_tables(rows, TABLES, STANDS_FOR, profile)


def guide_configs(profile: Profile, dataset: DatasetSettings) -> dict[str, TagConfig]:
    """label -> how each of the study's guides replaces tags."""
    own = tag_config(profile, dataset)
    return {label: replace(own, guide=guide) for label, guide in profile.study.guides}


def guide_tags(profile: Profile, dataset: DatasetSettings) -> dict[str, sp.csr_array]:
    """label -> (N, C) bool CSR: the tags that each guide puts in the place of the users'."""
    photos = photos_of(dataset.data)
    configs = guide_configs(profile, dataset)
    return {label: tags_of(photos, dataset.data, config) for label, config in configs.items()}


def agreement(tags: Mapping[str, sp.csr_array], rows: np.ndarray) -> np.ndarray:
    """(len(rows),): of all tags that one of two guides gives a photo the share that both do; NaN without tags."""
    one, other = (sp.csr_array(each[rows], dtype=np.int64) for each in tags.values())
    shared = one.multiply(other).sum(axis=1)
    union = one.sum(axis=1) + other.sum(axis=1) - shared
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)


def quality_of_guides(
    profile: Profile, dataset: DatasetSettings, tags: Mapping[str, sp.csr_array]
) -> pd.DataFrame:
    """How good the users' tags and each guide's are over the training photos, pooled, in percent.

    Rows: ``dataset``, ``tags`` ("user" or a guide's label), ``precision``, ``recall``, ``best``: the precision of an
    oracle that gives as many tags. Empty where the truth is not known.
    """
    photos = photos_of(dataset.data)
    rows = photos.split.train
    if photos.truth is None:
        return pd.DataFrame(columns=["dataset", "tags", "precision", "recall", "best"])
    judged = []
    for label, given in {"user": photos.tags, **tags}.items():
        quality = tag_quality(given[rows], photos.truth[rows])
        shares = (quality.precision_micro, quality.recall_micro, quality.best_precision_micro)
        judged.append((photos.name, label, *(100 * share for share in shares)))
    return pd.DataFrame(judged, columns=["dataset", "tags", "precision", "recall", "best"])


def photos_between(
    dataset: DatasetSettings, tags: Mapping[str, sp.csr_array], shares: Sequence[float]
) -> np.ndarray:
    """Training photos with five to seven tags at ``shares`` of the way from the least agreement of the guides to the most.

    Of equal agreement the earlier photo is the lower: a rule, not a choice by result.
    """
    photos = photos_of(dataset.data)
    rows = photos_to_show(photos, len(photos.split.train))
    order = np.argsort(agreement(tags, rows), kind="stable")
    return rows[[order[round(share * (len(order) - 1))] for share in shares]]


def disagreements(
    dataset: DatasetSettings, tags: Mapping[str, sp.csr_array], count: int = 10
) -> pd.DataFrame:
    """The words that one guide gives and the other does not, most frequent first: ``dataset``, ``guide``, ``tag``,
    ``photos``, ``right`` (on how many of these the word is true, NaN where nobody knows)."""
    (first, one), (second, other) = tags.items()
    rows = exchange_rows(replace(photos_of(dataset.data), tags=one), other, count)
    rows.insert(1, "guide", rows.pop("change").replace({"taken away": first, "brought": second}))
    return rows


def disagreements_in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`disagreements` as text, a line for each data set and guide: "dog (120, 80 right), ..."."""
    known = rows["right"].notna()
    right = rows["right"].map(lambda count: f", {count:.0f} right").where(known, "")
    texts = rows.assign(words=rows["tag"] + " (" + rows["photos"].astype(str) + right + ")")
    return texts.groupby(["dataset", "guide"], sort=False)["words"].agg(", ".join).to_frame()
