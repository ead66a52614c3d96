"""Validation photos: out of the training set alone, judged by tags alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from PIL import Image

from ctrh.data.photos import random_split
from ctrh.data.scenes.sets import MIR, read_scenes
from ctrh.data.validation import company, likeness, telling_words, validation_photos


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


def test_company_is_the_correlation_with_another_word():
    rng = np.random.default_rng(0)
    tags = (rng.random((60, 5)) < 0.4).astype(np.float32)
    tags[:50, 1] = tags[:50, 0]  # dog and animal
    expected = np.corrcoef(tags.T)
    np.fill_diagonal(expected, -1)
    np.testing.assert_allclose(company(tags), expected.max(axis=0) * np.sqrt(60), rtol=1e-5)
    assert company(tags)[:2].min() > 5 > company(tags)[2:].max()


def test_likeness_is_counted_among_nearest_neighbours():
    rng = np.random.default_rng(1)
    tags, features = (rng.random((40, 3)) < 0.5).astype(np.float32), rng.standard_normal((40, 4))
    tags[:, 2] = features[:, 0] > 0
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    for word in range(3):
        hits, asked = 0, 0
        for i in np.flatnonzero(tags[:, word]):
            others = [j for j in np.argsort(-(z @ z[i])) if j != i][:20]
            hits, asked = hits + tags[others, word].sum(), asked + 20
        share = tags[:, word].mean()
        expected = (hits / asked - share) / np.sqrt(share * (1 - share) / asked)
        np.testing.assert_allclose(likeness(tags, features)[word], expected, rtol=1e-3)
    assert likeness(tags, features)[2] > 3


def test_words_that_tell_keep_company_and_are_no_matter_of_colour(photos):
    """Red pictures are *red* and *warm*; *dog* and *animal* go together on any; *nikon* is everywhere by chance."""
    rng = np.random.default_rng(2)
    vocabulary, n = ("red", "warm", "dog", "animal", "nikon", "once"), 100
    tags = rng.random((n, 6)) < [0.4, 0, 0.3, 0, 0.5, 0]
    tags[:, 1], tags[:, 3], tags[0, 5] = tags[:, 0], tags[:, 2], True
    pixels = rng.integers(0, 120, (n, 16, 16, 3), dtype=np.uint8)
    pixels[tags[:, 0], ..., 0] += 120
    made = replace(
        photos,
        images=[Image.fromarray(each) for each in pixels],
        names=[str(i) for i in range(n)],
        tags=sp.csr_array(tags),
        vocabulary=vocabulary,
        common=np.zeros(6, dtype=bool),
        split=random_split(n, 5, 95, 0),
        labels=None,
        label_names=(),
        truth=None,
    )
    assert [vocabulary[word] for word in telling_words(made)] == ["dog", "animal"]
    # Where none is left, every used word tells.
    alone = sp.csr_array(tags & [True, False, False, False, True, False])
    assert [vocabulary[word] for word in telling_words(made.with_tags(alone))] == ["red", "nikon"]


def test_labels_are_the_telling_words(photos):
    held = validation_photos(photos)
    words = telling_words(photos)
    assert held.label_names == tuple(photos.vocabulary[word] for word in words)
    assert np.array_equal(held.labels, photos.tags.toarray()[:, words])


def test_pictures_tags_and_vocabulary_stay(photos):
    held = validation_photos(photos, seed=3)
    assert held.images is photos.images and held.tags is photos.tags
    assert not np.array_equal(held.split.query, validation_photos(photos, seed=4).split.query)


def test_photos_without_tags_cannot_judge(photos):
    with pytest.raises(ValueError, match="no training photo has a tag"):
        validation_photos(photos.with_tags(sp.csr_array(photos.tags.shape, dtype=bool)))
