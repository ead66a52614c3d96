"""The two embedded data sets, ``scenes-mir`` and ``scenes-nus``, as :class:`~ctrh.data.photos.Photos`."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp

from ctrh.data.photos import Photos, Split, random_split
from ctrh.data.scenes.compose import Mix
from ctrh.data.scenes.gallery import DrawnImages, compose_all, source_key
from ctrh.data.scenes.tags import TagNoise, true_words, user_tags
from ctrh.data.scenes.world import BACKGROUNDS, KINDS
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.store import cached_arrays, content_key

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


def _mix(things: tuple[float, ...], common: dict[str, float], labelled: float) -> Mix:
    """Scenes dominated by what no label speaks of: their background, their look, and things without a label.

    ``common``: the weight of backgrounds without a label; ``labelled``: that of the others.
    """
    share = {"animal": 0.35, "people": 0.7, "transport": 0.7, "building": 0.7, "plant": 0.8, "food": 0.8}
    kinds = {kind.word: share[kind.above[-1]] if kind.above else 1.3 for kind in KINDS.values()}
    backgrounds = {**dict.fromkeys(BACKGROUNDS, labelled), **common}
    return Mix(things, MappingProxyType(kinds), MappingProxyType(backgrounds), looks=0.7)


MIR = SceneSet(
    name="scenes-mir",
    seed=25_000,
    count=6_000,
    queries=500,
    train=None,
    labels=MappingProxyType(MIR_LABELS),
    mix=_mix((0.25, 0.35, 0.28, 0.12), {"wall": 4.0, "studio": 4.0, "snow": 3.5, "grass": 3.5}, 0.5),
)
NUS = SceneSet(
    name="scenes-nus",
    seed=269_648,
    count=10_600,
    queries=1_000,
    train=4_000,
    labels=MappingProxyType(NUS_LABELS),
    mix=_mix(
        (0.35, 0.35, 0.2, 0.1), {"wall": 4.0, "studio": 4.0, "snow": 4.0, "indoor": 2.0, "night": 2.0}, 0.5
    ),
    noise=TagNoise(thing=0.5, useless=6.0, private=0.35, foreign=0.15, wrong=1.5),
)
SETS = {scene_set.name: scene_set for scene_set in (MIR, NUS)}


def read_scenes(scene_set: SceneSet) -> Photos:
    """The pictures (drawn when one is looked at), what their users write, and the split.

    Photos without a tag of the vocabulary, which the article removes, and those without any label, to which no
    other photo would be relevant, belong to no split.
    """
    key = content_key(scene_set, source_key())
    words = cached_arrays("scene-words", key, lambda: _words(scene_set))
    tags = _sparse(words, "tags")
    return Photos(
        name=scene_set.name,
        images=DrawnImages(scene_set.name, scene_set.seed, scene_set.count, scene_set.mix),
        names=tuple(f"{scene_set.name}-{index:05d}" for index in range(scene_set.count)),
        tags=tags,
        vocabulary=tuple(words["vocabulary"].tolist()),
        common=np.asarray(tags.sum(axis=0)).ravel() >= scene_set.common,
        split=_split(tags, words["labels"], scene_set),
        labels=words["labels"],
        label_names=tuple(scene_set.labels),
        truth=_sparse(words, "truth"),
    )


def _words(scene_set: SceneSet) -> dict[str, np.ndarray]:
    """All that is said of the scenes: vocabulary, users' tags, true tags (as CSR parts), labels (N, L)."""
    scenes = compose_all(scene_set.seed, scene_set.count, scene_set.mix)
    written = [user_tags(scene, scene_set.noise) for scene in scenes]
    vocabulary = build_vocabulary(written, least=scene_set.least)
    parts = {"tags": tag_matrix(written, vocabulary)}
    parts["truth"] = tag_matrix([true_words(scene) for scene in scenes], vocabulary)
    labels = [[word in scene.words for word in scene_set.labels.values()] for scene in scenes]
    return {
        "vocabulary": np.asarray(vocabulary),
        "labels": np.asarray(labels),
        **{f"{name}.indptr": matrix.indptr for name, matrix in parts.items()},
        **{f"{name}.indices": matrix.indices for name, matrix in parts.items()},
    }


def _sparse(words: dict[str, np.ndarray], name: str) -> sp.csr_array:
    indptr, indices = words[f"{name}.indptr"], words[f"{name}.indices"]
    shape = (len(indptr) - 1, len(words["vocabulary"]))
    return sp.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=shape)


def scenes_mir() -> Photos:
    """6,000 scenes, MirFlickr's 24 labels; trained on the whole database."""
    return read_scenes(MIR)


def scenes_nus() -> Photos:
    """10,600 scenes, ten labels, sparser and noisier tags; trained on a part of the database."""
    return read_scenes(NUS)


def clean_tags(photos: Photos) -> sp.csr_array:
    """(N, C) bool: what a careful annotator would write, the words of the photo's labels and nothing else.

    The oracle of the comparisons. Raises ``ValueError`` for real photos, whose true tags nobody knows.
    """
    if photos.name not in SETS:
        raise ValueError(f"{photos.name}: nobody knows the true tags of real photos; use rendered scenes")
    words = list(SETS[photos.name].labels.values())
    written = [[word for word, true in zip(words, row, strict=True) if true] for row in photos.labels]
    return tag_matrix(written, photos.vocabulary)


def _split(tags: sp.csr_array, labels: np.ndarray, scene_set: SceneSet) -> Split:
    usable = np.flatnonzero((tags.sum(axis=1) > 0) & labels.any(axis=1))
    rest = len(usable) - scene_set.queries
    split = random_split(len(usable), scene_set.queries, scene_set.train or rest, scene_set.seed)
    return Split(query=usable[split.query], database=usable[split.database], train=usable[split.train])
