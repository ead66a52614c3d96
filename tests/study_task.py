"""A task small enough to train on in a moment, in place of real data, and a profile to go with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import softmax

from ctrh.data.photos import random_split
from ctrh.paper import runs
from ctrh.paper.tasks import HashingTask
from ctrh.training import TrainConfig
from profiles.smoke import PROFILE as SMOKE

TINY = replace(
    SMOKE,
    train=TrainConfig(epochs=1, lr_head=0.01),
    top=10,
    bits=(8, 16),
    seeds=(0, 1, 2),
    study=replace(SMOKE.study, bits=16),
)


def tiny_task(key: str = "tiny") -> HashingTask:
    """60 photos of two kinds that features, tags and labels all tell apart."""
    generator = np.random.default_rng(0)
    kind = np.arange(60) % 2
    features = (generator.normal(size=(60, 16)) + 2 * kind[:, None]).astype(np.float32)
    tags = sp.csr_array(np.stack([kind == 0, kind == 1, generator.random(60) < 0.5], axis=1))
    labels = np.stack([kind == 0, kind == 1], axis=1)
    text = generator.normal(size=(3, 24)).astype(np.float32)
    return HashingTask(key, random_split(60, 10, 40, 0), labels, features, None, None, tags, text)


@pytest.fixture
def task(monkeypatch) -> HashingTask:
    """:func:`tiny_task` behind every run, with concepts that follow the features where they are asked for."""
    made = tiny_task()
    concepts = softmax(made.features, axis=1)

    def given(data, inputs, tags):
        chosen = replace(made, features=concepts) if inputs.backbone == "concepts" else made
        return replace(chosen, tags=concepts) if tags and tags.variant == "concepts" else chosen

    monkeypatch.setattr(runs, "hashing_task", given)
    return made
