"""Settings are chosen without the queries and without labels: on training photos held out, judged by tags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ctrh.data.photos import Photos, Split, random_split

HELD_OUT = 0.2
WORDS = 256
MOST = 0.1


def validation_photos(photos: Photos, share: float = HELD_OUT, seed: int = 0) -> Photos:
    """The same photos, of which only those for training are used: ``share`` of them as queries, the rest as database
    and for training. Their labels are the users' :func:`judging_words`.

    Raises ``ValueError`` when no training photo has a tag.
    """
    train = photos.split.train
    words = judging_words(photos.tags, train)
    if not len(words):
        raise ValueError(f"{photos.name}: no training photo has a tag, so tags cannot judge settings")
    queries = min(max(1, round(share * len(train))), len(train) - 1)
    split = random_split(len(train), queries, len(train) - queries, seed)
    return replace(
        photos,
        name=f"{photos.name}, validation",
        split=Split(query=train[split.query], database=train[split.database], train=train[split.train]),
        labels=photos.tags[:, words].toarray().astype(bool),
        label_names=tuple(photos.vocabulary[word] for word in words),
    )


def judging_words(tags: sp.csr_array, rows: np.ndarray, count: int = WORDS, most: float = MOST) -> np.ndarray:
    """The up to ``count`` words that most of the photos ``rows`` carry, of those that at most the share ``most`` does:
    indices, ascending. Two photos are relevant to each other when they share one of them.

    A word that half of the photos carry would make nearly every photo relevant to every other, whatever they show.
    """
    used = np.asarray(tags[rows].sum(axis=0)).ravel()
    used = np.where(used <= max(1, most * len(rows)), used, 0)
    return np.sort(np.argsort(-used, kind="stable")[: min(count, np.count_nonzero(used))])
