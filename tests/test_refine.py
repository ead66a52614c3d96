"""Eq. (3)-(8): the contraction against the (N, P, C, D) arrays of the equations, K_i and ties by hand."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn.functional import normalize

from ctrh.guide import refine as module
from ctrh.guide.features import ImageFeatures, image_features
from ctrh.guide.inferred import removal_effect, top_tags
from ctrh.guide.refine import (
    MIRFLICKR,
    ZERO_SHOT,
    RefineConfig,
    best_tags,
    direct_scores,
    mixed_guide,
    refine,
    tag_scores,
    tags_to_keep,
)


def naive_scores(tokens: torch.Tensor, text: torch.Tensor, tau: float, weighted: bool) -> torch.Tensor:
    """Eq. (4)-(8) as printed, with every array in full. tokens: (N, P, D), text: (C, D) -> (N, C)."""
    image = tokens / tokens.norm(dim=2, keepdim=True)
    text = text / text.norm(dim=1, keepdim=True)
    F_m = image[:, :, None, :] * text[None, None, :, :]  # (4): (N, P, C, D)
    s = torch.softmax(tau * image[:, 0] @ text.T, dim=1)  # (5)
    w = s / s.mean(dim=1, keepdim=True)  # (6)
    weights = w[:, None, :, None].expand_as(F_m)
    F_r = (F_m * weights).mean(dim=2, keepdim=True)  # (7): (N, P, 1, D)
    F_u = (F_m * weights if weighted else F_m) - F_r.expand_as(F_m)  # (8)
    return F_u.sum(dim=3).mean(dim=1)


def contracted(tokens: torch.Tensor, text: torch.Tensor, tau: float, weighted: bool) -> torch.Tensor:
    mean_token = normalize(tokens, dim=2).mean(dim=1)
    scores = tag_scores(tokens[:, 0].numpy(), mean_token.numpy(), text.numpy(), tau, weighted)
    return torch.from_numpy(scores)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("tau", [0.0, 2.0, 20.0])
def test_contraction_equals_the_equations(tau, weighted):
    generator = torch.Generator().manual_seed(1)
    tokens = 3 * torch.randn(5, 7, 12, generator=generator)
    text = torch.randn(9, 12, generator=generator) + 0.5
    torch.testing.assert_close(
        contracted(tokens, text, tau, weighted), naive_scores(tokens, text, tau, weighted), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("weighted", [True, False])
def test_contraction_equals_the_equations_on_a_guides_features(tiny_guide, tiny_photos, weighted):
    pixels = torch.stack([tiny_guide.preprocess(tiny_photos.images[i]) for i in range(len(tiny_photos))])
    tokens, text = tiny_guide.image_tokens(pixels), tiny_guide.text_features(tiny_photos.vocabulary)
    features = image_features(tiny_guide, tiny_photos.images)
    scores = tag_scores(*features, text, weighted=weighted)
    expected = naive_scores(tokens, torch.from_numpy(text), 2.0, weighted)
    np.testing.assert_allclose(scores, expected.numpy(), rtol=0, atol=1e-5)


def test_unweighted_subtraction_cannot_change_the_ranking():
    generator = torch.Generator().manual_seed(2)
    tokens, text = (
        torch.randn(6, 5, 16, generator=generator).double(),
        torch.randn(30, 16, generator=generator).double(),
    )
    without = (normalize(tokens, dim=2).mean(dim=1) @ normalize(text, dim=1).T).argsort(dim=1)
    unweighted = contracted(tokens, text, 2.0, weighted=False).argsort(dim=1)
    assert torch.equal(unweighted, without)
    # The weights do change it: that is all the removal can do.
    assert not torch.equal(contracted(tokens, text, 2.0, weighted=True).argsort(dim=1), without)


def test_without_temperature_weighting_does_nothing():
    tokens, text = torch.randn(3, 4, 8), torch.randn(5, 8)
    torch.testing.assert_close(contracted(tokens, text, 0.0, True), contracted(tokens, text, 0.0, False))


def test_a_photo_of_zeros_scores_zero_not_nan():
    zeros = np.zeros((1, 8), dtype=np.float32)
    text = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    assert np.array_equal(tag_scores(zeros, zeros, text), np.zeros((1, 5)))
    assert np.array_equal(direct_scores(zeros, text), np.zeros((1, 5)))


def test_direct_scores_are_cosines():
    scores = direct_scores(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0], [-5.0, 0.0]]))
    np.testing.assert_allclose(scores, [[0.8, -0.6]])


def test_tags_to_keep_by_hand():
    tags = sp.csr_array(
        np.array(
            [
                [1, 1, 0, 1],  # two of three are common: 2
                [0, 0, 0, 1],  # no common one: all of them, 1
                [0, 0, 1, 1],  # no common one: all of them, 2
                [0, 0, 0, 0],  # no tags: none
                [1, 0, 0, 0],  # one, common: 1
            ],
            dtype=bool,
        )
    )
    counts = tags_to_keep(tags, np.array([True, True, False, False]))
    assert counts.tolist() == [2, 1, 2, 0, 1]


def test_a_tag_that_is_stored_twice_counts_once():
    columns, rows = np.array([0, 0, 1, 3, 3, 2]), np.array([0, 4, 5, 6])
    stored = np.array([True, True, True, False, True, True])
    tags = sp.csr_array((stored, columns, rows), shape=(3, 4))
    assert tags_to_keep(tags, np.array([True, True, False, False])).tolist() == [2, 1, 1]
    assert tags.nnz == 6  # what came in is as it was


@pytest.mark.parametrize("scale", [1.0, 1e30])
@pytest.mark.parametrize("dtypes", [(torch.bfloat16,) * 3, (torch.float16, torch.float32, torch.float64), (torch.float32,) * 3])
def test_scores_of_any_precision_and_length_have_that_of_the_text_or_float32(dtypes, scale):
    generator = torch.Generator().manual_seed(3)
    token, mean, text = (torch.randn(n, 16, generator=generator) for n in (4, 4, 9))
    mean = mean / 16
    token, mean, text = (part.to(kind) for part, kind in zip((token, mean, text), dtypes))
    if token.dtype != torch.float16:  # which ends at 65,504
        token, text = token * scale, text * scale
    own, words = (part.double() / part.double().norm(dim=1, keepdim=True) for part in (token, text))
    w = (2 * own @ words.T).exp()
    products = w / w.mean(dim=1, keepdim=True) * (mean.double() @ words.T)
    expected = products - products.mean(dim=1, keepdim=True)
    for scores, wanted in ((tag_scores(token, mean, text), expected), (direct_scores(token, text), own @ words.T)):
        assert scores.dtype == (np.float64 if text.dtype == torch.float64 else np.float32)
        np.testing.assert_allclose(scores, wanted.numpy(), rtol=0, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_allclose(direct_scores(token, text), own.numpy() @ words.numpy().T, rtol=0, atol=1e-6)
        np.testing.assert_allclose(tag_scores(token, mean, text), expected.numpy(), rtol=0, atol=1e-6)


def test_best_tags_by_hand():
    scores = np.array(
        [
            [0.1, 0.3, 0.3, 0.2],  # 1 of two equal: the lower index
            [0.5, 0.5, 0.5, 0.5],  # 3 of four equal
            [0.1, 0.2, 0.3, 0.4],  # more than there are: all
            [0.1, 0.2, 0.3, 0.4],  # none
            [-1.0, -np.inf, -2.0, -2.0],  # a tie at the cut only
        ]
    )
    chosen = best_tags(scores, np.array([1, 3, 9, 0, 2])).toarray()
    assert chosen.astype(int).tolist() == [
        [0, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
        [0, 0, 0, 0],
        [1, 0, 1, 0],
    ]


@settings(deadline=None, max_examples=100)
@given(data=st.data(), rows=st.integers(1, 5), words=st.integers(1, 8))
def test_best_tags_is_a_stable_sort(data, rows, words):
    scores = data.draw(hnp.arrays(np.float32, (rows, words), elements=st.integers(-2, 2).map(np.float32)))
    counts = data.draw(hnp.arrays(np.int64, rows, elements=st.integers(0, words + 2)))
    expected = np.zeros((rows, words), dtype=bool)
    for row in range(rows):
        expected[row, sorted(range(words), key=lambda c, row=row: (-scores[row, c], c))[: counts[row]]] = True
    chosen = best_tags(scores, counts)
    assert chosen.dtype == bool and np.array_equal(chosen.toarray(), expected)


def test_best_tags_refuses_nan_and_negative_counts():
    with pytest.raises(ValueError, match="NaN"):
        best_tags(np.array([[np.nan, 1.0]]), np.array([1]))
    with pytest.raises(ValueError, match="negative"):
        best_tags(np.array([[0.0, 1.0]]), np.array([-1]))


@pytest.mark.parametrize(
    "config", [ZERO_SHOT, RefineConfig(weighted=False), RefineConfig(remove_redundant=False)]
)
def test_refine_block_by_block_equals_one_block(tiny_guide, tiny_photos, monkeypatch, config):
    whole = refine(tiny_photos, tiny_guide, config)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 3 * len(tiny_photos.vocabulary))
    blocks = refine(tiny_photos, tiny_guide, config)
    assert whole.shape == tiny_photos.tags.shape and whole.dtype == bool
    assert np.array_equal(whole.toarray(), blocks.toarray())
    assert whole.sum(axis=1).tolist() == tags_to_keep(tiny_photos.tags, tiny_photos.common).tolist()
    assert whole[[0, 1]].nnz == 0  # photos without tags stay without
    tiny_photos.with_tags(whole)


def test_refine_reads_its_switches(tiny_guide, tiny_photos):
    features = image_features(tiny_guide, tiny_photos.images)
    text = tiny_guide.text_features(tiny_photos.vocabulary)
    counts = tags_to_keep(tiny_photos.tags, tiny_photos.common)
    direct = refine(tiny_photos, tiny_guide, RefineConfig(remove_redundant=False))
    assert np.array_equal(
        direct.toarray(), best_tags(direct_scores(features.class_token, text), counts).toarray()
    )
    hot = refine(tiny_photos, tiny_guide, RefineConfig(tau=50.0))
    assert np.array_equal(hot.toarray(), best_tags(tag_scores(*features, text, tau=50.0), counts).toarray())
    assert not np.array_equal(direct.toarray(), hot.toarray())


def test_alpha_needs_and_uses_the_fine_tuned_guide(tiny_guide, tiny_photos):
    with pytest.raises(ValueError, match="pass the fine-tuned guide"):
        refine(tiny_photos, tiny_guide, MIRFLICKR)
    other = tiny_guide.with_weights({k: v * 1.5 for k, v in tiny_guide.model.state_dict().items()})
    assert mixed_guide(tiny_guide, None, 0.0) is tiny_guide
    assert mixed_guide(tiny_guide, other, 1.0).key == other.key
    half = mixed_guide(tiny_guide, other, 0.5)
    torch.testing.assert_close(half.model.visual.proj, 1.25 * tiny_guide.model.visual.proj)
    assert np.array_equal(
        refine(tiny_photos, tiny_guide, MIRFLICKR, other).toarray(), refine(tiny_photos, half).toarray()
    )
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        RefineConfig(alpha=1.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        MIRFLICKR.alpha = 0.3


def test_top_tags_by_hand():
    scores = np.array([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    frame = top_tags(scores, ["a", "b", "c"], count=2, scale=1.0)
    assert frame[["row", "rank", "tag", "score"]].values.tolist() == [
        [0, 1, "b", 3.0],
        [0, 2, "c", 3.0],
        [1, 1, "a", 0.0],
        [1, 2, "b", 0.0],
    ]
    share = np.exp(3) / (np.exp(1) + 2 * np.exp(3))
    np.testing.assert_allclose(frame["probability"], [share, share, 1 / 3, 1 / 3])


def test_removal_effect_shows_both_predictions(tiny_guide, tiny_photos):
    frame = removal_effect(tiny_photos, tiny_guide, [5, 3], count=4)
    assert len(frame) == 2 * 2 * 4
    assert list(frame.columns) == ["photo", "prediction", "rank", "tag", "score", "probability"]
    features = ImageFeatures(*(part[[3]] for part in image_features(tiny_guide, tiny_photos.images)))
    text = tiny_guide.text_features(tiny_photos.vocabulary)
    for prediction, scores in (
        ("direct", direct_scores(features.class_token, text)),
        ("removed", tag_scores(*features, text)),
    ):
        mine = frame[(frame.photo == 3) & (frame.prediction == prediction)]
        assert mine["tag"].tolist() == top_tags(scores, tiny_photos.vocabulary, 4, 1.0)["tag"].tolist()
        assert 0 < mine["probability"].sum() <= 1 and mine["probability"].is_monotonic_decreasing
