"""Rows about trainings: what each term adds, how codes fare, what the texts ask of codes, how far Eq. (18) can go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch

from ctrh.losses import TERMS, tag_balanced_loss
from ctrh.methods.registry import untaught
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, make_run
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


def first_and_last(results: Iterable[RunResult]) -> pd.DataFrame:
    """The records of the first and the last epoch of each training, behind ``dataset``, ``label`` and ``bits``."""
    frames = []
    for result in results:
        run, ends = result.run, result.history.iloc[[0, -1]].reset_index(drop=True)
        about = {"dataset": run.data.name, "label": run.label or run.method, "bits": run.bits}
        frames.append(pd.concat([pd.DataFrame(about, index=[0, 1]), ends], axis=1))
    return pd.concat(frames, ignore_index=True)


def contributions(result: RunResult) -> pd.DataFrame:
    """What each term adds to Eq. (19), multiplied by its weight, and the ``loss`` they sum to: index ``epoch``."""
    losses = result.run.settings.losses
    terms = {term: weight * result.history[term] for term, weight in zip(TERMS, losses.weights)}
    return pd.DataFrame({**terms, "loss": result.history["loss"]}).set_axis(result.history["epoch"])


def asked_distances(vectors: np.ndarray, shares: Sequence[float] = (0.05, 0.5, 0.95)) -> list[float]:
    """Quantiles of (1 - cos(r_i, r_j))/2 over pairs of (N, D) texts: the distances that Eq. (17) asks of codes."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    asked = (1 - unit @ unit.T)[np.triu_indices(len(unit), k=1)] / 2
    return np.quantile(asked, shares).tolist()


def tag_balanced_room(result: RunResult) -> dict[str, float]:
    """Eq. (18) on the training tags for A_i = 0, ``unknowing``, and for A_i even over an image's own tags and 0
    elsewhere, ``knowing``; beside them its mean in the ``first`` and the ``last`` epoch.
    """
    task, losses = result.run.task, result.run.settings.losses
    tags = task.tags[task.split.train]
    tags = torch.from_numpy(tags[tags.sum(axis=1) > 0].toarray())  # fit leaves out the others
    ends = {"unknowing": torch.zeros(tags.shape), "knowing": tags.float()}
    values = {name: float(tag_balanced_loss(a, tags, losses.gamma)) for name, a in ends.items()}
    records = result.history["tag_balanced"]
    return {**values, "first": float(records.iloc[0]), "last": float(records.iloc[-1])}
