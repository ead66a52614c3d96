"""Pairs of a photo and its text as features, made once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from ctrh.data.photos import Photos, Split
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.finetune import captions
from ctrh.guide.flip import FlipConfig, flip
from ctrh.paper.profiles import CrossData, GuideConfig
from ctrh.paper.tasks import guide_of, photos_of
from ctrh.store import cached_arrays, content_key


@dataclass(frozen=True)
class FeatureConfig:
    """``guide`` as it comes (``flip`` None), or tuned on ``tuned`` of the training pairs (None: all)."""

    guide: GuideConfig
    flip: FlipConfig | None = None
    tuned: int | None = None


@dataclass(frozen=True)
class Pairs:
    """Q queries, then M pairs of the database. ``photos``: (Q+M,) their indices in the data set; ``image``, ``text``:
    (Q+M, D) features of length one (0 without any text); ``labels``: (Q+M, L) bool; ``split``: rows of these arrays.
    ``key`` names the content.
    """

    key: str
    photos: np.ndarray
    image: np.ndarray
    text: np.ndarray
    labels: np.ndarray
    split: Split

    @property
    def unseen(self) -> np.ndarray:
        """Rows of the database whose labels no method was shown."""
        return np.setdiff1d(self.split.database, self.split.train)


@lru_cache(maxsize=8)
def load_pairs(data: CrossData, features: FeatureConfig) -> Pairs:
    """Raises ``ValueError`` for photos without labels: nothing could be scored, and FJSPH learns from them."""
    photos = photos_of(data.data)
    photos.relevant()
    chosen = chosen_split(photos, data)
    rows = np.concatenate([chosen.query, chosen.database])
    guide = guide_for(photos, chosen, features)
    image = image_features(guide, photos.images, rows).class_token
    text = text_features(guide, photos, rows, data.texts)
    image, labels = _unit(image), photos.labels[rows]
    queries = len(chosen.query)
    split = Split(
        query=np.arange(queries),
        database=np.arange(queries, len(rows)),
        train=queries + np.searchsorted(chosen.database, chosen.train),
    )
    return Pairs(content_key(rows, image, text, labels, split), rows, image, text, labels, split)


def chosen_split(photos: Photos, data: CrossData) -> Split:
    """The photos' own split, its database and training photos cut to the numbers of ``data``, at random by seed 0."""
    generator = np.random.default_rng(0)
    order = generator.permutation(photos.split.train)
    train = order[: data.train]
    rest = generator.permutation(np.setdiff1d(photos.split.database, train))
    size = len(photos.split.database) if data.database is None else data.database
    if size < len(train):
        raise ValueError(f"a database of {size} photos cannot hold {len(train)} training photos")
    database = np.concatenate([train, rest[: size - len(train)]])
    return Split(photos.split.query, np.sort(database), np.sort(train))


def guide_for(photos: Photos, split: Split, features: FeatureConfig) -> Guide:
    """The guide of ``features``, tuned where it asks for that."""
    guide = guide_of(features.guide)
    if features.flip is None:
        return guide
    rows = np.random.default_rng(1).permutation(split.train)[: features.tuned]
    return flip(guide, photos, np.sort(rows), features.flip)


def word_texts(data: CrossData, features: FeatureConfig, words: Sequence[str]) -> np.ndarray:
    """Single words as texts, by the guide of ``features`` -> (W, D) of length one."""
    photos = photos_of(data.data)
    guide = guide_for(photos, chosen_split(photos, data), features)
    return _unit(word_features(guide, tuple(words)))


def text_features(guide: Guide, photos: Photos, rows: np.ndarray, texts: str) -> np.ndarray:
    """What is written to the photos ``rows``, as ``CrossData.texts`` says -> (R, D) of length one, 0 without a text."""
    if texts == "words":
        return word_means(word_features(guide, photos.vocabulary), photos.tags[rows])
    found, written = captions(photos, rows)
    features = np.zeros((len(rows), guide.width), dtype=np.float32)
    key = content_key(guide.key, written)
    features[np.isin(rows, found)] = cached_arrays(
        "caption-features", key, lambda: {"text": guide.text_features(written, template="{}")}
    )["text"]
    return _unit(features)


def word_features(guide: Guide, words: tuple[str, ...]) -> np.ndarray:
    """(C, D) text features of ``words``, from the cache where they have been asked for before."""
    key = content_key(guide.key, words)
    return cached_arrays("text-features", key, lambda: {"text": guide.text_features(words)})["text"]


def word_means(words: np.ndarray, tags: sp.csr_array) -> np.ndarray:
    """(C, D) word features, (N, C) tags -> (N, D): the mean of each row's words, of length one; 0 without a word.

    Every word has the length one before, so that none counts more.
    """
    return _unit(sp.csr_array(tags, dtype=np.float32) @ _unit(words))


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
