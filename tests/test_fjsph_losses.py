"""FJSPH's terms against loops written from their formulas, their symmetries, their least values and empty cases."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ctrh.methods.fjsph_losses import (
    TERMS,
    FJSPHLossConfig,
    cluster_similarity_loss,
    contrastive_loss,
    hadamard_anchors,
    label_similarity,
    quantisation_loss,
    sample_similarity_loss,
    total_loss,
)

N, K, L, D = 5, 6, 3, 4


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def batch():
    """Codes of both sides, representations of both sides, labels (the last pair has none) and centres."""
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=torch.bool)
    codes, parts = numbers(0, 2, N, K).tanh(), numbers(1, 2, N, D)
    return (*codes, (parts[0], parts[1]), labels, numbers(2, L, K).tanh())


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def cos(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_label_similarity_equals_the_loops(batch):
    labels = batch[3]
    share, cosine = label_similarity(labels), label_similarity(labels, "cosine")
    for i in range(N):
        for j in range(N):
            common = sum(bool(labels[i, c] and labels[j, c]) for c in range(L))
            lengths = int(labels[i].sum()) * int(labels[j].sum())
            assert share[i, j] == (common > 0)
            assert float(cosine[i, j]) == pytest.approx(common / math.sqrt(lengths) if lengths else 0)


@pytest.mark.parametrize("leave_out", [False, True])
def test_contrastive_equals_the_loops(batch, leave_out):
    a, b = batch[2]
    related = label_similarity(batch[3]) > 0 if leave_out else None
    total = 0.0
    for i in range(N):
        others = [k for k in range(N) if k == i or not (leave_out and related[i, k])]
        for own, other in ((a, b), (b, a)):
            weights = {k: math.exp(cos(own[i], other[k]) / 0.3) for k in others}
            total -= math.log(weights[i] / sum(weights.values()))
    assert float(contrastive_loss(a, b, 0.3, related)) == pytest.approx(total / (2 * N))


@pytest.mark.parametrize("overlap", ["any", "cosine"])
def test_sample_similarity_equals_the_loops(batch, overlap):
    u, w, _, labels, _ = batch
    similarity = label_similarity(labels, overlap)
    total = 0.0
    for i in range(N):
        for j in range(N):
            logit = 3.0 * float(u[i] @ w[j]) / K
            s = float(similarity[i, j])
            total -= s * log_sigmoid(logit) + (1 - s) * log_sigmoid(-logit)
    assert float(sample_similarity_loss(u, w, similarity, 3.0)) == pytest.approx(total / N**2)


def test_sample_similarity_is_the_likelihood_of_dcmh(batch):
    u, w, _, labels, _ = batch
    s = label_similarity(labels).double()
    theta = u @ w.T / 2
    expected = -(s * theta - torch.log1p(theta.exp())).mean()  # as DCMH prints it
    torch.testing.assert_close(sample_similarity_loss(u, w, s, K / 2), expected)


def test_cluster_similarity_equals_the_loops(batch):
    u, _, _, labels, anchors = batch
    u, labels = u[:4], labels[:4]
    total = 0.0
    for i in range(4):
        logits = [2.0 * float(u[i] @ anchors[c]) / K for c in range(L)]
        log_sum = math.log(sum(math.exp(each) for each in logits))
        count = int(labels[i].sum())
        total -= sum((logits[c] - log_sum) / count for c in range(L) if labels[i, c])
    assert float(cluster_similarity_loss(u, labels, anchors, 2.0)) == pytest.approx(total / 4)


def test_quantisation_equals_the_loops(batch):
    u, w = batch[:2]
    total = 0.0
    for i in range(N):
        for k in range(K):
            b = 1.0 if float(u[i, k] + w[i, k]) >= 0 else -1.0
            total += (b - float(u[i, k])) ** 2 + (b - float(w[i, k])) ** 2
    assert float(quantisation_loss(u, w)) == pytest.approx(total / (2 * N * K))


def test_quantisation_takes_zero_for_plus_and_is_least_for_equal_binary_codes():
    zero = torch.zeros(2, 3)
    assert float(quantisation_loss(zero, zero)) == 1
    assert float(quantisation_loss(zero + 0.5, zero + 0.5)) == 0.25
    binary = torch.tensor([[1.0, -1.0, 1.0]])
    assert float(quantisation_loss(binary, binary)) == 0 and float(quantisation_loss(binary, -binary)) == 2


def test_codes_at_their_centres_cost_least():
    anchors = hadamard_anchors(4, 16)
    labels = torch.eye(4, dtype=torch.bool)
    at_home = cluster_similarity_loss(anchors, labels, anchors, 30.0)
    elsewhere = cluster_similarity_loss(anchors[[1, 2, 3, 0]], labels, anchors, 30.0)
    assert float(at_home) < 1e-6 < 1 < float(elsewhere)
    both = torch.tensor([[True, True, False, False]])
    between = cluster_similarity_loss((anchors[0] + anchors[1])[None] / 2, both, anchors, 30.0)
    assert float(between) < float(cluster_similarity_loss(anchors[:1], both, anchors, 30.0))


@pytest.mark.parametrize(("labels", "bits"), [(8, 16), (24, 16), (80, 16), (5, 12)])
def test_hadamard_anchors_are_far_apart_where_the_matrix_exists(labels, bits):
    anchors = hadamard_anchors(labels, bits, seed=1)
    assert anchors.shape == (labels, bits) and set(anchors.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(anchors, hadamard_anchors(labels, bits, seed=1))
    if bits == 16:
        from_matrix = anchors[: min(labels, 32)]
        distances = (bits - from_matrix @ from_matrix.T) / 2
        assert set(distances.unique().tolist()) <= {0.0, 8.0, 16.0} and (distances == 0).sum() == len(
            from_matrix
        )


def test_total_is_the_weighted_sum(batch):
    u, w, (a, b), labels, anchors = batch
    config = FJSPHLossConfig(
        weights=(1, 2, 3, 4), temperature=0.3, negatives="all", sharpness=2.0, cluster_sharpness=2.0
    )
    known = labels.any(dim=1)
    expected = {
        "contrastive": contrastive_loss(a, b, 0.3),
        "sample": sample_similarity_loss(u[:4], w[:4], label_similarity(labels[:4]), 2.0),
        "cluster": sum(cluster_similarity_loss(c[known], labels[known], anchors, 2.0) for c in (u, w)) / 2,
        "quantisation": quantisation_loss(u, w),
    }
    loss, terms = total_loss(*batch, config)
    assert tuple(terms) == TERMS
    for name in TERMS:
        torch.testing.assert_close(terms[name], expected[name])
    torch.testing.assert_close(loss, sum(k * expected[name] for k, name in enumerate(TERMS, 1)))
    unrelated = total_loss(*batch, replace(config, negatives="unrelated"))[1]["contrastive"]
    torch.testing.assert_close(unrelated, contrastive_loss(a, b, 0.3, label_similarity(labels) > 0))
    within = total_loss(*batch, replace(config, within=True))[1]["sample"]
    parts = [sample_similarity_loss(*pair, label_similarity(labels[:4]), 2.0) for pair in
             ((u[:4], w[:4]), (u[:4], u[:4]), (w[:4], w[:4]))]  # fmt: skip
    torch.testing.assert_close(within, sum(parts) / 3)


OPTIONS = [{}, {"negatives": "all"}, {"overlap": "cosine"}, {"within": True}]


@pytest.mark.parametrize("options", OPTIONS)
def test_modalities_and_rows_can_change_places(batch, options):
    u, w, (a, b), labels, anchors = batch
    config = FJSPHLossConfig(**options)
    loss = total_loss(*batch, config)[0]
    torch.testing.assert_close(total_loss(w, u, (b, a), labels, anchors, config)[0], loss)
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = total_loss(u[order], w[order], (a[order], b[order]), labels[order], anchors, config)[0]
    torch.testing.assert_close(moved, loss)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rows", [[0], [4], [4, 4], [0, 1, 4]])
def test_small_and_unlabelled_batches_have_finite_gradients(batch, options, rows):
    u, w, (a, b), labels, anchors = (part if isinstance(part, tuple) else part.clone() for part in batch)
    leaves = [part[rows].clone().requires_grad_() for part in (u, w, a, b)]
    anchors.requires_grad_()
    loss, terms = total_loss(
        *leaves[:2], tuple(leaves[2:]), labels[rows], anchors, FJSPHLossConfig(**options)
    )
    loss.backward()
    assert all(torch.isfinite(each.grad).all() for each in (*leaves, anchors) if each.grad is not None)
    if rows == [4] or rows == [4, 4]:
        assert float(terms["sample"]) == 0 and float(terms["cluster"]) == 0
    if len(rows) == 1:
        assert float(terms["contrastive"]) == 0


def test_unlabelled_pairs_are_unknown_and_not_different(batch):
    u, w, (a, b), labels, anchors = batch
    config = FJSPHLossConfig()
    terms = total_loss(*batch, config)[1]
    without = total_loss(u[:4], w[:4], (a[:4], b[:4]), labels[:4], anchors, config)[1]
    for name in ("sample", "cluster"):
        torch.testing.assert_close(terms[name], without[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (1, 1, 1)}, "four numbers"),
        ({"negatives": "some"}, "negatives must be one of all, unrelated"),
        ({"overlap": "jaccard"}, "overlap must be one of"),
        ({"anchors": "mean"}, "anchors must be one of"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"sharpness": -1.0}, "sharpness must be positive"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        FJSPHLossConfig(**options)


def test_half_empty_numpy_labels_work_as_tensors():
    labels = torch.from_numpy(np.zeros((3, 2), dtype=bool))
    assert label_similarity(labels).sum() == 0
