"""Eq. (15)-(19) against double sums written from the article, in float64, and the cases without an answer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ctrh.losses import (
    MIRFLICKR,
    NUSWIDE,
    LossConfig,
    hinge_loss,
    inverse_frequency,
    quantisation_loss,
    similarity_loss,
    tag_balanced_loss,
    total_loss,
)

N, K, C, D = 5, 6, 7, 4


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    tags = torch.rand(N, C, generator=generator) < 0.4
    return {
        "h": normal(N, K).sigmoid(),
        "v": normal(N, D),
        "r": normal(N, D),
        "attention": normal(N, C),
        "tags": tags,
    }


def cos(a: Tensor, b: Tensor) -> float:
    """Plain Python; 0 with a zero vector."""
    a, b = a.tolist(), b.tolist()
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b)) / lengths if lengths else 0.0


def hinge_by_loop(r: Tensor, v: Tensor, margin: float) -> list[float]:
    return [
        max(0.0, margin + cos(r[j], v[i]) - cos(r[i], v[i]))
        for i in range(len(r))
        for j in range(len(r))
        if j != i
    ]


def similarity_by_loop(h: Tensor, r: Tensor) -> list[float]:
    terms = []
    for i in range(len(h)):
        for j in range(len(h)):
            if j != i:
                distance = sum((a - b) ** 2 for a, b in zip(h[i].tolist(), h[j].tolist())) / h.shape[1]
                terms.append(abs(distance - (1 - cos(r[i], r[j])) / 2))
    return terms


def tag_balanced_by_loop(
    attention: Tensor, tags: Tensor, gamma: float, beta: list[float], normalise: bool
) -> float:
    total = 0.0
    for i in range(len(attention)):
        length = math.sqrt(sum(a * a for a in attention[i].tolist())) if normalise else 1.0
        for c in range(attention.shape[1]):
            if tags[i, c]:
                confidence = 1 / (1 + math.exp(-float(attention[i, c]) / length))
                total += beta[c] * (1 - confidence) ** gamma * math.log(confidence)
    return -total / len(attention)


def test_quantisation_is_eq_15(batch):
    h = batch["h"]
    expected = -sum((x - 0.5) ** 2 for row in h.tolist() for x in row) / K / N
    assert quantisation_loss(h).item() == pytest.approx(expected, abs=1e-12)


def test_quantisation_is_least_for_binary_codes_and_greatest_at_one_half():
    assert quantisation_loss(torch.tensor([[0.0, 1.0], [1.0, 1.0]])).item() == -0.25
    assert quantisation_loss(torch.full((3, 4), 0.5)).item() == 0


@pytest.mark.parametrize("margin", [0.7, 0.9])
def test_hinge_is_eq_16(batch, margin):
    terms = hinge_by_loop(batch["r"], batch["v"], margin)
    assert len(terms) == N * (N - 1)
    mean = hinge_loss(batch["r"], batch["v"], margin)
    assert mean.item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)
    assert hinge_loss(batch["r"], batch["v"], margin, "sum").item() == pytest.approx(sum(terms), abs=1e-12)


def test_hinge_asks_each_code_for_its_own_text_and_not_the_reverse():
    """v_0 is as near to r_1 as to r_0, v_1 is not near to r_0: i runs over codes, j over texts."""
    r = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    v = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert hinge_loss(r, v, margin=0.5, reduction="sum").item() == pytest.approx(0.5)
    assert hinge_loss(v, r, margin=0.5, reduction="sum").item() != pytest.approx(0.5)


def test_similarity_is_eq_17(batch):
    terms = similarity_by_loop(batch["h"], batch["r"])
    mean = similarity_loss(batch["h"], batch["r"])
    assert mean.item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)
    assert similarity_loss(batch["h"], batch["r"], "sum").item() == pytest.approx(sum(terms), abs=1e-12)


def test_similarity_in_single_precision_survives_nearly_equal_codes():
    """The Gram form subtracts; distances of 1e-8 must not come out as 1e-6, nor negative."""
    generator = torch.Generator().manual_seed(0)
    h = 0.9 + 1e-4 * torch.rand(8, 64, generator=generator)
    r = torch.ones(8, 3)  # all cosines are 1, so that the loss is the mean distance itself
    exact = sum(similarity_by_loop(h.double(), r.double())) / 56
    assert similarity_loss(h, r).item() == pytest.approx(exact, abs=3e-7)


def test_similarity_may_leave_the_text_alone(batch):
    h, r = batch["h"].requires_grad_(), batch["r"].requires_grad_()
    fixed = similarity_loss(h, r, into_text=False)
    assert fixed.item() == similarity_loss(h, r).item()
    assert torch.autograd.grad(fixed, r, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(fixed, h)[0].abs().sum() > 0
    assert torch.autograd.grad(similarity_loss(h, r), r)[0].abs().sum() > 0


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
@pytest.mark.parametrize("normalise", [True, False])
def test_tag_balanced_is_eq_18(batch, gamma, normalise):
    beta = [0.1 * (c + 1) for c in range(C)]
    got = tag_balanced_loss(
        batch["attention"], batch["tags"], gamma, torch.tensor(beta, dtype=torch.float64), normalise
    )
    expected = tag_balanced_by_loop(batch["attention"], batch["tags"], gamma, beta, normalise)
    assert got.item() == pytest.approx(expected, abs=1e-12)


def test_tag_balanced_has_one_over_c_for_beta_by_default(batch):
    expected = tag_balanced_by_loop(batch["attention"], batch["tags"], 1, [1 / C] * C, True)
    assert tag_balanced_loss(batch["attention"], batch["tags"]).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("normalise", [True, False])
def test_tag_balanced_over_own_tags_alone_is_the_sum_over_the_vocabulary(batch, normalise):
    """Padded to the most tags of an image, with rubbish at the padding."""
    attention, tags = batch["attention"], batch["tags"]
    beta = torch.rand(C, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    most = int(tags.sum(dim=1).max())
    ids = tags.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    own = tags.gather(1, ids)
    scores = attention.gather(1, ids).where(own, 1e3)
    length = torch.linalg.vector_norm(attention, dim=1)
    expected = tag_balanced_by_loop(attention, tags, 1, beta.tolist(), normalise)
    assert most < C
    assert tag_balanced_loss(scores, own, 1, beta[ids], normalise, length).item() == pytest.approx(expected)


def test_focal_weight_moves_the_stress_to_tags_of_low_confidence():
    tags = torch.tensor([[True, True]])
    attention = torch.tensor([[4.0, -4.0]], requires_grad=True)
    shares = []
    for gamma in (0, 1, 2):
        loss = tag_balanced_loss(attention, tags, gamma, normalise=False)
        easy, hard = torch.autograd.grad(loss, attention)[0][0].abs().tolist()
        shares.append(hard / (easy + hard))
    assert shares == sorted(shares) and shares[2] > shares[0]


def test_huge_attention_logits_stay_finite():
    attention = torch.tensor([[500.0, -500.0]], requires_grad=True)
    for gamma in (0, 0.5, 1, 2):
        loss = tag_balanced_loss(attention, torch.ones(1, 2, dtype=torch.bool), gamma, normalise=False)
        (gradient,) = torch.autograd.grad(loss, attention)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_inverse_frequency_by_hand():
    """1/1 : 1/2 : - : 1/4 out of 7/4."""
    beta = inverse_frequency(torch.tensor([1, 2, 0, 4]))
    torch.testing.assert_close(beta, torch.tensor([4 / 7, 2 / 7, 0.0, 1 / 7]))
    with pytest.raises(ValueError, match="no image has a tag"):
        inverse_frequency(torch.zeros(3))


def test_total_is_eq_19(batch):
    config = LossConfig(weights=(2, 3, 5, 7), margin=0.6, gamma=2, normalise_attention=False, reduction="sum")
    loss, terms = total_loss(**batch, config=config)
    assert list(terms) == ["quantisation", "hinge", "similarity", "tag_balanced"]
    expected = (
        2 * terms["quantisation"] + 3 * terms["hinge"] + 5 * terms["similarity"] + 7 * terms["tag_balanced"]
    )
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert terms["hinge"].item() == pytest.approx(sum(hinge_by_loop(batch["r"], batch["v"], 0.6)))
    assert terms["similarity"].item() == pytest.approx(sum(similarity_by_loop(batch["h"], batch["r"])))
    focal = tag_balanced_by_loop(batch["attention"], batch["tags"], 2, [1 / C] * C, False)
    assert terms["tag_balanced"].item() == pytest.approx(focal)


def test_every_reading_reaches_the_total(batch):
    def total(config: LossConfig, beta: Tensor | None = None) -> float:
        return total_loss(**batch, config=config, beta=beta)[0].item()

    others = {
        "weights": (1, 1, 10, 15),
        "margin": 0.9,
        "gamma": 2.0,
        "normalise_attention": False,
        "reduction": "sum",
    }
    for name, value in others.items():
        assert total(replace(MIRFLICKR, **{name: value})) != total(MIRFLICKR), name
    frequencies = inverse_frequency(batch["tags"].sum(dim=0))
    assert total(replace(MIRFLICKR, beta="inverse_frequency"), frequencies) != total(MIRFLICKR)
    r = batch["r"].requires_grad_()
    gradients = [
        torch.autograd.grad(total_loss(**batch, config=replace(MIRFLICKR, similarity_into_text=into))[0], r)[
            0
        ]
        for into in (True, False)
    ]
    assert not torch.equal(*gradients)


def test_presets_are_the_papers():
    assert (MIRFLICKR.margin, NUSWIDE.margin) == (0.7, 0.9)
    assert NUSWIDE == replace(MIRFLICKR, margin=0.9)
    assert MIRFLICKR.weights == (1, 10, 1, 15) and MIRFLICKR.gamma == 1


def test_without_tag_weighting_the_tag_balanced_term_is_left_out(batch):
    loss, terms = total_loss(**{**batch, "attention": None}, config=MIRFLICKR)
    assert list(terms) == ["quantisation", "hinge", "similarity"]
    with_attention, all_terms = total_loss(**batch, config=MIRFLICKR)
    assert (with_attention - 15 * all_terms["tag_balanced"]).item() == pytest.approx(loss.item())


def test_gradients_are_those_of_finite_differences(batch):
    leaves = [batch[name].requires_grad_() for name in ("h", "v", "r", "attention")]

    def total(*parts: Tensor) -> Tensor:
        return total_loss(*parts, batch["tags"], replace(MIRFLICKR, gamma=2.0))[0]

    assert torch.autograd.gradcheck(total, leaves)


def test_the_order_of_the_images_does_not_matter(batch):
    order = torch.tensor([3, 0, 4, 1, 2])
    loss, _ = total_loss(**batch, config=MIRFLICKR)
    permuted, _ = total_loss(**{name: part[order] for name, part in batch.items()}, config=MIRFLICKR)
    assert permuted.item() == pytest.approx(loss.item(), abs=1e-12)


def test_a_batch_of_one_has_no_pairs_but_a_gradient(batch):
    one = {name: part[:1] for name, part in batch.items()}
    one["h"].requires_grad_()
    for reduction in ("mean", "sum"):
        loss, terms = total_loss(**one, config=replace(MIRFLICKR, reduction=reduction))
        assert terms["hinge"] == 0 and terms["similarity"] == 0
        loss.backward()
    assert torch.isfinite(one["h"].grad).all()


def test_zero_vectors_have_cosine_zero_and_finite_gradients(batch):
    """r = 0 is what an image without a tag has; nothing of it may turn into NaN, nor into 1e12."""
    r, v, attention = (
        batch[name].clone().index_fill(0, torch.tensor([2]), 0) for name in ("r", "v", "attention")
    )
    leaves = [part.requires_grad_() for part in (r, v, attention)]
    loss, terms = total_loss(batch["h"], v, r, attention, batch["tags"], MIRFLICKR)
    expected = hinge_by_loop(r, v, 0.7)
    assert terms["hinge"].item() == pytest.approx(sum(expected) / len(expected), abs=1e-12)
    for gradient in torch.autograd.grad(loss, leaves):
        assert torch.isfinite(gradient).all() and gradient.abs().max() < 100


def test_an_image_without_a_tag_adds_nothing_to_eq_18(batch):
    tags = batch["tags"].clone()
    tags[0] = False
    rest = tag_balanced_loss(batch["attention"][1:], tags[1:]) * (N - 1) / N
    assert tag_balanced_loss(batch["attention"], tags).item() == pytest.approx(rest.item(), abs=1e-12)
    assert tag_balanced_loss(batch["attention"], torch.zeros(N, C, dtype=torch.bool)).item() == 0


def test_wrong_shapes_and_settings_are_refused(batch):
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(4, 4\)"):
        hinge_loss(batch["r"], batch["v"][:4], 0.7)
    with pytest.raises(ValueError, match="same images"):
        similarity_loss(batch["h"], batch["r"][:1])
    with pytest.raises(ValueError, match="attention and tags"):
        tag_balanced_loss(batch["attention"], batch["tags"][:, :1])
    with pytest.raises(ValueError, match="beta is missing"):
        total_loss(**batch, config=replace(MIRFLICKR, beta="inverse_frequency"))
    for wrong in (
        {"weights": (1, 1, 1)},
        {"weights": (1, -1, 1, 1)},
        {"gamma": -1},
        {"beta": "x"},
        {"reduction": "x"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(MIRFLICKR, **wrong)
