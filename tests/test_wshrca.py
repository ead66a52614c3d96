"""WSHRCA: attention against the one-image formula and torch's own, the turns of training, and the whole."""

from __future__ import annotations

import math
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
    [(80, "ttii" * 20), (40, "ti" * 20), (10, "ti" * 5), (5, "titii"), (3, "tii"), (2, "ti"), (1, "i")],
)
def test_turns_begin_with_the_tag_module_and_end_with_the_image_network(epochs, pattern):
    model = network(replace(CONFIG, train=replace(TRAIN, epochs=epochs)))
    turns = [set(model.paces(epoch)) for epoch in range(epochs)]
    assert turns == [{"t": {"tags"}, "i": {"backbone", "head"}}[letter] for letter in pattern]


def paces(epochs: int, **changed: float) -> list[float]:
    model = network(replace(CONFIG, train=replace(TRAIN, epochs=epochs), **changed))
    return [pace for epoch in range(epochs) for pace in {*model.paces(epoch).values()}]


def test_each_part_warms_up_over_its_own_first_epochs():
    published = paces(80)  # tag, tag, image, image: 20 epochs of each are the first 40 of all
    assert published[:12] == pytest.approx([0, 0.05, 0, 0.05, 0.1, 0.15, 0.1, 0.15, 0.2, 0.25, 0.2, 0.25])
    assert published[36:42] == pytest.approx([0.9, 0.95, 0.9, 0.95, 1, 1]) and set(published[40:]) == {1}
    assert paces(8) == [0, 0, 0.5, 0.5, 1, 1, 1, 1]
    assert paces(8, warmup=0.5) == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert paces(8, warmup=0) == [1] * 8 and paces(3) == [1] * 3  # a quarter of 3 epochs is none


def test_the_rate_of_a_step_is_the_pace_times_the_schedule(monkeypatch):
    features, tags, text, _ = three_subjects()
    train = replace(TRAIN, epochs=8, schedule="cosine", batch_size=47)
    used, step = [], torch.optim.SGD.step

    def watched(optimiser, *args, **options):
        used.append({group["name"]: group["lr"] for group in optimiser.param_groups})
        return step(optimiser, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    WSHRCA(replace(CONFIG, train=train)).fit(features, tags, text)
    pace = [0, 0, 0.5, 0.5, 1, 1, 1, 1]
    expected = [train.lr_head * pace[e] * (1 + math.cos(math.pi * e / 8)) / 2 for e in (1, 3, 5, 7)]
    assert [rates["head"] for rates in used[1::2]] == pytest.approx(expected)
    assert [rates["tags"] for rates in used[1::2]] == [0] * 4  # not its turn


def test_initial_weights_are_those_that_the_authors_code_draws():
    start = WSHRCANetwork(nn.Identity(), 7, torch.zeros(5, 300), WSHRCAConfig(bits=64))
    reference = nn.MultiheadAttention(300, 3)
    attention = start.attention
    for layer in (attention.query, attention.key, attention.value):
        assert 0.99 * math.sqrt(6 / 1200) < layer.weight.abs().max() <= math.sqrt(6 / 1200)
        assert layer.weight.std().item() == pytest.approx(reference.in_proj_weight.std().item(), rel=0.02)
    assert attention.out.weight.std().item() == pytest.approx(
        reference.out_proj.weight.std().item(), rel=0.02
    )
    std = math.sqrt(2 / (64 + 300))
    assert start.mapping.weight.std().item() == pytest.approx(std, rel=0.03)
    assert start.mapping.weight.abs().max() > 3 * std  # no uniform distribution
    assert start.hash.weight.abs().max() <= 1 / math.sqrt(7) and start.hash.bias.any()
    torchs = WSHRCANetwork(nn.Identity(), 7, start.text, WSHRCAConfig(bits=64, initialisation="torch"))
    assert torchs.attention.query.weight.abs().max() <= 1 / math.sqrt(300)
    assert torchs.mapping.weight.abs().max() <= 1 / 8


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"warmup": -0.1}, {"initialisation": "xavier"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WSHRCAConfig(**wrong)


def test_only_the_part_whose_turn_it_is_changes():
    features, tags, text, _ = three_subjects()
    hashers = [WSHRCA(replace(CONFIG, train=replace(TRAIN, epochs=epochs), warmup=0)) for epochs in (1, 3)]
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
