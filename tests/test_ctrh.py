"""CTRH as a whole: learns, repeats itself, resumes, saves and loads, refuses what does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from deep_problem import (
    TRAIN,
    assert_learns,
    assert_repeats_and_saves,
    assert_resumes,
    assert_same_network,
    three_subjects,
)
from safetensors.torch import save_file
from torch import nn

from ctrh import training
from ctrh.backbones import Backbone, Pictures, small_preprocess
from ctrh.encoding import CodesCollapsed
from ctrh.losses import LossConfig
from ctrh.methods.ctrh import CTRH, CTRHConfig

CONFIG = CTRHConfig(bits=8, heads=3, ffn_ratio=1, train=TRAIN)


@pytest.fixture
def problem() -> tuple[np.ndarray, sp.csr_array, np.ndarray, np.ndarray]:
    return three_subjects()


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(48, 6), nn.BatchNorm1d(6, momentum=0.9))
    return Backbone("tiny", module, 6, small_preprocess, key=str(seed))


def test_codes_follow_the_subjects(problem):
    assert_learns(CTRH(replace(CONFIG, train=replace(TRAIN, epochs=25))), problem)


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, tag_weighting=False),
        replace(CONFIG, losses=LossConfig(weights=(1, 10, 1, 0))),
        replace(CONFIG, losses=LossConfig(beta="inverse_frequency", gamma=2.0, normalise_attention=False)),
        replace(CONFIG, alternate=1, head_reduction="sum", text_length=10.0),
    ],
)
def test_ablations_and_readings_train_save_and_load(problem, config, tmp_path):
    features, tags, text, _ = problem
    hasher = CTRH(config)
    history = hasher.fit(features, tags, text)
    assert np.isfinite(history["loss"]).all()
    assert ("tag_balanced" in history) == config.tag_weighting
    hasher.save(tmp_path / "model.safetensors")
    loaded = CTRH.load(tmp_path / "model.safetensors")
    assert loaded.config == config
    np.testing.assert_array_equal(loaded.encode(features), hasher.encode(features))
    assert_same_network(loaded, hasher)


def test_tag_weights_are_the_networks_attention_over_each_images_tags(problem):
    features, tags, text, _ = problem
    hasher = CTRH(CONFIG)
    hasher.fit(features, tags, text)
    some = tags.toarray()
    some[5] = False
    weights = hasher.tag_weights(features, sp.csr_array(some))
    assert weights.shape == some.shape and not weights.toarray()[~some].any()
    network = hasher.network.eval()
    with torch.inference_mode():
        for image in (0, 7, 46):
            own = torch.from_numpy(np.flatnonzero(some[image]))[None]
            v = network.mapping(network(torch.from_numpy(features[[image]])))
            expected = network.weighting.weights(v, network.text, own)[0].mean(dim=0)
            np.testing.assert_allclose(weights[[image]].data, expected, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), some.any(axis=1), rtol=1e-5)
    with pytest.raises(ValueError, match="tags have shape"):
        hasher.tag_weights(features[:3], tags)
    plain = CTRH(replace(CONFIG, tag_weighting=False))
    plain.fit(features, tags, text)
    with pytest.raises(ValueError, match="weighs no tags"):
        plain.tag_weights(features, tags)


def test_text_length_scales_the_tag_features(problem):
    features, tags, text, _ = problem
    hasher = CTRH(replace(CONFIG, text_length=10.0, train=replace(TRAIN, epochs=1)))
    hasher.fit(features, tags, text)
    scaled = hasher.network.text.numpy()
    assert np.linalg.norm(scaled, axis=1).mean() == pytest.approx(10, rel=1e-5)
    np.testing.assert_allclose(scaled / scaled[0, 0], text / text[0, 0], rtol=1e-4)


def test_one_seed_one_result_saved_and_loaded(problem, tmp_path):
    assert_repeats_and_saves(CTRH, CONFIG, problem, tmp_path / "ctrh.safetensors")


def test_images_without_a_tag_are_left_out(problem):
    features, tags, text, _ = problem
    some = tags.toarray()
    some[[0, 7]] = False
    whole, without = CTRH(CONFIG), CTRH(CONFIG)
    whole.fit(features, sp.csr_array(some), text)
    kept = np.flatnonzero(some.any(axis=1))
    without.fit(torch.from_numpy(features[kept]), sp.csr_array(some[kept]), text)
    assert_same_network(whole, without)


def test_a_stopped_fit_goes_on_and_a_finished_one_returns_at_once(problem, tmp_path, monkeypatch):
    assert_resumes(CTRH, CONFIG, problem, tmp_path, monkeypatch, stop_after=2)
    finished = CTRH(CONFIG).fit(*problem[:3])
    monkeypatch.setattr(training, "_epoch", lambda *arguments: pytest.fail("trained again"))
    assert CTRH(CONFIG).fit(*problem[:3], checkpoints=tmp_path).equals(finished)


def test_checkpoints_of_other_runs_share_the_folder(problem, tmp_path):
    features, tags, text, _ = problem
    one_epoch = replace(CONFIG, train=replace(TRAIN, epochs=1))
    CTRH(one_epoch).fit(features, tags, text, checkpoints=tmp_path)
    for changed in (
        (replace(one_epoch, dropout=0.2), features, tags, text),
        (one_epoch, features + 1, tags, text),
        (one_epoch, features, tags[::-1], text),
        (one_epoch, features, tags, 2 * text),
    ):
        CTRH(changed[0]).fit(*changed[1:], checkpoints=tmp_path)
    assert len(list(tmp_path.glob("*.pt"))) == 5


def test_end_to_end_from_pictures(tiny_photos, tmp_path):
    """The same call with a backbone: it is trained along, the caller's own stays as it was."""
    backbone = tiny_backbone()
    before = {name: value.clone() for name, value in backbone.module.state_dict().items()}
    text = np.random.default_rng(0).normal(size=(6, 9))
    pictures = Pictures(tiny_photos.images, backbone)
    hasher = CTRH(replace(CONFIG, train=replace(TRAIN, lr_head=0.01)), backbone)
    history = hasher.fit(pictures, tiny_photos.tags, text, checkpoints=tmp_path / "runs")
    assert len(history) == 3
    after = backbone.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(hasher.network.backbone[2].weight, before["2.weight"])
    codes = hasher.encode(pictures)
    assert codes.shape == (20, 8) and len(np.unique(codes, axis=0)) > 1

    hasher.save(tmp_path / "model.safetensors")
    loaded = CTRH.load(tmp_path / "model.safetensors", tiny_backbone(seed=1))
    np.testing.assert_array_equal(loaded.encode(pictures), codes)
    with pytest.raises(ValueError, match="backbone tiny"):
        CTRH.load(tmp_path / "model.safetensors")


