"""Validation photos: out of the training set alone, judged by tags alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from ctrh.data.scenes.sets import MIR, read_scenes
from ctrh.data.validation import validation_photos


@pytest.fixture(scope="module")
def photos():
    return read_scenes(replace(MIR, count=120, queries=20))


def test_queries_and_labels_of_the_data_set_are_out_of_reach(photos):
    held = validation_photos(photos)
    used = np.union1d(held.split.query, held.split.database)
    assert np.array_equal(used, photos.split.train)
    assert len(held.split.query) == round(0.2 * len(photos.split.train))
    assert np.array_equal(held.split.database, held.split.train)
    other = replace(photos, labels=~photos.labels)
    again = validation_photos(other)
    assert np.array_equal(again.labels, held.labels) and again.label_names == held.label_names


def test_relevance_is_a_shared_word_of_the_most_used(photos):
    held = validation_photos(photos, words=5)
    dense = photos.tags.toarray()
    counts = dense[photos.split.train].sum(axis=0)
    fifth = np.sort(counts)[-5]
    assert len(held.label_names) == 5
    for name, column in zip(held.label_names, held.labels.T):
        word = photos.vocabulary.index(name)
        assert counts[word] >= fifth
        assert np.array_equal(column, dense[:, word])


def test_pictures_tags_and_vocabulary_stay(photos):
    held = validation_photos(photos, seed=3)
    assert held.images is photos.images and held.tags is photos.tags
    assert not np.array_equal(held.split.query, validation_photos(photos, seed=4).split.query)


def test_photos_without_tags_cannot_judge(photos):
    with pytest.raises(ValueError, match="no training photo has a tag"):
        validation_photos(photos.with_tags(sp.csr_array(photos.tags.shape, dtype=bool)))
