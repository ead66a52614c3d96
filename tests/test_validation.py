"""Validation photos: out of the training set alone, judged by tags alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from ctrh.data.scenes.sets import MIR, read_scenes
from ctrh.data.validation import judging_words, validation_photos


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


def test_words_that_judge_are_the_most_used_of_those_that_do_not_stand_everywhere():
    """Ten photos; word 0 on all, 1 on three, 2 on one, 3 on none, 4 on two, and on a photo that does not count."""
    tags = np.zeros((11, 5), dtype=bool)
    tags[:, 0] = True
    tags[:3, 1], tags[5, 2], tags[[4, 7, 10], 4] = True, True, True
    rows = np.arange(10)
    assert judging_words(sp.csr_array(tags), rows, most=0.3).tolist() == [1, 2, 4]
    assert judging_words(sp.csr_array(tags), rows, count=2, most=0.3).tolist() == [1, 4]
    assert judging_words(sp.csr_array(tags), rows, most=0.2).tolist() == [2, 4]


def test_labels_are_the_judging_words(photos):
    held = validation_photos(photos)
    words = judging_words(photos.tags, photos.split.train)
    assert held.label_names == tuple(photos.vocabulary[word] for word in words)
    assert np.array_equal(held.labels, photos.tags.toarray()[:, words])


def test_pictures_tags_and_vocabulary_stay(photos):
    held = validation_photos(photos, seed=3)
    assert held.images is photos.images and held.tags is photos.tags
    assert not np.array_equal(held.split.query, validation_photos(photos, seed=4).split.query)


def test_photos_without_tags_cannot_judge(photos):
    with pytest.raises(ValueError, match="no training photo has a tag"):
        validation_photos(photos.with_tags(sp.csr_array(photos.tags.shape, dtype=bool)))
