"""Settings are chosen without the queries and without labels: on training photos held out, judged by users' tags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctrh.data.photos import Photos, random_split

SHARE = 0.2
WORDS = 256


def validation_photos(photos: Photos, share: float = SHARE, words: int = WORDS, seed: int = 0) -> Photos:
    """The same photos, of which only those for training are used: ``share`` of them as queries, the rest as database
    and for training. Their labels are the ``words`` tags that most of them carry, as their users wrote them: two
    photos are relevant to each other when their users used one of these words for both.

    Such a relevance is as noisy as the tags; it serves to rank settings, not to say how good codes are. Fewer words
    than the vocabulary bound the memory, and what the rare ones would add is little. Raises ``ValueError`` when no
    training photo has a tag.
    """
    train = photos.split.train
    used = np.asarray(photos.tags[train].sum(axis=0)).ravel()
    if not used.any():
        raise ValueError(f"{photos.name}: no training photo has a tag, so tags cannot judge settings")
    most = np.sort(np.argsort(-used, kind="stable")[: min(words, np.count_nonzero(used))])
    queries = min(max(1, round(share * len(train))), len(train) - 1)
    split = random_split(len(train), queries, len(train) - queries, seed)
    return replace(
        photos,
        name=f"{photos.name}, validation",
        split=type(split)(query=train[split.query], database=train[split.database], train=train[split.train]),
        labels=photos.tags[:, most].toarray().astype(bool),
        label_names=tuple(photos.vocabulary[word] for word in most),
    )
