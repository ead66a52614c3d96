"""`Photos`, splits and vocabularies: shapes are checked, nothing leaks from queries into training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ctrh.data.photos import Split, random_split
from ctrh.data.vocabulary import build_vocabulary, tag_matrix


@given(st.data())
def test_random_splits_are_disjoint_and_complete(data):
    count = data.draw(st.integers(2, 60))
    queries = data.draw(st.integers(1, count - 1))
    train = data.draw(st.integers(1, count - queries))
    split = random_split(count, queries, train, seed=data.draw(st.integers(0, 5)))
    assert sorted([*split.query, *split.database]) == list(range(count))
    assert set(split.train) <= set(split.database) and len(split.train) == train


def test_a_split_belongs_to_its_seed():
    one, same, other = (random_split(100, 10, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.query, same.query)
    assert (one.query != other.query).any()


def test_impossible_splits_are_refused():
    with pytest.raises(ValueError, match="out of 10"):
        random_split(10, 10, 1, seed=0)
    with pytest.raises(ValueError, match="known pictures"):
        Split(np.array([1]), np.array([1, 2]), np.array([2]))
    with pytest.raises(ValueError, match="twice"):
        Split(np.array([1, 1]), np.array([2]), np.array([2]))
    with pytest.raises(ValueError, match="out of the database"):
        Split(np.array([1]), np.array([2]), np.array([3]))


def test_wrong_shapes_are_named(tiny_photos):
    with pytest.raises(ValueError, match=r"tags has shape .* expected"):
        replace(tiny_photos, tags=sp.csr_array((len(tiny_photos), 1), dtype=bool))
    with pytest.raises(ValueError, match="names"):
        replace(tiny_photos, names=())


def test_the_key_follows_tags_but_not_labels(tiny_photos):
    other = tiny_photos.with_tags(sp.csr_array(tiny_photos.tags.shape, dtype=bool))
    assert other.key != tiny_photos.key
    labels = np.zeros((len(tiny_photos), 2), dtype=bool)
    assert replace(tiny_photos, labels=labels, label_names=("a", "b")).key == tiny_photos.key


def test_the_vocabulary_is_by_frequency_then_alphabet():
    lists = [["sea", "sky", "sea"], ["sky"], ["dog", "ant"], []]
    assert build_vocabulary(lists) == ("sky", "ant", "dog", "sea")
    assert build_vocabulary(lists, least=2) == ("sky",)


def test_the_tag_matrix_by_hand():
    matrix = tag_matrix([["sea", "sky", "sea"], [], ["nikon", "sky"]], ["sky", "sea"])
    np.testing.assert_array_equal(matrix.toarray(), [[True, True], [False, False], [True, False]])
    with pytest.raises(ValueError, match="twice"):
        tag_matrix([], ["a", "a"])
