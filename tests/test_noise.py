"""Other tags for the same photos: nothing else changes, and noise is what the model says it is."""

from dataclasses import replace

import numpy as np
import pytest

from ctrh.data.noise import with_noise
from ctrh.data.scenes.compose import compose
from ctrh.data.scenes.sets import MIR, clean_tags, read_scenes
from ctrh.data.scenes.tags import user_tags
from ctrh.paper.profiles import DataConfig


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTRH_CACHE", str(tmp_path_factory.mktemp("scenes")))
        return read_scenes(replace(MIR, count=120, queries=20, train=80))


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0])
def test_only_the_tags_change(photos, rate):
    noisy = with_noise(photos, rate)
    assert noisy.images is photos.images and noisy.split is photos.split and noisy.labels is photos.labels
    assert (noisy.name, noisy.names, noisy.label_names) == (photos.name, photos.names, photos.label_names)
    assert noisy.key != photos.key
    for index in (0, 7, 101):
        tags = user_tags(compose(MIR.seed, index, MIR.mix), MIR.noise.at(rate))
        expected = {word for word in tags if word in noisy.vocabulary}
        assert {noisy.vocabulary[column] for column in noisy.tags[[index]].indices} == expected


def test_rate_one_is_the_data_set_as_it_is(photos):
    assert with_noise(photos, 1.0).key == photos.key
    nearly = with_noise(photos, 1 + 1e-12)
    assert nearly.vocabulary == photos.vocabulary and nearly.key == photos.key
    np.testing.assert_array_equal(nearly.truth.toarray(), photos.truth.toarray())
    np.testing.assert_array_equal(nearly.common, photos.common)


def test_more_noise_means_fewer_right_tags(photos):
    def precision(rate):
        noisy = with_noise(photos, rate)
        return noisy.tags.multiply(noisy.truth).sum() / noisy.tags.sum()

    falling = [precision(rate) for rate in (0.0, 0.5, 1.0, 2.0)]
    assert falling == sorted(falling, reverse=True) and falling[0] == 1.0


def test_clean_tags_are_found_among_any(photos):
    quiet, usual = (clean_tags(with_noise(photos, rate)) for rate in (0.0, 1.0))
    assert quiet.shape[1] < usual.shape[1]
    assert quiet.sum() == pytest.approx(usual.sum(), rel=0.05)


def test_real_photos_have_no_noise_rate(tiny_photos):
    with pytest.raises(ValueError, match="tiny: the noise of real tags cannot be set"):
        with_noise(tiny_photos, 0.5)


def test_a_data_set_is_loaded_with_its_noise(photos, monkeypatch):
    monkeypatch.setattr("ctrh.paper.profiles.load_photos", lambda name, **protocol: photos)
    plain = DataConfig("scenes-mir", 60, 10, 30)
    noisy = replace(plain, noise=0.5).load()
    assert len(noisy) == 60 and noisy.images.key == plain.load().images.key
    np.testing.assert_array_equal(noisy.split.query, plain.load().split.query)
    # Of few photos only these are tagged anew, over a vocabulary of their own.
    assert set(noisy.vocabulary) < set(with_noise(photos, 0.5).vocabulary)
