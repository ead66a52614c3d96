"""The same photos with more or less careless tags: what no collection of real photos offers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from ctrh.data.photos import Photos
from ctrh.data.scenes.compose import Scene
from ctrh.data.scenes.gallery import compose_all, source_key
from ctrh.data.scenes.sets import SETS
from ctrh.data.scenes.tags import true_words, user_tags
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.store import cached_arrays, content_key


def with_noise(photos: Photos, rate: float) -> Photos:
    """``photos`` of scenes as users would tag them whose carelessness is ``rate`` times the usual one.

    Pictures, labels and split stay; tags, vocabulary, common tags and truth are new. 0: clean and complete, 1: the data
    set as it is (:meth:`ctrh.data.scenes.tags.TagNoise.at`). A photo of the split may end up without a tag. Raises
    ``ValueError`` for real photos, whose users cannot be asked again.
    """
    if photos.name not in SETS:
        raise ValueError(f"{photos.name}: the noise of real tags cannot be set; use rendered scenes")
    if rate == 1:
        return photos
    key = content_key(SETS[photos.name], len(photos), rate, source_key())
    words = cached_arrays("noisy-words", key, lambda: _words(photos.name, len(photos), rate))
    vocabulary = tuple(words["vocabulary"].tolist())
    tags, truth = (_matrix(words, name, len(vocabulary)) for name in ("tags", "truth"))
    common = np.asarray(tags.sum(axis=0)).ravel() >= SETS[photos.name].common
    return replace(photos, tags=tags, vocabulary=vocabulary, common=common, truth=truth)


def _words(name: str, count: int, rate: float) -> dict[str, np.ndarray]:
    scenes, scene_set = _scenes(name, count), SETS[name]
    noise = scene_set.noise.at(rate)
    lists = {"tags": [user_tags(scene, noise) for scene in scenes]}
    lists["truth"] = [true_words(scene) for scene in scenes]
    vocabulary = build_vocabulary(lists["tags"], least=scene_set.least)
    parts: dict[str, np.ndarray] = {"vocabulary": np.asarray(vocabulary)}
    for which, words in lists.items():
        matrix = tag_matrix(words, vocabulary)
        parts |= {f"{which}.indptr": matrix.indptr, f"{which}.indices": matrix.indices}
    return parts


@lru_cache(maxsize=1)  # for the next rate
def _scenes(name: str, count: int) -> list[Scene]:
    return compose_all(SETS[name].seed, count, SETS[name].mix)


def _matrix(words: dict[str, np.ndarray], name: str, width: int) -> sp.csr_array:
    indptr, indices = words[f"{name}.indptr"], words[f"{name}.indices"]
    return sp.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=(len(indptr) - 1, width))
