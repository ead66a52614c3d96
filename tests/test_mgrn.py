"""MGRN: graph attention against nodes, edges and softmax written out one by one, and the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, assert_resumes, three_subjects
from torch import Tensor, nn

from ctrh.losses import hinge_loss, quantisation_loss, similarity_loss
from ctrh.methods.mgrn import MGRN, GraphReasoning, MGRNConfig, MGRNNetwork, masked_tag_loss, random_tag
from ctrh.network import NO_TAG

CONFIG = MGRNConfig(bits=8, train=TRAIN)
D = 4
TAG_IDS = torch.tensor([[0, 2, 5], [1, NO_TAG, NO_TAG], [NO_TAG, NO_TAG, NO_TAG]])


@pytest.fixture
def graph() -> GraphReasoning:
    torch.manual_seed(0)
    graph = GraphReasoning(image_width=7, width=D, slope=0.2).double()
    torch.nn.init.normal_(graph.mask)
    return graph


@pytest.fixture
def text() -> Tensor:
    return torch.randn(6, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def row_by_loop(graph: GraphReasoning, nodes: list[Tensor], asked: int) -> Tensor:
    """ELU(sum_j a_j W n_j) with a = softmax(LeakyReLU(p . W n_i + q . W n_j))."""
    projected = [(graph.project.weight @ node).detach() for node in nodes]
    own = float(graph.asking.detach() @ projected[asked])
    logits = [own + float(graph.answering.detach() @ node) for node in projected]
    logits = [x if x > 0 else 0.2 * x for x in logits]
    total = sum(math.exp(x) for x in logits)
    mixed = sum(math.exp(x) / total * node for x, node in zip(logits, projected))
    return torch.where(mixed > 0, mixed, mixed.exp() - 1)


def test_the_images_row_is_graph_attention_over_the_image_and_its_own_tags(graph, text):
    image = graph.node(torch.randn(3, 7, dtype=torch.float64))
    got = graph.at_image(image, text, TAG_IDS)
    for i, tags in enumerate(TAG_IDS.tolist()):
        nodes = [image[i], *(text[c] for c in tags if c != NO_TAG)]
        torch.testing.assert_close(got[i], row_by_loop(graph, nodes, asked=0))


def test_the_masked_row_sees_the_mask_in_place_of_the_tag(graph, text):
    image = graph.node(torch.randn(3, 7, dtype=torch.float64))
    place = torch.tensor([1, 0, 0])
    got = graph.at_mask(image, text, TAG_IDS, place)
    for i, tags in enumerate([[0, None, 5], [None]]):
        nodes = [image[i], *(graph.mask if c is None else text[c] for c in tags)]
        torch.testing.assert_close(got[i], row_by_loop(graph, nodes, asked=1 + int(place[i])))
    assert torch.isfinite(got[2]).all()
    other = text.clone()
    other[2] += 1  # the hidden word itself
    torch.testing.assert_close(graph.at_mask(image, other, TAG_IDS, place)[0], got[0])


def test_gradients_of_both_rows_are_those_of_finite_differences(graph, text):
    image = graph.node(torch.randn(3, 7, dtype=torch.float64)).detach().requires_grad_()

    def rows(image: Tensor, *_: Tensor) -> Tensor:
        place = torch.tensor([2, 0, 0])
        return graph.at_image(image, text, TAG_IDS) + graph.at_mask(image, text, TAG_IDS, place)

    own = graph.project.weight, graph.asking, graph.answering, graph.mask
    assert torch.autograd.gradcheck(rows, (image, *own))


def test_masked_tag_term_is_the_cross_entropy_over_the_vocabulary(text):
    guess = torch.randn(3, D, dtype=torch.float64)
    tag = torch.tensor([4, 0, NO_TAG])
    terms = []
    for i in range(2):
        scores = [float(guess[i] @ word) for word in text]
        terms.append(math.log(sum(math.exp(x) for x in scores)) - scores[tag[i]])
    assert masked_tag_loss(guess, text, tag).item() == pytest.approx(sum(terms) / 2)
    assert masked_tag_loss(guess, text, torch.full((3,), NO_TAG)).item() == 0


def test_each_own_tag_is_masked_as_often_as_any_other():
    torch.manual_seed(0)
    places = torch.stack([random_tag(TAG_IDS) for _ in range(600)])
    counts = [torch.bincount(column, minlength=3).tolist() for column in places.T]
    assert min(counts[0]) > 150 and counts[1] == [600, 0, 0] and counts[2] == [600, 0, 0]


def test_loss_of_a_batch_is_the_weighted_sum_of_its_terms(text):
    torch.manual_seed(0)
    model = MGRNNetwork(
        nn.Identity(), 7, text.float(), replace(CONFIG, weights=(2.0, 3.0, 5.0, 7.0), margin=0.4)
    )
    x = torch.randn(3, 7)
    torch.manual_seed(1)
    loss, terms = model.loss({"x": x, "tag_ids": TAG_IDS})
    torch.manual_seed(1)
    place = random_tag(TAG_IDS)
    h, image = model.hash(x), model.graph.node(x)
    r = model.graph.at_image(image, model.text, TAG_IDS)
    guess = model.graph.at_mask(image, model.text, TAG_IDS, place)
    masked = masked_tag_loss(guess, model.text, TAG_IDS[torch.arange(3), place])
    expected = 2 * similarity_loss(h, r) + 3 * hinge_loss(r, model.mapping(h), 0.4) + 7 * masked
    torch.testing.assert_close(loss, expected + 5 * quantisation_loss(h))
    assert list(terms) == ["pairwise", "hinge", "quantisation", "masked_tag"]


def test_codes_follow_the_graph_and_the_graph_follows_masked_tags_alone(text):
    torch.manual_seed(0)
    batch = {"x": torch.randn(3, 7), "tag_ids": TAG_IDS}
    for weights, learning in (((1.0, 1.0, 1.0, 0.0), "hash"), ((0.0, 0.0, 0.0, 1.0), "graph")):
        model = MGRNNetwork(nn.Identity(), 7, text.float(), replace(CONFIG, weights=weights))
        model.loss(batch)[0].backward()
        for name in ("hash", "graph"):
            moved = [p.grad is not None and bool(p.grad.any()) for p in getattr(model, name).parameters()]
            assert any(moved) == (name == learning)


def test_a_batch_of_one_and_images_without_a_tag_give_finite_gradients(text):
    for rows in ([0], [2], [2, 2]):
        model = MGRNNetwork(nn.Identity(), 7, text.float(), CONFIG)
        loss, _ = model.loss({"x": torch.randn(len(rows), 7), "tag_ids": TAG_IDS[rows]})
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_codes_follow_the_subjects():
    assert_learns(MGRN(replace(CONFIG, train=replace(TRAIN, epochs=25))), three_subjects())


def test_one_seed_one_result_saved_and_loaded(tmp_path):
    assert_repeats_and_saves(MGRN, CONFIG, three_subjects(), tmp_path / "mgrn.safetensors")


def test_a_stopped_fit_masks_the_same_tags_when_it_goes_on(tmp_path, monkeypatch):
    assert_resumes(MGRN, CONFIG, three_subjects(), tmp_path, monkeypatch, stop_after=1)
