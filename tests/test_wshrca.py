"""WSHRCA: attention against the one-image formula and torch's own, the turns of training, and the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, assert_resumes, three_subjects
from torch import nn

from ctrh.losses import hinge_loss, quantisation_loss, similarity_loss
from ctrh.methods.wshrca import WSHRCA, CrossModalAttention, WSHRCAConfig, WSHRCANetwork
from ctrh.network import NO_TAG

CONFIG = WSHRCAConfig(bits=8, ffn=10, train=TRAIN)
D, HEADS = 6, 3
TAG_IDS = torch.tensor([[0, 2, 4], [1, NO_TAG, NO_TAG], [NO_TAG, NO_TAG, NO_TAG]])


def test_attention_is_torchs_multihead_attention_then_a_residual_ffn():
    torch.manual_seed(0)
    attention = CrossModalAttention(D, HEADS, ffn=512, dropout=0.1).eval()
    assert attention.ffn[0].out_features == 512
    reference = nn.MultiheadAttention(D, HEADS, bias=False, batch_first=True)
    rows = [attention.query.weight, attention.key.weight, attention.value.weight]
    reference.in_proj_weight.data = torch.cat(rows).detach()
    reference.out_proj.weight.data = attention.out.weight.detach()
    v, text = torch.randn(2, D), torch.randn(5, D)
    r, _ = attention(v, text, TAG_IDS[:2])
    for i, tags in enumerate(([0, 2, 4], [1])):
        z, _ = reference(v[None, None, i], text[None, tags], text[None, tags])
        first, _, _, second, _ = attention.ffn
        torch.testing.assert_close(r[i], (z + second(torch.relu(first(z))))[0, 0])


def network(config: WSHRCAConfig = CONFIG) -> WSHRCANetwork:
    torch.manual_seed(0)
    return WSHRCANetwork(nn.Identity(), 7, torch.randn(5, D), config)


def test_loss_of_a_batch_is_the_weighted_sum_of_its_terms():
    model = network(replace(CONFIG, weights=(2.0, 3.0, 5.0), margin=0.4)).eval()
    x = torch.randn(3, 7)
    loss, terms = model.loss({"x": x, "tag_ids": TAG_IDS})
    h = model.hash(x)
    v = nn.functional.leaky_relu(nn.functional.linear(h, model.mapping.weight, model.mapping.bias))
    r, _ = model.attention(v, model.text, TAG_IDS)
    expected = 2 * similarity_loss(h, r) + 3 * hinge_loss(r, v, 0.4) + 5 * quantisation_loss(h)
    torch.testing.assert_close(loss, expected)
    assert list(terms) == ["pairwise", "hinge", "quantisation"]


@pytest.mark.parametrize("rows", [[0], [2], [0, 2], [2, 2]])
def test_a_batch_of_one_and_images_without_a_tag_give_finite_gradients(rows):
    model = network()
    loss, _ = model.loss({"x": torch.randn(len(rows), 7), "tag_ids": TAG_IDS[rows]})
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("epochs", "pattern"),
    [(80, "ttii" * 20), (40, "ti" * 20), (10, "ti" * 5), (5, "ititi"), (1, "i"), (160, "ttttiiii" * 20)],
)
def test_tag_module_and_image_network_take_turns_and_the_image_network_comes_last(epochs, pattern):
    model = network(replace(CONFIG, train=replace(TRAIN, epochs=epochs)))
    turns = [model.active_groups(epoch) for epoch in range(epochs)]
    assert turns == [{"t": {"tags"}, "i": {"backbone", "head"}}[letter] for letter in pattern]


def test_only_the_part_whose_turn_it_is_changes():
    features, tags, text, _ = three_subjects()
    hashers = [WSHRCA(replace(CONFIG, train=replace(TRAIN, epochs=epochs))) for epochs in (1, 3)]
    for hasher in hashers:
        hasher.fit(features, tags, text)
    torch.manual_seed(TRAIN.seed)
    untrained = WSHRCANetwork(nn.Identity(), 10, torch.from_numpy(text), CONFIG)
    one, three = (hasher.network for hasher in hashers)
    assert torch.equal(one.attention.query.weight, untrained.attention.query.weight)
    assert not torch.equal(one.hash.weight, untrained.hash.weight)
    assert not torch.equal(three.attention.query.weight, untrained.attention.query.weight)


def test_the_attention_learns_at_a_rate_of_its_own():
    groups = {
        group["name"]: (group["lr"], len(group["params"])) for group in network().parameter_groups(TRAIN)
    }
    assert groups == {"head": (TRAIN.lr_head, 4), "tags": (TRAIN.lr_tags, 8)}


def test_codes_follow_the_subjects():
    assert_learns(WSHRCA(replace(CONFIG, bits=16, train=replace(TRAIN, epochs=25))), three_subjects())


def test_one_seed_one_result_saved_and_loaded(tmp_path):
    assert_repeats_and_saves(WSHRCA, CONFIG, three_subjects(), tmp_path / "wshrca.safetensors")


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_stopped_fit_goes_on_with_the_turn_that_is_due(tmp_path, monkeypatch, stop_after):
    assert_resumes(WSHRCA, CONFIG, three_subjects(), tmp_path, monkeypatch, stop_after)


def test_settings_are_the_published_ones_and_heads_must_fit_the_word_vectors():
    config = WSHRCAConfig()
    assert (config.weights, config.heads, config.ffn, config.dropout) == ((1, 10, 1), 3, 512, 0.1)
    train = config.train
    assert (train.epochs, train.batch_size, train.momentum) == (80, 32, 0.9)
    assert (train.lr_backbone, train.lr_head, train.lr_tags) == (1e-4, 1e-3, 2e-4)
    with pytest.raises(ValueError, match="100 cannot be divided among 3 heads"):
        WSHRCANetwork(nn.Identity(), 7, torch.randn(5, 100), CONFIG)
