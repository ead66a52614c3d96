"""Eq. (1), (9)-(14) against loops and torch's own attention; padding, images without a tag, the loss."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torchvision.models as zoo
from torch import Tensor, nn

from ctrh.losses import MIRFLICKR, LossConfig, total_loss
from ctrh.methods.ctrh import CTRHNetwork
from ctrh.network import (
    NO_TAG,
    HashLayer,
    Mapping,
    TagWeighting,
    mean_text,
    padded_tags,
    without_padding,
)
from ctrh.training import TrainConfig

N, K, C, D, HEADS, WIDTH = 4, 6, 9, 8, 2, 5
TAGS = [[1, 4, 7], [0], [], [2, 8]]


@pytest.fixture
def tag_ids() -> Tensor:
    return torch.tensor([[*own, *[NO_TAG] * (3 - len(own))] for own in TAGS])


@pytest.fixture
def text() -> Tensor:
    return torch.randn(C, D, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def v() -> Tensor:
    return torch.randn(N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def weighting() -> TagWeighting:
    torch.manual_seed(5)
    return TagWeighting(D, HEADS, ffn_ratio=3, dropout=0.5).double().eval()


def indicator(tag_ids: Tensor) -> Tensor:
    """T_i^c, row by row."""
    rows = torch.zeros(len(tag_ids), C, dtype=torch.bool)
    for row, ids in zip(rows, tag_ids.tolist()):
        row[[word for word in ids if word != NO_TAG]] = True
    return rows


def network(seed: int = 0, **options: object) -> CTRHNetwork:
    torch.manual_seed(seed)
    options = {"weighting": TagWeighting(D, HEADS), "losses": MIRFLICKR, "text": torch.randn(C, D)} | options
    return CTRHNetwork(options.pop("backbone", nn.Identity()), WIDTH, K, **options)


def test_padded_tags_keep_each_row_and_leave_the_matrix_alone(tag_ids):
    matrix = sp.csr_array(indicator(tag_ids).numpy().astype(float))
    matrix.data[matrix.data.size - 3] = 0  # an entry that is stored but says no
    before = matrix.copy()
    padded = padded_tags(matrix)
    expected = [np.flatnonzero(row).tolist() for row in before.toarray()]
    assert [[t for t in row if t != NO_TAG] for row in padded.tolist()] == expected
    assert padded.shape[1] == max(map(len, expected))
    assert all(NO_TAG not in row[: len(own)] for row, own in zip(padded.tolist(), expected))
    assert matrix.nnz == before.nnz and (matrix.indices == before.indices).all()


def test_padding_that_no_image_of_the_batch_needs_goes_and_changes_no_loss(tag_ids):
    wide = torch.nn.functional.pad(tag_ids, (0, 3), value=NO_TAG)
    assert torch.equal(without_padding(wide), tag_ids[:, : (tag_ids != NO_TAG).sum(dim=1).max()])
    assert without_padding(torch.full((3, 4), NO_TAG)).tolist() == [[NO_TAG]] * 3
    net, x = network().double().eval(), torch.randn(len(tag_ids), WIDTH, dtype=torch.float64)
    narrow, padded = (net.loss({"x": x, "tag_ids": ids})[0] for ids in (tag_ids, wide))
    torch.testing.assert_close(narrow, padded, rtol=0, atol=1e-12)


def test_padded_tags_without_any_tag_have_one_empty_column():
    assert padded_tags(sp.csr_array((3, 4), dtype=bool)).tolist() == [[NO_TAG]] * 3


def test_mean_text_is_the_mean_of_the_own_tags(text, tag_ids):
    r = mean_text(text, tag_ids)
    for row, own in zip(r, TAGS):
        expected = text[own].mean(dim=0) if own else torch.zeros(D, dtype=torch.float64)
        torch.testing.assert_close(row, expected)


def test_hash_and_mapping_are_eq_1_and_9():
    x = torch.randn(N, WIDTH)
    layer, mapping = HashLayer(WIDTH, K), Mapping(K, D)
    h = layer(x)
    torch.testing.assert_close(h, 1 / (1 + torch.exp(-(x @ layer.weight.T + layer.bias))))
    linear = h @ mapping.weight.T + mapping.bias
    torch.testing.assert_close(mapping(h), torch.where(linear > 0, linear, 0.01 * linear))


def by_the_letter(weighting: TagWeighting, v_i: Tensor, t: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Eq. (11)-(14) for one image, tag by tag, head by head; t: (M, D) -> r (D,), each head's logits."""
    d_k = D // HEADS
    answers, logits = [], []
    for a in range(HEADS):
        part = slice(a * d_k, (a + 1) * d_k)
        query = weighting.query.weight[part] @ v_i
        keys = [weighting.key.weight[part] @ tag for tag in t]
        values = [weighting.value.weight[part] @ tag for tag in t]
        scores = torch.stack([query @ key / math.sqrt(d_k) for key in keys])
        shares = torch.exp(scores) / torch.exp(scores).sum()
        answers.append(sum(share * value for share, value in zip(shares, values)))
        logits.append(scores)
    z = weighting.out.weight @ torch.cat(answers)
    inner, _, _, outer = weighting.ffn
    r = z + outer.weight @ torch.relu(inner.weight @ z + inner.bias) + outer.bias
    return r, logits


