"""Neighbour voting against plain loops, and by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from ctrh.guide import voting
from ctrh.guide.voting import neighbour_votes


@pytest.mark.parametrize("k", [1, 4, 100])
def test_votes_are_counted_among_the_nearest_others(monkeypatch, k):
    monkeypatch.setattr(voting, "PAIRS", 30)  # several blocks
    generator = np.random.default_rng(0)
    features, tags = generator.normal(size=(13, 4)).astype(np.float32), generator.random((13, 5)) < 0.4
    votes = neighbour_votes(features, sp.csr_array(tags), k)
    for i in range(13):
        others = [j for j in range(13) if j != i]
        others.sort(key=lambda j: -features[i] @ features[j] / np.linalg.norm(features[j]))
        for c in range(5):
            counted = sum(bool(tags[j, c]) for j in others[:k])
            prior = min(k, 12) * sum(bool(tags[j, c]) for j in range(13)) / 13
            assert votes[i, c] == pytest.approx(counted - prior, abs=1e-5)


def test_what_neighbours_share_beats_what_everybody_says():
    features = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    # Columns: everywhere ("nikon"), in the first group, in the second, in one photo of the first.
    tags = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0]], dtype=bool)
    votes = neighbour_votes(features, sp.csr_array(tags), k=2)
    assert votes[0].tolist() == pytest.approx([0, 2 - 1, 0 - 1, 0 - 1 / 3], abs=1e-6)
    assert votes[1].argmax() == 1 and votes[4].argmax() == 2
