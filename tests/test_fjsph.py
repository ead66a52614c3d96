"""FJSPH as a hasher: a toy where every answer is known, refusals, determinism, unlabelled pairs, saving."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ctrh.backbones import Backbone
from ctrh.methods.ctrh import CTRH
from ctrh.methods.fjsph import FJSPH, FJSPHConfig
from ctrh.methods.fjsph_losses import FJSPHLossConfig
from ctrh.retrieval.metrics import evaluate
from ctrh.training import TrainConfig

TRAIN = TrainConfig(epochs=15, batch_size=32, lr_head=0.3, schedule="cosine")
CONFIG = FJSPHConfig(bits=16, width=32, train=TRAIN)


def toy(count=120, seed=0):
    """Pairs of four classes: image and text features in different spaces, noise of their own, labels."""
    generator = np.random.default_rng(seed)
    classes = np.arange(count) % 4
    places = np.random.default_rng(99)
    image, text = (
        (places.normal(size=(4, width))[classes] + 0.4 * generator.normal(size=(count, width))).astype(
            np.float32
        )
        for width in (12, 9)
    )
    return image, text, np.eye(4, dtype=bool)[classes]


@pytest.fixture(scope="module")
def fitted():
    hasher = FJSPH(CONFIG)
    history = hasher.fit(*toy())
    return hasher, history


def test_each_side_finds_the_other(fitted):
    hasher, history = fitted
    image, text, labels = toy(80, seed=1)
    pictures, texts = hasher.encode(image), hasher.encode_text(text)
    assert pictures.shape == texts.shape == (80, 16) and pictures.dtype == texts.dtype == bool
    for asked, found in ((pictures, texts), (texts, pictures), (pictures, pictures)):
        assert evaluate(asked, found, labels, labels, ks=(5,)).map_all > 0.97
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert {"contrastive", "sample", "cluster", "quantisation", "unique_codes"} <= set(history)


@pytest.mark.parametrize(
    "losses",
    [
        FJSPHLossConfig(weights=(0, 1, 0, 0.1)),
        FJSPHLossConfig(weights=(0, 0, 1, 0.1)),
        FJSPHLossConfig(weights=(0, 0, 1, 0.1), anchors="hadamard"),
        FJSPHLossConfig(overlap="cosine", within=True, negatives="unrelated"),
    ],
)
def test_each_similarity_alone_teaches_the_toy(losses):
    # At the start all codes are near 1/2, where the sample-wise term alone is nearly flat: it needs longer.
    hasher = FJSPH(replace(CONFIG, losses=losses, train=replace(TRAIN, epochs=50)))
    hasher.fit(*toy())
    image, text, labels = toy(80, seed=1)
    scores = evaluate(hasher.encode(image), hasher.encode_text(text), labels, labels)
    assert scores.map_all > 0.95


def test_labels_are_needed():
    image, text, labels = toy()
    hasher = FJSPH(CONFIG)
    with pytest.raises(ValueError, match="FJSPH is supervised"):
        hasher.fit(image, text, None)
    with pytest.raises(ValueError, match="no training pair has a label"):
        hasher.fit(image, text, np.zeros_like(labels))
    with pytest.raises(ValueError, match=r"labels must be \(120, L\) bool, got \(119, 4\) bool"):
        hasher.fit(image, text, labels[:-1])
    with pytest.raises(ValueError, match="labels must be .* float64"):
        hasher.fit(image, text, labels.astype(float))
    with pytest.raises(ValueError, match="not trained yet"):
        hasher.encode_text(text)


def test_features_are_checked(fitted):
    image, text, labels = toy()
    with pytest.raises(ValueError, match="a row for each image"):
        FJSPH(CONFIG).fit(image, text[:-1], labels)
    with pytest.raises(ValueError, match="NaN"):
        FJSPH(CONFIG).fit(image, np.where(text > 1, np.nan, text), labels)
    with pytest.raises(ValueError, match=r"expected \(N, 9\)"):
        fitted[0].encode_text(image)
    with pytest.raises(ValueError, match=r"expected \(N, 12\)"):
        fitted[0].encode(text)


def test_training_is_a_function_of_the_seed(fitted):
    image, text, labels = toy()
    state = torch.random.get_rng_state()
    again = FJSPH(CONFIG)
    again.fit(image, text, labels)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(again.encode(image), fitted[0].encode(image))
    other = FJSPH(replace(CONFIG, train=replace(TRAIN, seed=1)))
    other.fit(image, text, labels)
    assert (other.encode(image) != again.encode(image)).any()


def test_a_stopped_training_goes_on(tmp_path):
    image, text, labels = toy()
    short = FJSPH(CONFIG)
    history = short.fit(image, text, labels, tmp_path)
    again = FJSPH(CONFIG)
    assert again.fit(image, text, labels, tmp_path).equals(history) and len(list(tmp_path.glob("*.pt"))) == 1
    np.testing.assert_array_equal(again.encode_text(text), short.encode_text(text))


def test_one_pair_and_pairs_without_labels_can_be_learned():
    image, text, labels = toy(40)
    FJSPH(CONFIG).fit(image[:1], text[:1], labels[:1])
    labels[::2] = False
    hasher = FJSPH(CONFIG)
    hasher.fit(image, text, labels)
    assert hasher.encode(image[:1]).shape == (1, 16)
    image[:, 0], text[:, 0] = 3.0, 0.0  # features without variance
    assert np.isfinite(FJSPH(CONFIG).fit(image, text, labels)["loss"]).all()


@pytest.mark.parametrize("anchors", ["learned", "hadamard"])
def test_saved_and_loaded_it_is_the_same(tmp_path, anchors):
    image, text, labels = toy(40)
    hasher = FJSPH(replace(CONFIG, losses=FJSPHLossConfig(anchors=anchors)))
    hasher.fit(image, text, labels)
    hasher.save(tmp_path / "fjsph.safetensors")
    loaded = FJSPH.load(tmp_path / "fjsph.safetensors")
    assert loaded.config == hasher.config
    np.testing.assert_array_equal(loaded.encode(image), hasher.encode(image))
    np.testing.assert_array_equal(loaded.encode_text(text), hasher.encode_text(text))
    torch.testing.assert_close(loaded.network.centres, hasher.network.centres)
    with pytest.raises(ValueError, match="not saved by CTRH"):
        CTRH.load(tmp_path / "fjsph.safetensors")


def test_an_image_tower_can_be_trained_along():
    image, text, labels = toy(40)
    tower = Backbone("line", nn.Linear(12, 6), 6, lambda picture: picture, "line")
    hasher = FJSPH(CONFIG, tower)
    hasher.fit(torch.from_numpy(image), text, labels)
    assert not torch.equal(hasher.network.backbone.weight, tower.module.weight)
    assert hasher.encode(torch.from_numpy(image)).shape == (40, 16)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="contrast_on"):
        FJSPHConfig(contrast_on="features")
    with pytest.raises(ValueError, match="bits and width"):
        FJSPHConfig(width=0)
