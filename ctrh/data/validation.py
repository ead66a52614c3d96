"""Settings are chosen without the queries, without labels and without a guide: on training photos held out.

All that judges is what users wrote about them. Their words are wrong or missing more often than not, but they err on
all methods' codes alike, and no method has seen those of the photos that ask.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctrh.data.photos import Photos, Split, random_split

HELD_OUT = 0.2
WORDS = 256


def validation_photos(photos: Photos, seed: int = 0) -> Photos:
    """The same photos, of which only those for training are used: ``HELD_OUT`` of them as queries, the rest as database
    and for training. Their labels are the up to ``WORDS`` words that users wrote most often on the training photos.

    Raises ``ValueError`` when no training photo has a tag.
    """
    train = photos.split.train
    used = np.asarray(photos.tags[train].sum(axis=0)).ravel()
    words = np.sort(np.argsort(-used, kind="stable")[: min(WORDS, np.count_nonzero(used))])
    if not len(words):
        raise ValueError(f"{photos.name}: no training photo has a tag, so tags cannot judge settings")
    queries = min(max(1, round(HELD_OUT * len(train))), len(train) - 1)
    split = random_split(len(train), queries, len(train) - queries, seed)
    return replace(
        photos,
        name=f"{photos.name}, validation",
        split=Split(query=train[split.query], database=train[split.database], train=train[split.train]),
        labels=photos.tags[:, words].toarray().astype(bool),
        label_names=tuple(photos.vocabulary[word] for word in words),
    )
