"""References: vectors as they come, ITQ's start, ITQ on roots of probabilities, and where these come from."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.decomposition import PCA

from ctrh.guide.features import concept_distribution, image_features
from ctrh.methods.itq import ITQ, RotatedPCA
from ctrh.methods.references import ConceptITQ, FloatConcepts, FloatFeatures
from ctrh.methods.registry import METHODS, compared, references


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(80, 12)) * np.arange(1, 13)


def test_vectors_stay_what_they_are(features):
    for reference in (FloatFeatures(), FloatConcepts()):
        assert reference.fit(features).transform(features) is features and not reference.binary


def test_rotated_pca_is_principal_components_at_random_angles(features):
    hasher = RotatedPCA(bits=6, seed=3).fit(features)
    rotation = hasher.rotation_
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
    projected = PCA(6).fit_transform(features)
    # Scikit-learn's directions, up to their signs.
    signs = np.sign((PCA(6).fit(features).components_ * hasher.components_.T).sum(axis=1))
    np.testing.assert_array_equal(hasher.transform(features), (projected * signs) @ rotation >= 0)
    assert (RotatedPCA(bits=6, seed=4).fit(features).transform(features) != hasher.transform(features)).any()
    start = ITQ(bits=6, seed=3, iterations=0).fit(features)
    np.testing.assert_array_equal(start.rotation_, rotation)


def test_itq_on_concepts_sees_their_roots(features):
    concepts = softmax(features, axis=1)
    expected = ITQ(bits=4, seed=1).fit(np.sqrt(concepts)).transform(np.sqrt(concepts))
    found = ConceptITQ(bits=4, seed=1).fit(concepts).transform(concepts)
    np.testing.assert_array_equal(found, expected)


def test_concepts_are_the_softmax_of_the_guides_own_logits(tiny_photos, tiny_guide):
    text = tiny_guide.text_features(tiny_photos.vocabulary)
    concepts = concept_distribution(tiny_guide, tiny_photos.images, text)
    tokens = image_features(tiny_guide, tiny_photos.images).class_token
    for row, token in zip(concepts[:3], tokens):
        cosines = [token @ word / np.linalg.norm(token) / np.linalg.norm(word) for word in text]
        np.testing.assert_allclose(row, softmax(tiny_guide.scale * np.array(cosines)), rtol=1e-4)


def test_references_are_no_methods():
    assert set(references()) | set(compared()) == set(METHODS) and not set(references()) & set(compared())
    assert "random" in references() and "PCA-RR" in compared() and "UHSCM" in compared()