def test_tag_weighting_is_eq_11_to_14(weighting, v, text, tag_ids):
    r, attention = weighting(v, text, tag_ids)
    for i, own in enumerate(TAGS):
        _, logits = by_the_letter(weighting, v[i], text)  # over the whole vocabulary, without the mask
        everywhere = torch.stack(logits).mean(dim=0)
        torch.testing.assert_close(attention.asked[i] @ text.T, everywhere)
        torch.testing.assert_close(attention.own[i, : len(own)], everywhere[own])
        if own:
            torch.testing.assert_close(r[i], by_the_letter(weighting, v[i], text[own])[0])
        else:
            assert not r[i].any()


def test_weights_are_the_softmax_over_the_own_tags(weighting, v, text, tag_ids):
    weights = weighting.weights(v, text, tag_ids)
    assert weights.shape == (N, HEADS, tag_ids.shape[1])
    for i, own in enumerate(TAGS):
        expected = torch.zeros(HEADS, tag_ids.shape[1], dtype=torch.float64)
        if own:
            logits = torch.stack(by_the_letter(weighting, v[i], text[own])[1])
            expected[:, : len(own)] = logits.softmax(dim=1)
        torch.testing.assert_close(weights[i], expected)


def test_tag_weighting_is_torchs_attention(weighting, v, text, tag_ids):
    some = [0, 1, 3]
    reference = nn.MultiheadAttention(D, HEADS, bias=False, batch_first=True).double()
    with torch.no_grad():
        projections = [weighting.query.weight, weighting.key.weight, weighting.value.weight]
        reference.in_proj_weight.copy_(torch.cat(projections))
        reference.out_proj.weight.copy_(weighting.out.weight)
    t = text[tag_ids[some].clamp(min=0)]
    z, _ = reference(v[some][:, None], t, t, key_padding_mask=tag_ids[some] == NO_TAG)
    r, _ = weighting(v, text, tag_ids)
    torch.testing.assert_close(r[some], z[:, 0] + weighting.ffn(z[:, 0]))


def test_sum_over_heads_is_the_mean_times_heads_and_the_same_direction(weighting, v, text, tag_ids):
    summed = TagWeighting(D, HEADS, ffn_ratio=3, head_reduction="sum").double().eval()
    summed.load_state_dict(weighting.state_dict())
    (r, mean), (same, total) = weighting(v, text, tag_ids), summed(v, text, tag_ids)
    torch.testing.assert_close(total.own, HEADS * mean.own)
    torch.testing.assert_close(total.asked, HEADS * mean.asked)
    torch.testing.assert_close(r, same)


def test_more_padding_and_another_order_of_tags_change_nothing(weighting, v, text, tag_ids):
    r, attention = weighting(v, text, tag_ids)
    wider = torch.cat([tag_ids.flip(1), torch.full((N, 2), NO_TAG)], dim=1)
    same, other = weighting(v, text, wider)
    torch.testing.assert_close(same, r)
    torch.testing.assert_close(other.asked, attention.asked)
    own = tag_ids != NO_TAG
    torch.testing.assert_close(other.own[:, :3].flip(1)[own], attention.own[own])


def test_an_image_without_a_tag_disturbs_neither_values_nor_gradients(weighting, v, text, tag_ids):
    r, attention = weighting(v.requires_grad_(), text, tag_ids)
    (r.square().sum() + attention.asked.square().sum()).backward()
    assert torch.isfinite(r).all() and torch.isfinite(v.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in weighting.parameters())
    alone, _ = weighting(v[:2], text, tag_ids[:2])
    torch.testing.assert_close(r[:2], alone)
    nobody, _ = weighting(v, text, torch.full((N, 1), NO_TAG))
    assert not nobody.any()


