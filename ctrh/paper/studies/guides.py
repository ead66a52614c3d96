"""What the guide is worth: Tables 8 and 9, and the tags on which two guides differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.data.photos import Photos
from ctrh.guide.quality import tag_quality
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.runs import Run, make_run
from ctrh.paper.tag_tables import exchange_rows, tag_config
from ctrh.paper.tasks import TagConfig, photos_of, tags_of

TABLES = (8, 9)
STANDS_FOR = {"small": "CLIP", "small-b": "OpenCLIP"}


def guide_runs(profile: Profile) -> list[Run]:
    """CTRH on tags (and their text features) of each of the study's guides. The pictures go through the
    profile's own backbone throughout: only what teaches changes."""
    grid = product(profile.datasets, profile.study.guides, profile.bits, profile.seeds)
    runs = []
    for dataset, (label, guide), bits, seed in grid:
        run = make_run(profile, dataset.data.name, "CTRH", bits, seed, label=label)
        runs.append(replace(run, tags=replace(run.tags, guide=guide)))
    return runs


def guide_configs(profile: Profile, dataset: DatasetSettings) -> dict[str, TagConfig]:
    """label -> how each of the study's guides replaces tags."""
    config = tag_config(profile, dataset)
    return {label: replace(config, guide=guide) for label, guide in profile.study.guides}


def guide_tags(profile: Profile, dataset: DatasetSettings) -> dict[str, sp.csr_array]:
    """label -> (N, C) bool CSR: the tags that each guide puts in the place of the users'."""
    photos, configs = photos_of(dataset.data), guide_configs(profile, dataset)
    return {label: tags_of(photos, dataset.data, config) for label, config in configs.items()}


def agreement(tags: Mapping[str, sp.csr_array], rows: np.ndarray) -> np.ndarray:
    """(len(rows),): the share of a photo's tags from two guides that both give; NaN without tags."""
    one, other = (sp.csr_array(given[rows], dtype=np.int64) for given in tags.values())
    shared = one.multiply(other).sum(axis=1)
    union = one.sum(axis=1) + other.sum(axis=1) - shared
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)


def tag_quality_rows(photos: Photos, tags: Mapping[object, sp.csr_array]) -> pd.DataFrame:
    """How good tags are over the training photos, pooled, in percent; empty where the truth is not known."""
    train, rows = photos.split.train, []
    for label, given in tags.items() if photos.truth is not None else ():
        quality = tag_quality(given[train], photos.truth[train])
        shares = (quality.precision_micro, quality.recall_micro, quality.best_precision_micro)
        rows.append((photos.name, label, *(100 * share for share in shares)))
    return pd.DataFrame(rows, columns=["dataset", "tags", "precision", "recall", "best"])


def disagreements(
    dataset: DatasetSettings, tags: Mapping[str, sp.csr_array], count: int = 10
) -> pd.DataFrame:
    """The words that one guide gives and the other does not, most frequent first; ``right``: on how many of
    the ``photos`` the word is true (NaN where nobody knows)."""
    (first, one), (second, other) = tags.items()
    rows = exchange_rows(replace(photos_of(dataset.data), tags=one), other, count)
    rows.insert(1, "guide", rows.pop("change").replace({"taken away": first, "brought": second}))
    return rows
