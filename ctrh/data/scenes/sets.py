"""The two embedded data sets, ``scenes-mir`` and ``scenes-nus``, as :class:`~ctrh.data.photos.Photos`."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp
from tqdm import tqdm

from ctrh.data.images import ArrayImages
from ctrh.data.photos import Photos, Split, random_split
from ctrh.data.scenes.compose import SIZE, Mix, Scene, compose
from ctrh.data.scenes.draw import draw
from ctrh.data.scenes.tags import TagNoise, true_words, user_tags
from ctrh.data.scenes.world import CONCEPTS, KINDS
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.store import cache_dir, content_key, replacing

_ANIMALS = {kind.word: 0.45 for kind in KINDS.values() if "animal" in kind.above}

# Label -> the concept word that decides it.
MIR_LABELS = {
    "animals": "animal", "baby": "baby", "bird": "bird", "car": "car", "clouds": "clouds", "dog": "dog",
    "female": "female", "flower": "flower", "food": "food", "indoor": "indoor", "lake": "lake", "male": "male",
    "night": "night", "people": "people", "plant_life": "plant", "portrait": "portrait", "river": "river", "sea": "sea",
    "sky": "sky", "structures": "building", "sunset": "sunset", "transport": "transport", "tree": "tree",
    "water": "water",
}  # fmt: skip
NUS_LABELS = {
    "sky": "sky", "clouds": "clouds", "person": "people", "water": "water", "animal": "animal", "grass": "grass",
    "buildings": "building", "plants": "plant", "lake": "lake", "vehicle": "transport",
}  # fmt: skip


@dataclass(frozen=True)
class SceneSet:
    """Everything that a data set of scenes depends on."""

    name: str
    seed: int
    count: int
    queries: int
    train: int | None  # None: the whole database, as the article trains on MirFlickr
    labels: MappingProxyType[str, str]
    mix: Mix
    noise: TagNoise = TagNoise()
    least: int = 2  # photos that must carry a word before it is part of the vocabulary
    common: int = 10  # photos that must carry a word before it is a common tag, T_common of Eq. (3)


MIR = SceneSet(
    name="scenes-mir",
    seed=25_000,
    count=5_600,
    queries=500,
    train=None,
    labels=MappingProxyType(MIR_LABELS),
    mix=Mix(kinds=MappingProxyType({**_ANIMALS, "dog": 1.2, "car": 1.2, "flower": 1.5, "tree": 1.5})),
)
NUS = SceneSet(
    name="scenes-nus",
    seed=269_648,
    count=10_600,
    queries=1_000,
    train=4_000,
    labels=MappingProxyType(NUS_LABELS),
    mix=Mix(things=(0.35, 0.35, 0.2, 0.1), kinds=MappingProxyType({**_ANIMALS})),
    noise=TagNoise(thing=0.5, useless=6.0, private=0.35, foreign=0.15, wrong=1.5),
)


def read_scenes(scene_set: SceneSet) -> Photos:
    """Draws the pictures (once; then from the cache), writes their users' tags and splits them.

    Photos without a tag of the vocabulary belong to no split, as the article removes them.
    """
    scenes = [compose(scene_set.seed, index, scene_set.mix) for index in range(scene_set.count)]
    written = [user_tags(scene, scene_set.noise) for scene in scenes]
    vocabulary = build_vocabulary(written, least=scene_set.least)
    tags = tag_matrix(written, vocabulary)
    words = list(scene_set.labels.values())
    return Photos(
        name=scene_set.name,
        images=_pictures(scene_set, scenes),
        names=tuple(f"{scene_set.name}-{index:05d}" for index in range(scene_set.count)),
        tags=tags,
        vocabulary=vocabulary,
        common=np.asarray(tags.sum(axis=0)).ravel() >= scene_set.common,
        split=_split(tags, scene_set),
        labels=np.asarray([[word in scene.words for word in words] for scene in scenes]),
        label_names=tuple(scene_set.labels),
        truth=tag_matrix([true_words(scene) for scene in scenes], vocabulary),
    )


def scenes_mir() -> Photos:
    """5,600 scenes, MirFlickr's 24 labels; trained on the whole database."""
    return read_scenes(MIR)


def scenes_nus() -> Photos:
    """10,600 scenes, ten labels, sparser and noisier tags; trained on a part of the database."""
    return read_scenes(NUS)


def clean_tags(photos: Photos) -> sp.csr_array:
    """(N, C) bool: the concept words that are true of each scene, nothing else. The oracle of the comparisons."""
    if photos.truth is None:
        raise ValueError(f"{photos.name}: nobody knows the true tags of real photos; use rendered scenes")
    concept = np.isin(photos.vocabulary, CONCEPTS)
    return sp.csr_array(photos.truth.multiply(concept[None, :]), dtype=bool)


def _split(tags: sp.csr_array, scene_set: SceneSet) -> Split:
    tagged = np.flatnonzero(tags.sum(axis=1))
    rest = len(tagged) - scene_set.queries
    split = random_split(len(tagged), scene_set.queries, scene_set.train or rest, scene_set.seed)
    return Split(query=tagged[split.query], database=tagged[split.database], train=tagged[split.train])


def _pictures(scene_set: SceneSet, scenes: list[Scene]) -> ArrayImages:
    key = content_key("scenes", scene_set.seed, scene_set.count, scene_set.mix)
    path = cache_dir() / "scenes" / f"{scene_set.name}-{key}.npy"
    if not path.exists():
        with replacing(path) as temporary, ProcessPoolExecutor() as pool:
            shape = (len(scenes), SIZE, SIZE, 3)
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            drawn = pool.map(draw, scenes, chunksize=128)
            for index, picture in enumerate(tqdm(drawn, scene_set.name, total=len(scenes), disable=None)):
                pixels[index] = picture
            pixels.flush()
    return ArrayImages(np.load(path, mmap_mode="r"), key=key)
