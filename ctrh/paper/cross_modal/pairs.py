"""Pairs of a photo and its text as features, made once and kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ctrh.data.photos import Photos, Split
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.finetune import captions
from ctrh.guide.flip import FlipConfig, flip
from ctrh.paper.profiles import CrossData, GuideConfig
from ctrh.paper.tasks import guide_of, photos_of, word_features
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
    ``words``: the W labels that are also words of the vocabulary; ``word_text``: (W, D), each as a text."""

    key: str
    photos: np.ndarray
    image: np.ndarray
    text: np.ndarray
    labels: np.ndarray
    split: Split
    words: tuple[str, ...]
    word_text: np.ndarray

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
    guide = guide_of(features.guide)
    if features.flip is not None:
        tuned = np.random.default_rng(1).permutation(chosen.train)[: features.tuned]
        guide = flip(guide, photos, np.sort(tuned), features.flip)
    image = _unit(image_features(guide, photos.images, rows).class_token)
    text = text_features(guide, photos, rows, data.texts)
    words = tuple(name for name in photos.label_names if name in photos.vocabulary)
    word_text, labels = _unit(word_features(guide, words)), photos.labels[rows]
    query, database = np.split(np.arange(len(rows)), [len(chosen.query)])
    split = Split(query, database, train=database[np.searchsorted(chosen.database, chosen.train)])
    content = rows, image, text, labels, split, words, word_text
    return Pairs(content_key(*content), *content)


def chosen_split(photos: Photos, data: CrossData) -> Split:
    """The photos' own split, its database and training photos cut to the numbers of ``data``, at random by seed 0."""
    generator = np.random.default_rng(0)
    train = generator.permutation(photos.split.train)[: data.train]
    rest = generator.permutation(np.setdiff1d(photos.split.database, train))
    size = len(photos.split.database) if data.database is None else data.database
    if size < len(train):
        raise ValueError(f"a database of {size} photos cannot hold {len(train)} training photos")
    database = np.concatenate([train, rest[: size - len(train)]])
    return Split(photos.split.query, np.sort(database), np.sort(train))


def text_features(guide: Guide, photos: Photos, rows: np.ndarray, texts: str) -> np.ndarray:
    """What is written to the photos ``rows``, as ``CrossData.texts`` says -> (R, D) of length one, 0 without a text."""
    if texts == "words":
        # All of length one before the mean, so that no word counts more.
        words = _unit(word_features(guide, photos.vocabulary))
        return _unit(photos.tags[rows].astype(np.float32) @ words)
    found, written = captions(photos, rows)
    features = np.zeros((len(rows), guide.width), dtype=np.float32)
    key = content_key(guide.key, written)
    stored = cached_arrays("caption-features", key, lambda: {"text": guide.text_features(written, "{}")})
    features[np.isin(rows, found)] = stored["text"]
    return _unit(features)


def written(photos: Photos, index: int) -> str:
    """What is written to a photo: its caption, or its tags in the order of the vocabulary."""
    if photos.texts is not None:
        return photos.texts[index]
    return ", ".join(photos.vocabulary[word] for word in np.sort(photos.tags[[index]].indices))


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
