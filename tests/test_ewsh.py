"""EWSH: relevance by loops over neighbours, rounds of refinement at their time, and resuming between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, assert_resumes, three_subjects

from ctrh.methods.ewsh import EWSH, EWSHConfig, nearest, tag_relevance
from ctrh.network import NO_TAG

CONFIG = EWSHConfig(bits=8, hidden=12, rounds=2, neighbours=5, train=TRAIN)


def test_nearest_are_the_other_rows_of_highest_cosine():
    v = torch.randn(700, 5, generator=torch.Generator().manual_seed(0))  # more than one block
    unit = v / v.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    expected = cosine.argsort(dim=1, descending=True)[:, :4]
    assert (nearest(v, 4).sort().values == expected.sort().values).all()
    assert nearest(v[:3], 10).sort().values.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert nearest(v[:1], 10).shape == (1, 0)


def relevance_by_loop(tag_ids: list, weights: list, neighbours: list, words: int) -> np.ndarray:
    own = [[(c, w) for c, w in zip(*row) if c != NO_TAG] for row in zip(tag_ids, weights)]
    mean = [sum(w for tags in own for c, w in tags if c == word) / len(own) for word in range(words)]
    relevance = np.zeros((len(tag_ids), len(tag_ids[0])))
    for i, tags in enumerate(own):
        for m, (word, _) in enumerate(tags):
            votes = sum(w for j in neighbours[i] for c, w in own[j] if c == word)
            relevance[i, m] = (votes + 1) / (len(neighbours[i]) * mean[word] + 1)
        if tags:
            relevance[i] /= relevance[i, : len(tags)].mean()
    return relevance


def test_relevance_counts_votes_beyond_chance():
    generator = np.random.default_rng(0)
    tag_ids = np.full((9, 4), NO_TAG)
    for row in range(8):  # the last has no tag
        tags = np.sort(generator.choice(6, 1 + row % 4, replace=False))
        tag_ids[row, : len(tags)] = tags
    weights = generator.random((9, 4)).astype(np.float32)
    neighbours = np.array([generator.choice(np.delete(np.arange(9), i), 3, replace=False) for i in range(9)])
    got = tag_relevance(*map(torch.from_numpy, (tag_ids, weights, neighbours)), words=6)
    expected = relevance_by_loop(tag_ids.tolist(), weights.tolist(), neighbours.tolist(), 6)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_tag_of_every_image_gains_nothing_and_one_that_neighbours_share_does():
    """Words: 0 is everywhere, 1 in the first half, 2 scattered; neighbours are the own half."""
    tag_ids = torch.tensor(
        [[0, 1, 2], [0, 1, NO_TAG], [0, 1, NO_TAG], [0, 2, NO_TAG], [0, 3, NO_TAG], [0, 3, NO_TAG]]
    )
    neighbours = torch.tensor([[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4]])
    relevance = tag_relevance(tag_ids, torch.ones(6, 3), neighbours, words=4)
    everywhere, shared, scattered = relevance[0].tolist()
    assert shared > everywhere > scattered
    assert (everywhere + shared + scattered) / 3 == pytest.approx(1)
    assert (relevance[1:, 2] == 0).all()


def test_rounds_come_evenly_over_the_epochs_and_the_tags_weigh_anew(monkeypatch):
    features, tags, text, _ = three_subjects()
    rounds = []
    monkeypatch.setattr("ctrh.methods.ewsh.nearest", lambda v, k: rounds.append(v.shape) or nearest(v, k))
    hasher = EWSH(replace(CONFIG, rounds=4, train=replace(TRAIN, epochs=10)))
    hasher.fit(features, tags, text)
    assert rounds == [(47, 9)] * 4
    relevance = hasher.network.relevance
    own = hasher._targets(tags[:47])["tag_ids"] != NO_TAG
    assert not relevance[~own].any()
    torch.testing.assert_close(relevance.sum(dim=1), own.sum(dim=1).float())
    assert relevance[own].std() > 0.05

    never = EWSH(replace(CONFIG, rounds=0))
    never.fit(features, tags, text)
    assert len(rounds) == 4 and (never.network.relevance == 1).all()


def test_a_wrong_tag_comes_to_weigh_less_than_the_right_ones():
    features, tags, text, subject = three_subjects()
    hasher = EWSH(replace(CONFIG, rounds=3, train=replace(TRAIN, epochs=12)))
    hasher.fit(features, tags, text)
    images = [i for i in range(0, 47, 4) if subject[i] != 1]  # word 5 belongs to subject 1
    tag_ids = hasher._targets(tags[:47])["tag_ids"][images]
    relevance = hasher.network.relevance[images]
    wrong = relevance[tag_ids == 5].mean()
    right = relevance[(tag_ids != 5) & (tag_ids != NO_TAG)].mean()
    assert wrong < 0.8 * right


def test_codes_follow_the_subjects():
    assert_learns(EWSH(replace(CONFIG, train=replace(TRAIN, epochs=25))), three_subjects())


def test_one_seed_one_result_saved_and_loaded(tmp_path):
    assert_repeats_and_saves(EWSH, CONFIG, three_subjects(), tmp_path / "ewsh.safetensors")


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_fit_goes_on_with_the_relevance_it_had(tmp_path, monkeypatch, stop_after):
    """Rounds come before the second and the fourth of 4 epochs: stopped before, between, and before the last."""
    config = replace(CONFIG, train=replace(TRAIN, epochs=4))
    assert_resumes(EWSH, config, three_subjects(), tmp_path, monkeypatch, stop_after)


@pytest.mark.parametrize("wrong", [{"rounds": -1}, {"neighbours": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EWSHConfig(**wrong)