def test_gradients_are_those_of_finite_differences(weighting, v, text, tag_ids):
    assert torch.autograd.gradcheck(lambda v: weighting(v, text, tag_ids)[0], v.requires_grad_())


def test_impossible_heads_are_refused():
    with pytest.raises(ValueError, match="width 8 cannot be divided among 3 heads"):
        TagWeighting(D, heads=3)
    with pytest.raises(ValueError, match="head_reduction"):
        TagWeighting(D, HEADS, head_reduction="max")


def test_the_loss_of_a_batch_is_that_over_the_whole_vocabulary(tag_ids):
    model = network().double().eval()
    x = torch.randn(N, WIDTH, dtype=torch.float64)
    h = model(x)
    v = model.mapping(h)
    r, attention = model.weighting(v, model.text, tag_ids)
    everywhere = attention.asked @ model.text.T
    expected, terms = total_loss(h, v, r, everywhere, indicator(tag_ids), MIRFLICKR)
    loss, got = model.loss({"x": x, "tag_ids": tag_ids})
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(got, terms)


def test_without_weighting_the_mean_text_is_the_target(tag_ids):
    model = network(weighting=None)
    x = torch.randn(N, WIDTH)
    h = model(x)
    r = mean_text(model.text, tag_ids)
    loss, terms = model.loss({"x": x, "tag_ids": tag_ids})
    expected, _ = total_loss(h, model.mapping(h), r, None, indicator(tag_ids), MIRFLICKR)
    assert loss == expected and "tag_balanced" not in terms
    assert {group["name"] for group in model.parameter_groups(TrainConfig())} == {"head"}


def test_beta_comes_from_the_network(tag_ids):
    losses = LossConfig(beta="inverse_frequency")
    x = torch.randn(N, WIDTH)
    terms = [
        network(losses=losses, beta=beta).eval().loss({"x": x, "tag_ids": tag_ids})[1]["tag_balanced"]
        for beta in (torch.full((C,), 1 / C), torch.full((C,), 2 / C))
    ]
    assert terms[1].item() == pytest.approx(2 * terms[0].item())


def test_losses_are_taken_in_single_precision_under_autocast(tag_ids):
    model = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, terms = model.loss({"x": torch.randn(N, WIDTH), "tag_ids": tag_ids})
    assert loss.dtype == torch.float32 and all(term.dtype == torch.float32 for term in terms.values())
    loss.backward()
    assert torch.isfinite(model.hash.weight.grad).all()


def test_parameter_groups_have_the_three_rates_and_hold_everything_that_trains():
    model = network(backbone=nn.Linear(3, WIDTH))
    groups = {group["name"]: group for group in model.parameter_groups(TrainConfig())}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "backbone": 1e-4,
        "head": 1e-3,
        "tags": 2e-4,
    }
    assert {id(p) for group in groups.values() for p in group["params"]} == {
        id(p) for p in model.parameters()
    }
    frozen = copy.deepcopy(model)
    frozen.backbone.requires_grad_(False)
    assert [group["name"] for group in frozen.parameter_groups(TrainConfig())] == ["head", "tags"]


def test_joint_or_alternating_updates():
    assert [network().paces(epoch) for epoch in (0.5, 2)] == [{"backbone": 1, "head": 1, "tags": 1}] * 2
    turns = [set(network(alternate=2).paces(epoch)) for epoch in (0.1, 2, 2.5, 4, 4.5)]
    assert turns == [{"tags"}, {"tags"}, {"backbone", "head"}, {"backbone", "head"}, {"tags"}]


def test_the_published_memory_is_nearly_that_of_alexnet_hash_and_mapping():
    """Table 3: 228.95 MB at 64 bits, 0.06 MB above WSHRCA, which maps to 300 numbers in place of 512."""
    with torch.device("meta"):
        alexnet = zoo.alexnet()
        alexnet.classifier = alexnet.classifier[:-1]
        text = torch.empty(1386, 512)
        model = CTRHNetwork(alexnet, 4096, 64, text, MIRFLICKR, TagWeighting(512))
        wshrca_mapping = Mapping(64, 300)

    def megabytes(*parts: nn.Module) -> float:
        return 4 * sum(p.numel() for part in parts for p in part.parameters()) / 1e6

    ours = megabytes(model.backbone, model.hash, model.mapping)
    assert ours == pytest.approx(228.95, abs=0.3)
    assert ours - megabytes(model.backbone, model.hash, wshrca_mapping) == pytest.approx(0.06, abs=0.01)
