"""The embedded data: a pure function of (seed, index), tags as documented, frozen by checksum."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from ctrh.data.scenes.backgrounds import paint
from ctrh.data.scenes.compose import SIZE, Mix, Scene, compose
from ctrh.data.scenes.draw import draw
from ctrh.data.scenes.gallery import DrawnImages
from ctrh.data.scenes.sets import MIR, NUS, SceneSet, clean_tags, read_scenes
from ctrh.data.scenes.tags import TagNoise, true_words, user_tags
from ctrh.data.scenes.world import BACKGROUNDS, CONCEPTS, KIND_OF_GLYPH, KINDS, names

SCENES = [compose(3, index) for index in range(400)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory, request):
    cache = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTRH_CACHE", str(cache))
        return read_scenes(replace(MIR, count=160, queries=20, train=100))


def test_a_scene_is_a_pure_function_of_seed_and_index():
    assert compose(3, 7) == SCENES[7] != compose(4, 7)
    np.testing.assert_array_equal(draw(SCENES[7]), draw(compose(3, 7)))
    assert user_tags(SCENES[7], TagNoise()) == user_tags(compose(3, 7), TagNoise())


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_is_painted(background):
    pixels = paint(background, np.random.default_rng(0))
    assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8
    assert pixels.std() > 2


def test_every_glyph_shows_on_the_picture():
    empty = draw(replace(SCENES[0], things=(), look=None))
    for kind in KINDS.values():
        thing = replace(
            SCENES[0].things[0], kind=kind.word, glyph=kind.glyphs[-1], pixels=50.0, centre=(0.5, 0.5)
        )
        shown = draw(replace(SCENES[0], things=(thing,), look=None))
        assert np.abs(shown.astype(int) - empty).max(axis=2).astype(bool).mean() > 0.02, kind.word


@pytest.mark.parametrize(
    "look", ["bw", "sepia", "blurry", "dark", "bright", "grainy", "vivid", "macro", "red"]
)
def test_looks_change_the_picture_and_not_the_words(look):
    plain, changed = replace(SCENES[1], look=None), replace(SCENES[1], look=look)
    assert plain.words == changed.words
    assert np.abs(draw(plain).astype(int) - draw(changed)).mean() > 1


def test_black_and_white_is_grey():
    pixels = draw(replace(SCENES[2], look="bw")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1


def test_words_follow_the_hierarchy():
    scene = Scene("lake", (replace(SCENES[0].things[0], kind="duck", glyph="🦆"),), None, 1.0, (0, 0))
    assert scene.words == ("animal", "bird", "duck", "lake", "water")
    assert [word for word in CONCEPTS if word in scene.words] == list(scene.words)


def test_no_glyph_belongs_to_two_kinds():
    assert len(KIND_OF_GLYPH) == sum(len(kind.glyphs) for kind in KINDS.values())


def test_names_in_several_languages():
    assert "butterfly" in names("🦋") and names("🦋", "es") == ("mariposa",)


def test_weights_choose_what_occurs():
    only = Mix(
        things=(0, 1.0),
        kinds=MappingProxyType({kind: 0.0 for kind in KINDS if kind != "dog"}),
        backgrounds=MappingProxyType({place: 0.0 for place in BACKGROUNDS if place != "sea"}),
    )
    scene = compose(0, 0, only)
    assert scene.background == "sea" and [thing.kind for thing in scene.things] == ["dog", "dog"]
    with pytest.raises(ValueError, match="unicorns"):
        compose(0, 0, Mix(kinds=MappingProxyType({"unicorns": 1.0})))


def test_without_noise_tags_are_clean_and_complete():
    for scene in SCENES[:100]:
        tags = set(user_tags(scene, TagNoise().at(0.0)))
        assert tags <= true_words(scene)
        assert set(BACKGROUNDS[scene.background]) <= tags
        for thing in scene.things:
            assert tags & ({thing.kind} | set(names(thing.glyph)))


def test_more_noise_means_less_truth():
    def precision(rate: float) -> float:
        noise = TagNoise().at(rate)
        pairs = [(set(user_tags(scene, noise)), true_words(scene)) for scene in SCENES]
        return float(np.mean([len(tags & true) / len(tags) for tags, true in pairs if tags]))

    falling = [precision(rate) for rate in (0.0, 0.5, 1.0, 1.5)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 1.0 and falling[-1] < 0.4
    with pytest.raises(ValueError, match="negative"):
        TagNoise().at(-0.1)


def test_tags_are_as_many_as_on_mirflickr():
    scenes = [compose(MIR.seed, index, MIR.mix) for index in range(1500)]
    counts = [len(user_tags(scene, MIR.noise)) for scene in scenes]
    assert np.mean(counts) == pytest.approx(8.94, abs=0.35)
    assert 0.01 < np.mean(np.asarray(counts) == 0) < 0.06


def test_photos_of_scenes(photos):
    assert len(photos) == 160 and photos.images[0].size == (SIZE, SIZE)
    assert (
        photos.tags[photos.split.database].sum(axis=1).min()
        > 0
        < photos.labels[photos.split.query].sum(axis=1).min()
    )
    scene = compose(MIR.seed, 5, MIR.mix)
    np.testing.assert_array_equal(np.asarray(photos.images[5]), draw(scene))
    assert [label in photos.label_names for label in ("animals", "plant_life")] == [True, True]
    assert photos.labels[5, photos.label_names.index("sky")] == ("sky" in scene.words)


def test_pictures_are_drawn_when_looked_at_and_the_first_ones_without_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path))
    all_of_them = DrawnImages("few", 5, 7, Mix())
    first = all_of_them.first(3)
    assert len(all_of_them) == 7 and len(first) == 3 and first.key != all_of_them.key
    assert not list(tmp_path.rglob("*.npy"))
    assert first[2].tobytes() == draw(compose(5, 2)).tobytes() == all_of_them[2].tobytes()
    assert sorted(np.load(path).shape for path in tmp_path.rglob("*.npy")) == [
        (3, SIZE, SIZE, 3),
        (7, SIZE, SIZE, 3),
    ]
    again = pickle.loads(pickle.dumps(first))
    assert again.key == first.key and again[2].tobytes() == first[2].tobytes()
    with pytest.raises(IndexError):
        first[3]


def test_clean_tags_are_the_words_of_the_labels(photos):
    clean = clean_tags(photos)
    assert clean.shape == photos.tags.shape and clean.multiply(photos.truth).sum() == clean.sum()
    column = {word: index for index, word in enumerate(photos.vocabulary)}
    scene = compose(MIR.seed, 9, MIR.mix)
    expected = {column[word] for word in set(scene.words) & set(MIR.labels.values()) if word in column}
    assert set(clean[[9]].indices) == expected
    with pytest.raises(ValueError, match="real photos"):
        clean_tags(replace(photos, name="holiday"))


def _fingerprint(scene_set: SceneSet) -> str:
    digest = hashlib.sha256()
    for index in range(0, scene_set.count, 10):
        scene = compose(scene_set.seed, index, scene_set.mix)
        digest.update(repr((scene, user_tags(scene, scene_set.noise))).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("scene_set", "frozen"), [(MIR, "1659caf842d5dd1e"), (NUS, "e2d3ef69bf5f9511")], ids=["mir", "nus"]
)
def test_the_data_is_frozen(scene_set, frozen):
    """Content, tags and labels of the data sets must never change: published results rest on them."""
    assert _fingerprint(scene_set) == frozen
