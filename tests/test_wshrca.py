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
from ctrh.training import TrainingData, train

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


def schedule(epochs: int, steps: int, **changed: int) -> list[tuple[str, float]]:
    """Whose turn each step is, "t" or "i" for tag module or image network, and the factor on its rates."""
    model = network(replace(CONFIG, train=replace(TRAIN, epochs=epochs), **changed))
    parts = {("tags",): "t", ("backbone", "head"): "i"}
    paces = [model.paces(epoch + step / steps) for epoch in range(epochs) for step in range(1, steps + 1)]
    return [(parts[tuple(pace)], *{*pace.values()}) for pace in paces]


def test_turns_and_warm_up_are_those_of_the_authors_code():
    """It alternates [0, 0, 1, 1] * 20; each part's optimiser has a scheduler of its own, which gives n / 20 to its n-th epoch,
    from 0, and 1 from its 20th on."""
    seen, expected = {"t": 0, "i": 0}, []
    for part in "ttii" * 20:
        expected += [(part, pytest.approx(min(seen[part] / 20, 1)))] * 7
        seen[part] += 1
    assert schedule(80, steps=7) == expected


def test_a_shorter_training_has_the_same_schedule_squeezed():
    halves = [
        ("t", 0),
        ("i", 0),
        ("t", 0.1),
        ("i", 0.1),
        ("t", 0.2),
        ("i", 0.2),
    ]  # epochs 2, 4, 6 ... of 80 begin
    assert [part for part, _ in schedule(3, steps=80)[:18]] == ["t"] * 6 + ["i"] * 6 + [
        "t"
    ] * 6  # 3 steps an epoch
    assert schedule(40, steps=2)[:12:2] == [(p, pytest.approx(x)) for p, x in halves]
    assert {pace for _, pace in schedule(3, steps=80)[120:]} == {1}  # from the middle on
    assert schedule(1, steps=1) == [("i", 1)]  # were it the tag module's, there would be no code
    for epochs, steps in ((3, 11), (5, 13), (2, 1)):
        assert schedule(epochs, steps)[-1] == ("i", 1)
    assert "".join(part for part, _ in schedule(8, steps=1, turn=20)) == "ttiittii"
    assert {pace for _, pace in schedule(8, steps=3, warmup=0)} == {1}


def test_the_rate_of_a_step_is_the_pace_times_the_schedule(monkeypatch):
    features, tags, text, _ = three_subjects()
    settings = replace(TRAIN, epochs=8, schedule="cosine", batch_size=47)
    used, step = [], torch.optim.SGD.step

    def watched(optimiser, *args, **options):
        used.append({group["name"]: group["lr"] for group in optimiser.param_groups})
        return step(optimiser, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    WSHRCA(replace(CONFIG, turn=10, warmup=40, train=settings)).fit(features, tags, text)
    pace = [
        9 / 40,
        9 / 40,
        19 / 40,
        19 / 40,
        29 / 40,
        29 / 40,
        39 / 40,
        39 / 40,
    ]  # tag, image, tag, image ...
    cosine = [(1 + math.cos(math.pi * epoch / 8)) / 2 for epoch in range(8)]
    expected = [pytest.approx(settings.lr_head * pace[epoch] * cosine[epoch]) for epoch in (1, 3, 5, 7)]
    assert [rates["head"] for rates in used[1::2]] == expected
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


@pytest.mark.parametrize("wrong", [{"turn": 0}, {"warmup": -1}, {"initialisation": "xavier"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WSHRCAConfig(**wrong)


def test_only_the_part_whose_turn_it_is_changes():
    model = network(replace(CONFIG, turn=40, warmup=0, train=replace(TRAIN, epochs=2)))
    data = TrainingData(torch.randn(16, 7), {"tag_ids": torch.randint(5, (16, 2))})
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    moved = []
    for _ in train(model, data, model.config.train):
        now = {name: weight.clone() for name, weight in model.named_parameters()}
        moved.append({name.split(".")[0] for name in now if not torch.equal(now[name], before[name])})
        before = now
    assert moved == [{"attention"}, {"hash", "mapping"}]


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
    assert (config.turn, config.warmup, config.initialisation) == (2, 20, "authors")
    assert (config.train.epochs, config.train.batch_size, config.train.momentum) == (80, 32, 0.9)
    assert (config.train.lr_backbone, config.train.lr_head, config.train.lr_tags) == (1e-4, 1e-3, 2e-4)
    with pytest.raises(ValueError, match="100 cannot be divided among 3 heads"):
        WSHRCANetwork(nn.Identity(), 7, torch.randn(5, 100), CONFIG)
