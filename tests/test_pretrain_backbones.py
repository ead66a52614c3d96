"""The small backbones' pre-training: its pieces, and a few steps of the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file

from ctrh.data.scenes.compose import compose
from ctrh.small_backbones import build
from tools.pretrain_backbones import (
    CLASSES,
    BackboneConfig,
    Pretraining,
    _normalised,
    _settle,
    things_of,
    train,
)


def test_every_thing_is_named_at_the_cell_that_shows_it():
    scene = compose(1, 0)
    thing = replace(scene.things[0], centre=(0.9, 0.1), glyph="🐩")
    scene = replace(scene, things=(thing,), look=None)
    rows, cells, classes = things_of([scene, scene], np.array([False, True]))
    assert rows == [0, 1] and cells == [6, 0]
    assert [CLASSES[index] for index in classes] == ["🐩", "🐩"]


def test_one_logit_for_each_cell_and_drawing():
    net = Pretraining("small-resnet").eval()
    assert net(torch.zeros(2, 3, 112, 112)).shape == (2, 49, len(CLASSES))


def test_the_standardisation_is_of_the_pretraining_pictures():
    torch.manual_seed(0)
    backbone = Pretraining("small-alexnet").backbone
    pixels = np.random.default_rng(0).integers(0, 256, (60, 112, 112, 3), dtype=np.uint8)
    _settle(backbone, pixels)
    assert not backbone.training and not backbone.standard.training
    with torch.no_grad():
        inputs = _normalised(pixels)
        plain = backbone.pool(backbone.cells(inputs)).flatten(1)
        features = backbone(inputs)
    torch.testing.assert_close(backbone.standard.running_mean, plain.mean(dim=0))
    assert plain.min() >= 0 and abs(float(features.mean())) < 1e-3


def test_a_few_steps_write_weights_that_load(tmp_path):
    icons = np.full((1, len(CLASSES), 8, 8, 4), 200, dtype=np.uint8)
    config = BackboneConfig(seed=9, scenes=8, held_out=4, epochs=1, batch=4)
    train("small-resnet", config, icons, tmp_path / "weights.safetensors")
    state = load_file(tmp_path / "weights.safetensors")
    build("small-resnet").load_state_dict(state)
    assert all(value.isfinite().all() for value in state.values())
