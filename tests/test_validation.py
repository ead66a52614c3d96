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


def test_labels_are_the_words_that_users_wrote_most_often(photos, monkeypatch):
    monkeypatch.setattr("ctrh.data.validation.WORDS", 5)
    held = validation_photos(photos)
    train = photos.split.train
    written = photos.tags.toarray()[train]
    counts = {word: int(sum(written[:, c])) for c, word in enumerate(photos.vocabulary)}
    least = min(counts[word] for word in held.label_names)
    assert len(held.label_names) == 5
    assert all(count <= least for word, count in counts.items() if word not in held.label_names)
    words = [photos.vocabulary.index(word) for word in held.label_names]
    assert np.array_equal(held.labels, photos.tags.toarray()[:, words])


def test_pictures_tags_and_vocabulary_stay(photos):
    held = validation_photos(photos, seed=3)
    assert held.images is photos.images and held.tags is photos.tags
    assert not np.array_equal(held.split.query, validation_photos(photos, seed=4).split.query)


def test_photos_without_tags_cannot_judge(photos):
    with pytest.raises(ValueError, match="no training photo has a tag"):
        validation_photos(photos.with_tags(sp.csr_array(photos.tags.shape, dtype=bool)))
