"""EWSH: relevance by loops over neighbours, rounds of refinement at their time, and resuming between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from deep_problem import TRAIN, assert_learns, assert_repeats_and_saves, assert_resumes, three_subjects

from ctrh.methods.ewsh import EWSH, EWSHConfig, nearest, neighbour_votes, tag_relevance
from ctrh.network import NO_TAG, padded_tags

CONFIG = EWSHConfig(bits=8, hidden=12, rounds=2, neighbours=5, train=TRAIN)


def test_nearest_are_the_other_rows_of_highest_cosine():
    v = torch.randn(700, 5, generator=torch.Generator().manual_seed(0))  # more than one block
    unit = v / v.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    expected = cosine.argsort(dim=1, descending=True)[:, :4]
    assert (nearest(v, 4).sort().values == expected.sort().values).all()
    assert nearest(v[:3], 10).sort().values.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert nearest(v[:1], 10).shape == (1, 0)


def relevance_by_loop(tag_ids: list, neighbours: list, words: int) -> np.ndarray:
    own = [[c for c in row if c != NO_TAG] for row in tag_ids]
    share = [sum(word in tags for tags in own) / len(own) for word in range(words)]
    relevance = np.zeros((len(tag_ids), len(tag_ids[0])))
    for i, tags in enumerate(own):
        for m, word in enumerate(tags):
            votes = sum(word in own[j] for j in neighbours[i])
            relevance[i, m] = max(1, votes - len(neighbours[i]) * share[word])
        if tags:
            relevance[i] /= relevance[i, : len(tags)].mean()
    return relevance


def test_votes_are_counted_one_by_one():
    generator = np.random.default_rng(0)
    features, tags = generator.normal(size=(13, 4)), generator.random((13, 5)) < 0.4
    votes, by_chance = neighbour_votes(sp.csr_array(tags), nearest(torch.from_numpy(features), 4))
    for i in range(13):
        others = [j for j in range(13) if j != i]
        others.sort(key=lambda j: -features[i] @ features[j] / np.linalg.norm(features[j]))
        assert votes.toarray()[i].tolist() == [sum(bool(tags[j, c]) for j in others[:4]) for c in range(5)]
    assert by_chance.tolist() == pytest.approx([4 * sum(map(bool, tags[:, c])) / 13 for c in range(5)])


def test_relevance_counts_votes_beyond_chance():
    generator = np.random.default_rng(0)
    tag_ids = np.full((19, 4), NO_TAG)
    for row in range(18):  # the last has no tag
        tags = np.sort(generator.choice(6, 1 + row % 4, replace=False))
        tag_ids[row, : len(tags)] = tags
    neighbours = np.array(
        [generator.choice(np.delete(np.arange(19), i), 9, replace=False) for i in range(19)]
    )
    got = tag_relevance(*map(torch.from_numpy, (tag_ids, neighbours)), words=6)
    expected = relevance_by_loop(tag_ids.tolist(), neighbours.tolist(), 6)
    assert expected.max() > 1.2
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_tag_of_every_image_gains_nothing_and_one_that_neighbours_share_does():
    """Word 0 is everywhere, word 1 on the first half, word 2 on two images; all others of the own half are neighbours:
    word 1 has 4 votes where chance gives 2, word 0 has as many as by chance."""
    tag_ids = torch.tensor([[0, 1, 2], *[[0, 1, NO_TAG]] * 4, [0, 2, NO_TAG], *[[0, 3, NO_TAG]] * 4])
    halves = [[j for j in range(start, start + 5)] for start in (0, 5)]
    neighbours = torch.tensor([[j for j in halves[i // 5] if j != i] for i in range(10)])
    relevance = tag_relevance(tag_ids, neighbours, words=4)
    torch.testing.assert_close(relevance[0], torch.tensor([1.0, 2.0, 1.0]) * 3 / 4)
    assert (relevance[1:, 2] == 0).all()


def test_rounds_come_evenly_over_the_epochs_and_the_tags_weigh_anew(monkeypatch):
    features, tags, text, _ = three_subjects()
    rounds = []
    monkeypatch.setattr("ctrh.methods.ewsh.nearest", lambda v, k: rounds.append(v.shape) or nearest(v, k))
    hasher = EWSH(replace(CONFIG, rounds=4, train=replace(TRAIN, epochs=10)))
    hasher.fit(features, tags, text)
    assert rounds == [(47, 10)] * 4
    relevance = hasher.network.relevance
    own = padded_tags(tags[:47]) != NO_TAG
    assert not relevance[~own].any()
    torch.testing.assert_close(relevance.sum(dim=1), own.sum(dim=1).float())
    assert relevance[own].std() > 0.05

    never = EWSH(replace(CONFIG, rounds=0))
    never.fit(features, tags, text)
    assert len(rounds) == 4 and torch.equal(never.network.relevance, own.float())


def test_a_wrong_tag_comes_to_weigh_less_than_the_right_ones():
    features, tags, text, subject = three_subjects()
    hasher = EWSH(replace(CONFIG, rounds=3, train=replace(TRAIN, epochs=12)))
    hasher.fit(features, tags, text)
    images = [i for i in range(0, 47, 4) if subject[i] != 1]  # word 5 belongs to subject 1
    tag_ids = padded_tags(tags[:47])[images]
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
