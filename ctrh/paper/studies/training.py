"""CTRH taught by three sets of tags, beside what needs none; how far Eq. (18) can go, what attention listens to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from ctrh.losses import tag_balanced_loss
from ctrh.methods.registry import untaught
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run, trained
from ctrh.paper.statistics import interval, verdict
from ctrh.paper.tasks import variants_of

LABELS = {"user": "CTRH (user tags)", "replaced": "CTRH", "clean": "CTRH (clean tags)"}


def training_runs(profile: Profile) -> list[Run]:
    """CTRH on every variant of the tags, and what learns without tags, on all data sets, lengths and seeds."""
    runs = []
    for dataset, bits, seed in product(profile.datasets, profile.bits, profile.seeds):
        name = dataset.data.name
        runs += [make_run(profile, name, method, bits, seed) for method in untaught()]
        for tags in variants_of(dataset.data):
            runs.append(make_run(profile, name, "CTRH", bits, seed, tags, label=LABELS[tags]))
    return runs


def longer_runs(profile: Profile) -> list[Run]:
    """CTRH at one length for ten times the profile's epochs, 80 at most: do the losses stand still after fewer?"""
    runs = []
    for dataset in profile.datasets:
        settings = default_settings("CTRH", profile, dataset)
        epochs = max(settings.train.epochs, min(10 * settings.train.epochs, 80))
        settings = replace(settings, train=replace(settings.train, epochs=epochs, checkpoint_every=epochs))
        runs.append(make_run(profile, dataset.data.name, "CTRH", profile.bits[1], profile.seeds[0], settings=settings))
    return runs


def tag_balanced_room(result: RunResult) -> dict[str, float]:
    """Eq. (18) on the training tags for A_i = 0, ``unknowing``, and for A_i even over an image's own tags and
    0 elsewhere, ``knowing``; beside them its mean in the ``first`` and the ``last`` epoch."""
    task, losses = result.run.task, result.run.settings.losses
    tags = task.tags[task.split.train]
    tags = torch.from_numpy(tags[tags.sum(axis=1) > 0].toarray())  # fit leaves out the others
    ends = {"unknowing": torch.zeros(tags.shape), "knowing": tags.float()}
    values = {name: float(tag_balanced_loss(a, tags, losses.gamma)) for name, a in ends.items()}
    records = result.history["tag_balanced"]
    return {**values, "first": float(records.iloc[0]), "last": float(records.iloc[-1])}


def attention_on_truth(weights: sp.csr_array, truth: sp.csr_array) -> pd.DataFrame:
    """The share of attention that right tags get, beside their ``plain`` share of the tags, for each photo
    with right and wrong ones. weights: (N, C), rows of sum 1 (``CTRH.tag_weights``); truth: (N, C) bool."""
    given = weights.astype(bool)
    tags, right = given.sum(axis=1), given.multiply(truth).sum(axis=1)
    mixed = np.flatnonzero((right > 0) & (right < tags))
    attention = weights.multiply(truth).sum(axis=1)[mixed]
    columns = {"photo": mixed, "tags": tags[mixed], "attention": attention}
    columns["plain"] = right[mixed] / tags[mixed]
    return pd.DataFrame(columns)


def attention_gain(run: Run, truth: sp.csr_array) -> dict[str, object]:
    """The attention on right tags less their share over the training photos, in points, with interval and
    verdict; one row. truth: (N, C) of all photos."""
    task = run.task
    rows = task.split.train
    weights = trained(run).tag_weights(task.inputs(rows), task.tags[rows])
    shares = 100 * attention_on_truth(weights, truth[rows])[["plain", "attention"]]
    gain, low, high = interval((shares["attention"] - shares["plain"]).to_numpy()[None])
    about = {"dataset": run.data.name, "tags": run.tags.variant, "photos": len(shares), **shares.mean()}
    return {**about, "gain": gain, "low": low, "high": high, "verdict": verdict(low, high)}


def weighted_tags(
    weights: sp.csr_array, photo: int, vocabulary: Sequence[str], truth: sp.csr_array | None = None
) -> pd.DataFrame:
    """One photo's tags by attention (``probability``), and with ``truth`` (N, C) whether they are ``right``."""
    row = weights[[photo]]
    order = np.argsort(-row.data, kind="stable")
    words = row.indices[order]
    rows = pd.DataFrame({"tag": [vocabulary[word] for word in words], "probability": row.data[order]})
    rows.insert(0, "rank", np.arange(1, len(words) + 1))
    return rows if truth is None else rows.assign(right=truth[[photo]].toarray()[0, words].astype(bool))