def test_a_collapse_is_announced(problem):
    features, tags, text, _ = problem
    constant = np.ones_like(features)
    with pytest.warns(CodesCollapsed, match="1 distinct among 47"):
        CTRH(CONFIG).fit(constant, tags, text)


def test_what_does_not_fit_is_refused(problem, tmp_path):
    features, tags, text, _ = problem
    hasher = CTRH(CONFIG)
    with pytest.raises(ValueError, match="not trained"):
        hasher.encode(features)
    with pytest.raises(ValueError, match=r"\(48, 12\), expected \(47, 12\)"):
        hasher.fit(features[:47], tags, text)
    with pytest.raises(ValueError, match=r"\(48, 12\), expected \(48, 11\)"):
        hasher.fit(features, tags, text[:11])
    with pytest.raises(ValueError, match="text features hold NaN"):
        hasher.fit(features, tags, np.where(text == text[0, 0], np.nan, text))
    with pytest.raises(ValueError, match="no image has a tag"):
        hasher.fit(features, sp.csr_array((48, 12), dtype=bool), text)
    hasher.fit(features, tags, text)
    with pytest.raises(ValueError, match=r"\(48, 9\), expected \(N, 10\)"):
        hasher.encode(features[:, :9])
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not saved by CTRH"):
        CTRH.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bits": 0}, "bits"),
        ({"text_length": 0.0}, "text_length"),
        ({"alternate": -1}, "alternate"),
        ({"alternate": 2, "tag_weighting": False}, "alternate"),
        ({"losses": LossConfig(beta="inverse_frequency"), "tag_weighting": False}, "beta"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CTRHConfig(**wrong)


def test_defaults_are_the_papers():
    config = CTRHConfig()
    assert config.losses == LossConfig((1, 10, 1, 15), 0.7) and config.heads == 8
    assert (config.train.lr_backbone, config.train.lr_head, config.train.lr_tags) == (1e-4, 1e-3, 2e-4)
    assert (config.train.momentum, config.train.batch_size) == (0.9, 32)
