"""Calibrated refinement: each step against plain loops, the two witnesses against data drawn from the model, and its promises."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm, poisson

from ctrh.guide import calibrate as module
from ctrh.guide.calibrate import (
    Witnesses,
    calibrate,
    calibrated_tags,
    discoveries,
    lifts,
    shifts,
    two_witnesses,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(count: int = 600, words: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos whose features are the sum of their true words' texts and noise -> images, text, truth (N, C)."""
    rng = np.random.default_rng(seed)
    text = unit(rng.normal(size=(words, 32)))
    truth = rng.random((count, words)) < 0.06
    truth[np.arange(count), rng.integers(0, words, count)] = True
    return truth @ text + 0.15 * rng.normal(size=(count, 32)), text, truth


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discoveries_are_those_of_scipy(p_values):
    p_values = np.round(p_values, 6)
    adjusted = false_discovery_control(p_values)
    clear = np.abs(adjusted - 0.05) > 1e-9  # at the limit rounding decides
    assert (discoveries(p_values, 0.05) == (adjusted <= 0.05))[clear].all()


def test_shifts_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    images, text = unit(rng.normal(size=(9, 4))), unit(rng.normal(size=(5, 4)))
    tags = rng.random((9, 5)) < 0.4
    tags[:, 3] = False
    found, p_values, among = shifts(images, text, sp.csr_array(tags))
    for c in range(5):
        scores = [float(image @ text[c]) for image in images]
        own = [score for score, has in zip(scores, tags[:, c]) if has]
        if not own:
            assert (found[c], p_values[c]) == (0, 1)
            continue
        d = (np.mean(own) - np.mean(scores)) / np.std(scores)
        assert found[c] == pytest.approx(d)
        # The variance of a mean of n of N photos, drawn without putting back: (N - n) / (n (N - 1)).
        assert p_values[c] == pytest.approx(norm.sf(d / np.sqrt((9 - len(own)) / (len(own) * 8))))
        others = []
        for word in range(5):
            scores = images @ text[word]
            others.append((scores[tags[:, c]].mean() - scores.mean()) / scores.std())
        assert among[c] == pytest.approx(np.mean([other >= d - 1e-12 for other in others]))


def test_lifts_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 25)  # in blocks
    rng = np.random.default_rng(2)
    images, tags = unit(rng.normal(size=(12, 3))), rng.random((12, 4)) < 0.5
    tags[:, 2] = False
    found, p_values = lifts(images, sp.csr_array(tags), k=3)
    for c in range(4):
        hits = 0
        for i in np.flatnonzero(tags[:, c]):
            others = sorted((j for j in range(12) if j != i), key=lambda j: -float(images[i] @ images[j]))
            hits += sum(int(tags[j, c]) for j in others[:3])
        n = int(tags[:, c].sum())
        chance = 3 * n * (n - 1) / 11
        if n < 2:
            assert (found[c], p_values[c]) == (0, 1)
            continue
        assert found[c] == pytest.approx(hits / chance)
        assert p_values[c] == pytest.approx(1 - sum(poisson.pmf(x, chance) for x in range(hits)))


def test_probability_is_bayes_rule():
    known = Witnesses(2.0, 1.0, np.array([0.6]), np.array([0.1]))
    prior = 1 / (1 + np.exp(-(2.0 * 0.3 - 1.0)))
    yes = known.probability(np.array([[0.3]]), np.array([[True]]))[0, 0]
    no = known.probability(np.array([[0.3]]), np.array([[False]]))[0, 0]
    assert yes == pytest.approx(prior * 0.6 / (prior * 0.6 + (1 - prior) * 0.1))
    assert no == pytest.approx(prior * 0.4 / (prior * 0.4 + (1 - prior) * 0.9))
    assert known.probability(np.array([[0.3]]))[0, 0] == pytest.approx(prior)


def test_em_finds_the_witnesses_that_drew_the_data():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(4000, 20))
    truth = rng.random(scores.shape) < 1 / (1 + np.exp(-(4 * scores - 6)))
    mentioned = rng.random(scores.shape) < np.where(truth, 0.5, 0.02)
    found = two_witnesses(scores, mentioned, steps=100)
    assert found.slope == pytest.approx(4, rel=0.2)
    assert found.offset == pytest.approx(6, rel=0.2)
    assert found.right.mean() == pytest.approx(0.5, abs=0.07)
    assert found.wrong.mean() == pytest.approx(0.02, abs=0.01)
    # Calibrated: of the words that are given a probability of about p, the share p is true.
    p = found.probability(scores, mentioned)
    for low in (0.1, 0.3, 0.5, 0.7, 0.9):
        near = (p > low - 0.1) & (p < low + 0.1)
        assert truth[near].mean() == pytest.approx(p[near].mean(), abs=0.12)


