"""A problem that every deep method has to learn, and what is asked of each of them. Shared by their tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ctrh import training
from ctrh.methods.deep import DeepHasher
from ctrh.methods.random import RandomCodes
from ctrh.training import TrainConfig

TRAIN = TrainConfig(epochs=3, batch_size=8, lr_head=0.1, lr_tags=0.02)
HashingTask = tuple[np.ndarray, sp.csr_array, np.ndarray, np.ndarray]


def three_subjects() -> HashingTask:
    """48 images of three subjects with two of its four tags each, one wrong tag in every third image, no tag in
    the last: features (48, 10), tags (48, 12), text (12, 9), subject."""
    generator = np.random.default_rng(0)
    subject = np.arange(48) % 3
    features = np.eye(3)[subject] @ generator.normal(size=(3, 10)) + 0.2 * generator.normal(size=(48, 10))
    text = 2 * (np.eye(3)[np.arange(12) // 4] @ generator.normal(size=(3, 9))) + generator.normal(
        size=(12, 9)
    )
    tags = np.zeros((48, 12), dtype=bool)
    for image in range(48):
        tags[image, 4 * subject[image] + generator.choice(4, 2, replace=False)] = True
    tags[::4, 5] = True
    tags[47] = False
    return features.astype(np.float32), sp.csr_array(tags), text.astype(np.float32), subject


def contrast(codes: np.ndarray, subject: np.ndarray) -> float:
    """Mean Hamming distance between subjects less that within them, in bits."""
    distance = (codes[:, None] != codes[None]).sum(axis=2)
    same = subject[:, None] == subject[None]
    return distance[~same].mean() - distance[same & ~np.eye(len(codes), dtype=bool)].mean()


def assert_learns(hasher: DeepHasher, problem: HashingTask) -> None:
    """Codes tell the subjects apart better than random codes, by a bit at least."""
    features, tags, text, subject = problem
    history = hasher.fit(features, tags, text)
    assert np.isfinite(history.select_dtypes("number").to_numpy()).all()
    chance = contrast(RandomCodes(bits=hasher.config.bits).fit(features).transform(features), subject)
    assert contrast(hasher.encode(features), subject) > chance + 1


def assert_same_network(first: DeepHasher, second: DeepHasher) -> None:
    states = [hasher.network.state_dict() for hasher in (first, second)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def assert_repeats_and_saves(
    hasher_type: type[DeepHasher], config: Any, problem: HashingTask, path: Path
) -> None:
    """One seed gives one result, the inputs stay as they are, and a saved hasher is the same hasher."""
    features, tags, text, _ = problem
    before = features.copy(), tags.copy(), text.copy()
    first, again, other = (
        hasher_type(replace(config, train=replace(config.train, seed=seed))) for seed in (1, 1, 2)
    )
    histories = []
    for hasher in (first, again, other):
        torch.rand(3)
        histories.append(hasher.fit(features, tags, text))
    assert histories[0].equals(histories[1])
    assert_same_network(first, again)
    assert not torch.equal(first.network.hash.weight, other.network.hash.weight)
    assert (features == before[0]).all() and (tags != before[1]).sum() == 0 and (text == before[2]).all()

    first.save(path)
    loaded = hasher_type.load(path)
    assert loaded.config == first.config
    assert_same_network(loaded, first)
    np.testing.assert_array_equal(loaded.encode(features), first.encode(features))


def assert_resumes(
    hasher_type: type[DeepHasher],
    config: Any,
    problem: HashingTask,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    """A fit that was stopped after an epoch and called again ends where an undisturbed one does, bit for bit."""
    features, tags, text, _ = problem
    undisturbed = hasher_type(config)
    expected = undisturbed.fit(features, tags, text)
    save, saved = training._save, []

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments)
        if len(saved) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        hasher_type(config).fit(features, tags, text, checkpoints=folder)
    monkeypatch.setattr(training, "_save", save)
    resumed = hasher_type(config)
    assert resumed.fit(features, tags, text, checkpoints=folder).equals(expected)
    assert_same_network(resumed, undisturbed)
