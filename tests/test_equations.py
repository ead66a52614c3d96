"""Eq. (4)-(8) one by one, against plain loops; what their parts do to a ranking."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ctrh.guide.equations import (
    products,
    redundant_features,
    tag_distribution,
    tag_weights,
    token_mean_scores,
    without_redundant,
)
from ctrh.guide.readings import agreement, scoring_rules, subtracted
from ctrh.guide.refine import tag_scores

GENERATOR = torch.Generator().manual_seed(3)
TOKENS = torch.randn(3, 4, 6, generator=GENERATOR) + 0.5  # N, 1+P, D
TEXT = torch.randn(5, 6, generator=GENERATOR) + 0.5  # C, D
RULES = scoring_rules(
    TOKENS[:, 0].numpy(),
    (TOKENS / TOKENS.norm(dim=2, keepdim=True)).mean(dim=1).numpy(),
    TEXT.numpy(),
)


def test_every_equation_is_its_loop():
    F_m, s = products(TOKENS, TEXT), tag_distribution(TOKENS[:, 0], TEXT, tau=3.0)
    w = tag_weights(s)
    F_r = redundant_features(F_m, w)
    assert F_m.shape == (3, 4, 5, 6) and F_r.shape == (3, 4, 1, 6)
    unit = [t / t.norm() for t in TEXT]
    for n in range(3):
        raised = [torch.exp(3.0 * TOKENS[n, 0] @ t / TOKENS[n, 0].norm()) for t in unit]
        for c in range(5):
            torch.testing.assert_close(s[n, c], raised[c] / sum(raised))
            torch.testing.assert_close(w[n, c], 5 * raised[c] / sum(raised))
        for p in range(4):
            token = TOKENS[n, p] / TOKENS[n, p].norm()
            torch.testing.assert_close(F_m[n, p, 2], token * unit[2])
            torch.testing.assert_close(F_r[n, p, 0], sum(w[n, c] * token * unit[c] for c in range(5)) / 5)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_printed_form_equals_the_contraction(weighted):
    F_m = products(TOKENS, TEXT)
    w = tag_weights(tag_distribution(TOKENS[:, 0], TEXT))
    scores = token_mean_scores(without_redundant(F_m, w, redundant_features(F_m, w), weighted))
    mean_token = (TOKENS / TOKENS.norm(dim=2, keepdim=True)).mean(dim=1)
    contracted = tag_scores(TOKENS[:, 0].numpy(), mean_token.numpy(), TEXT.numpy(), weighted=weighted)
    np.testing.assert_allclose(scores.numpy(), contracted, rtol=0, atol=1e-6)


def test_what_is_subtracted_is_the_same_for_all_tags():
    taken = subtracted(RULES).set_index("reading")
    assert (taken["difference"] < 1e-12).all()
    assert taken.loc["weighted", "mean"] == pytest.approx(taken.loc["unweighted", "mean"])


def test_agreement_counts_photos_with_the_same_tags():
    scores = {
        "a": np.array([[3.0, 2, 1], [1, 2, 3], [3, 2, 1]]),
        "b": np.array([[3.0, 2, 1], [3, 2, 1], [1, 2, 3]]),
    }
    truth = sp.csr_array(np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool))
    rows = agreement(scores, np.array([1, 1, 0]), truth).set_index("ranked by")
    assert rows.loc["a", "b"] == rows.loc["b", "a"] == 0.5  # the third photo gets no tag
    assert rows.loc["a", "a"] == 1
    assert rows["precision"].tolist() == [1.0, 0.5]


def test_unweighted_is_the_mean_token_and_subtracting_changes_nothing():
    rows = agreement(RULES, np.array([2, 2, 2])).set_index("ranked by")
    assert rows.loc["unweighted (8)", "mean token"] == 1
    assert rows.loc["weighted (8)", "w × mean token"] == 1
    assert np.isnan(rows.loc["weighted (8)", "precision"])