def test_a_guide_that_knows_corrects_its_users():
    images, text, truth = drawn()
    rng = np.random.default_rng(4)
    tags = (truth & (rng.random(truth.shape) < 0.5)) | (rng.random(truth.shape) < 0.05)
    useless = rng.random((len(tags), 1)) < 0.4  # a word that says nothing
    text = np.concatenate([text, unit(rng.normal(size=(1, 32)))])
    found = calibrate(images, text, sp.csr_array(np.concatenate([tags, useless], axis=1)))
    assert found.by_guide[:-1].mean() > 0.9 and not found.by_guide[-1] and not found.by_neighbours[-1]
    assert found.trust > 0.95
    new = calibrated_tags(found.probability, sp.csr_array(np.concatenate([tags, useless], axis=1))).toarray() > 0
    right = truth[new[:, :-1]].mean()
    assert right > truth[tags].mean() + 0.1
    assert (new[:, :-1] & truth).sum() > 1.2 * (tags & truth).sum()  # it found what users forgot
    assert new[:, -1].mean() < 0.02


@pytest.mark.parametrize("blind", ["texts", "pictures"])
def test_a_guide_that_knows_nothing_leaves_clean_tags_as_they_are(blind):
    images, text, truth = drawn()
    rng = np.random.default_rng(5)
    if blind == "texts":
        text = rng.normal(size=text.shape)
    else:
        images = rng.normal(size=images.shape)
    found = calibrate(images, text, sp.csr_array(truth))
    new = calibrated_tags(found.probability, sp.csr_array(truth)).toarray() > 0
    assert found.trust < 0.1
    assert (new != truth).sum() < 0.03 * truth.sum()


def test_photos_without_tags_are_given_some_and_teach_nothing():
    images, text, truth = drawn()
    silent = np.arange(len(truth)) % 3 == 0
    tags = sp.csr_array(truth & ~silent[:, None])
    found = calibrate(images, text, tags)
    again = calibrate(images[~silent], text, tags[~silent])
    assert (found.probability[~silent] != again.probability).nnz == 0
    new = calibrated_tags(found.probability, tags).toarray()[silent] > 0
    assert truth[silent][new].mean() > 0.8 and (new & truth[silent]).sum() > 0.5 * truth[silent].sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4), st.integers(1, 30))
def test_no_row_is_emptied_and_all_is_finite(seed, share, count):
    rng = np.random.default_rng(seed)
    tags = sp.csr_array(rng.random((count, 12)) < share)
    found = calibrate(rng.normal(size=(count, 6)), rng.normal(size=(12, 6)), tags)
    new = calibrated_tags(found.probability, tags)
    assert (np.diff(new.indptr)[np.diff(tags.indptr) > 0] > 0).all()
    assert np.isfinite(found.probability.data).all() and found.probability.data.max(initial=0) <= 1
    assert 0 <= found.trust <= 1 and (new.data > 0).all()


def test_blocks_do_not_matter(monkeypatch):
    images, text, truth = drawn(count=90)
    whole = calibrate(images, text, sp.csr_array(truth)).probability
    monkeypatch.setattr(module, "AT_ONCE", 100)
    parts = calibrate(images, text, sp.csr_array(truth)).probability
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), atol=1e-6)


def test_what_is_kept_by_hand():
    probability = sp.csr_array(np.array([[0.9, 0.6, 0.2], [0.3, 0.4, 0], [0, 0, 0], [0, 0.2, 0]], dtype=np.float32))
    tags = sp.csr_array(np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]], dtype=bool))
    kept = calibrated_tags(probability, tags).toarray()
    np.testing.assert_allclose(kept, [[0.9, 0.6, 0], [0, 0.4, 0], [0.5, 0, 0.5], [0, 0, 0]], rtol=1e-6)
    counted = calibrated_tags(probability, tags, counts=np.array([3, 1, 2, 0])).toarray()
    np.testing.assert_allclose(counted, [[0.9, 0.6, 0.2], [0, 0.4, 0], [0.5, 0, 0.5], [0, 0, 0]], rtol=1e-6)
