"""WDHT: its losses against double sums written from the authors' code, tag vectors by hand, and the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, three_subjects
from torch import Tensor, nn

from ctrh.methods.ewsh import EWSH
from ctrh.methods.wdht import (
    WDHT,
    WDHTConfig,
    WDHTNetwork,
    inverse_frequencies,
    pairwise_loss,
    ranking_loss,
    tag_vectors,
)
from ctrh.network import NO_TAG

CONFIG = WDHTConfig(bits=8, hidden=12, train=TRAIN)
N, K, D = 5, 6, 4


@pytest.fixture
def parts() -> tuple[Tensor, Tensor, Tensor]:
    """h, v, t; the last image has no tag vector."""
    generator = torch.Generator().manual_seed(1)
    h, v, t = (torch.randn(N, width, dtype=torch.float64, generator=generator) for width in (K, D, D))
    t[-1] = 0
    return h.sigmoid(), v.tanh(), t


def cosine_distance(a: list[float], b: list[float]) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return 1 - (sum(x * y for x, y in zip(a, b)) / lengths if lengths else 0)


def test_pairwise_term_is_the_squared_difference_of_the_distances(parts):
    h, _, t = parts
    terms = []
    for i in range(N):
        for j in range(N):
            if i != j:
                distance = sum((a - b) ** 2 for a, b in zip(h[i].tolist(), h[j].tolist())) / K
                terms.append((distance - cosine_distance(t[i].tolist(), t[j].tolist())) ** 2)
    assert len(terms) == 20
    assert pairwise_loss(h, t).item() == pytest.approx(sum(terms) / 20, abs=1e-12)


def test_ranking_term_asks_for_the_own_tag_vector_before_any_other(parts):
    _, v, t = parts
    terms = []
    for i in range(N):
        for j in range(N):
            if i != j:
                ahead = sum(
                    a * (own - other) for a, own, other in zip(*(x.tolist() for x in (v[i], t[i], t[j])))
                )
                terms.append(max(0.0, 0.2 - ahead))
    assert ranking_loss(v, t, 0.2).item() == pytest.approx(sum(terms) / 20, abs=1e-12)
    own = torch.eye(3)
    assert ranking_loss(own, own, 0.2).item() == pytest.approx(0, abs=1e-7)


def test_gradients_are_those_of_finite_differences(parts):
    h, v, t = parts
    assert torch.autograd.gradcheck(lambda h: pairwise_loss(h, t), h.requires_grad_())
    assert torch.autograd.gradcheck(lambda v: ranking_loss(v, t, 0.2), v.requires_grad_())


def test_a_batch_of_one_has_no_pairs(parts):
    h, v, t = (part[:1].requires_grad_() for part in parts)
    loss = pairwise_loss(h, t) + ranking_loss(v, t, 0.2)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert torch.isfinite(h.grad).all() and torch.isfinite(v.grad).all()


def test_tag_vectors_are_weighted_means_by_hand():
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    tag_ids = torch.tensor([[0, 1, NO_TAG], [2, NO_TAG, NO_TAG], [NO_TAG, NO_TAG, NO_TAG], [0, 1, 2]])
    weights = torch.tensor([[1.0, 3.0, 9.0], [0.5, 9.0, 9.0], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.25, 0.75], [3.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(tag_vectors(text, tag_ids, weights), expected)


def test_rare_words_weigh_more_by_inverse_frequency():
    tags = sp.csr_array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], dtype=bool)
    expected = [0.0, math.log(2), math.log(4), 0.0]
    assert inverse_frequencies(tags).tolist() == pytest.approx(expected)


def network(weights: tuple[float, ...] = (1.0, 10.0, 1.0)) -> WDHTNetwork:
    torch.manual_seed(0)
    text, words = torch.randn(7, D), torch.arange(1.0, 8)
    config = WDHTConfig(bits=K, hidden=5, weights=weights)
    return WDHTNetwork(nn.Identity(), 9, text, config, word_weights=words)


def test_loss_of_a_batch_is_the_weighted_sum_of_its_terms():
    model = network((2.0, 3.0, 5.0))
    x, tag_ids = torch.randn(3, 9), torch.tensor([[0, 3], [6, NO_TAG], [NO_TAG, NO_TAG]])
    loss, terms = model.loss({"x": x, "tag_ids": tag_ids})
    hidden = torch.relu(model.hidden[0](x))
    h, v = model.hash(hidden), torch.tanh(model.semantic[0](hidden))
    torch.testing.assert_close(model(x), h)
    text = model.text
    t = torch.stack([(1 * text[0] + 4 * text[3]) / 5, text[6], torch.zeros(D)])
    expected = 2 * pairwise_loss(h, t) + 3 * ranking_loss(v, t, 0.2) - 5 * (h - 0.5).square().mean()
    torch.testing.assert_close(loss, expected)
    assert list(terms) == ["pairwise", "ranking", "quantisation"]
    loss.backward()
    assert all(torch.isfinite(part.grad).all() for part in model.parameters())


def test_every_parameter_but_the_backbone_learns_at_the_heads_rate():
    groups = network().parameter_groups(TRAIN)
    assert [(group["name"], group["lr"], len(group["params"])) for group in groups] == [("head", 0.1, 6)]


@pytest.mark.parametrize("hasher", [WDHT, EWSH])
def test_layers_start_as_keras_draws_them(hasher):
    """Uniform up to sqrt(6 / (inputs + outputs)) with biases of 0: Glorot and Bengio, AISTATS 2010, Eq. (16)."""
    tags = sp.csr_array(np.eye(3, dtype=bool))
    torch.manual_seed(0)
    config = hasher.config_type(bits=64)
    start = hasher(config).untrained(nn.Identity(), 500, tags, torch.zeros(3, 300))
    for layer in (start.hidden[0], start.hash, start.semantic[0]):
        limit = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.99 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.03)
        assert not layer.bias.any()
    torchs = hasher(replace(config, initialisation="torch")).untrained(nn.Identity(), 500, tags, start.text)
    assert 0.99 / math.sqrt(500) < torchs.hidden[0].weight.abs().max() <= 1 / math.sqrt(500)
    assert torchs.hash.bias.any()


@pytest.mark.parametrize("tag_weights", ["mean", "inverse_frequency"])
def test_codes_follow_the_subjects(tag_weights):
    config = replace(CONFIG, tag_weights=tag_weights, train=replace(TRAIN, epochs=25))
    assert_learns(WDHT(config), three_subjects())


def test_one_seed_one_result_saved_and_loaded(tmp_path):
    config = replace(CONFIG, tag_weights="inverse_frequency")
    assert_repeats_and_saves(WDHT, config, three_subjects(), tmp_path / "wdht.safetensors")


def test_settings_are_the_published_ones_and_wrong_ones_are_refused():
    config = WDHTConfig()
    assert (config.weights, config.margin, config.hidden) == ((1, 10, 1), 0.2, 256)
    assert (config.train.epochs, config.train.batch_size) == (50, 50)
    assert (config.train.lr_backbone, config.train.lr_head) == (1e-4, 1e-3)
    with pytest.raises(ValueError, match="tag_weights"):
        WDHTConfig(tag_weights="tf")
    with pytest.raises(ValueError, match="initialisation"):
        WDHTConfig(initialisation="keras")
