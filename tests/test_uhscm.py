"""UHSCM: concepts counted by hand, its losses against double sums written from the authors' code, and the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, three_subjects
from scipy.special import softmax
from torch import Tensor, nn

from ctrh.methods.uhscm import (
    UHSCM,
    UHSCMConfig,
    UHSCMNetwork,
    concept_similarity,
    contrastive_loss,
    kept_concepts,
    quantisation_loss,
    similarity_loss,
)

CONFIG = UHSCMConfig(bits=8, train=TRAIN)
N, K, C = 6, 5, 4


@pytest.fixture
def parts() -> tuple[Tensor, Tensor]:
    """z, d; the last image shows none of the concepts."""
    generator = torch.Generator().manual_seed(2)
    z, d = (torch.randn(N, width, dtype=torch.float64, generator=generator) for width in (K, C))
    d = (2 * d).softmax(dim=1)
    d[-1] = 0
    return z.tanh(), d


def cosine(a: list[float], b: list[float]) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b)) / lengths if lengths else 0.0


def test_concepts_that_are_rarely_the_first_are_left_out():
    first = [0] * 6 + [1] * 2 + [2] * 1 + [3] * 3
    d = np.full((12, 6), 0.1)
    d[np.arange(12), first] = 0.5
    # Half of N/C is 1: more photos than that have 0, 1 and 3 as their first.
    assert kept_concepts(d).tolist() == [True, True, False, True, False, False]
    assert kept_concepts(d, 0.0).tolist() == [True, True, True, True, False, False]


def test_similarity_is_that_of_the_distributions(parts):
    _, d = parts
    S = concept_similarity(d)
    for i in range(N):
        for j in range(N):
            assert S[i, j].item() == pytest.approx(2 * cosine(d[i].tolist(), d[j].tolist()) - 1)


def test_losses_are_double_sums(parts):
    z, d = parts
    S, codes = concept_similarity(d), z.tolist()
    cosines = [[cosine(a, b) for b in codes] for a in codes]
    squares = [(cosines[i][j] - S[i, j].item()) ** 2 for i in range(N) for j in range(N)]
    assert similarity_loss(z, S).item() == pytest.approx(sum(squares) / N**2)
    threshold, temperature = 0.2, 0.3
    terms = []
    for i in range(N):
        negatives = sum(math.exp(cosines[i][k] / temperature) for k in range(N) if S[i, k] < threshold)
        for j in range(N):
            if S[i, j] >= threshold:
                terms.append(-math.log(math.exp(cosines[i][j] / temperature) / (negatives + 1e-5)))
    assert N <= len(terms) < N * N  # some are alike, and not all
    assert contrastive_loss(z, S, threshold, temperature).item() == pytest.approx(sum(terms) / len(terms))
    gaps = [(math.copysign(1, x) - x) ** 2 for row in codes for x in row]
    assert quantisation_loss(z).item() == pytest.approx(sum(gaps) / N)


def test_without_a_pair_nothing_is_contrasted():
    z = torch.randn(3, 4, requires_grad=True)
    loss = contrastive_loss(z, torch.full((3, 3), -1.0), 0.5, 0.2)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(z.grad).all()


def test_the_loss_is_the_weighted_sum_of_codes_in_minus_one_to_one(parts):
    _, d = parts
    network = UHSCMNetwork(nn.Identity(), 7, CONFIG).double()
    x = torch.randn(N, 7, dtype=torch.float64)
    loss, terms = network.loss({"x": x, "concepts": d})
    z, S = 2 * network(x) - 1, concept_similarity(d)
    expected = {
        "similarity": similarity_loss(z, S),
        "quantisation": quantisation_loss(z),
        "contrastive": contrastive_loss(z, S, CONFIG.threshold, CONFIG.temperature),
    }
    assert {name: term.item() for name, term in terms.items()} == {k: v.item() for k, v in expected.items()}
    assert loss.item() == pytest.approx(sum(w * x.item() for w, x in zip(CONFIG.weights, expected.values())))


def problem():
    """That of all deep methods, with concepts which the subject decides in the place of tags."""
    features, _, text, subject = three_subjects()
    noise = np.random.default_rng(1).normal(size=(48, 6))
    return features, softmax(6 * np.eye(6)[subject] + noise, axis=1).astype(np.float32), text, subject


def test_learns_what_concepts_say_repeats_and_saves(tmp_path):
    assert_learns(UHSCM(CONFIG), problem())
    assert_repeats_and_saves(UHSCM, CONFIG, problem(), tmp_path / "uhscm.safetensors")


def test_refuses_what_does_not_fit():
    features, concepts, _, _ = problem()
    with pytest.raises(ValueError, match="of 48 images"):
        UHSCM(CONFIG).fit(features, concepts[:-1])
    with pytest.raises(ValueError, match="must be finite"):
        UHSCM(CONFIG).fit(features, np.full_like(concepts, np.nan))
    with pytest.raises(ValueError, match="threshold in"):
        UHSCMConfig(threshold=2)
