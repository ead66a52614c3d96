"""Settings are chosen without the queries, without labels and without a guide: on training photos held out.

All that judges is what users wrote about them, and their colours (:func:`telling_words`). Users' words are wrong or
missing more often than not, but they err on all methods' codes alike, and no method has seen those of the photos
that ask.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from ctrh.data.photos import Photos, Split, random_split
from ctrh.store import cached_arrays, content_key

HELD_OUT = 0.2
# What a word must have: photos that carry it; and in standard errors, company of another word more often than by
# chance at least, and likeness in colour of the photos that carry it at most.
CARRIERS, COMPANY, COLOURED = 5, 4.0, 3.0
NEIGHBOURS = 20


def validation_photos(photos: Photos, seed: int = 0) -> Photos:
    """The same photos, of which only those for training are used: ``HELD_OUT`` of them as queries, the rest as database
    and for training. Their labels are the users' :func:`telling_words`.

    Raises ``ValueError`` when no training photo has a tag.
    """
    train = photos.split.train
    if not photos.tags[train].nnz:
        raise ValueError(f"{photos.name}: no training photo has a tag, so tags cannot judge settings")
    key = content_key(photos.images.key, photos.tags, train, CARRIERS, COMPANY, COLOURED, NEIGHBOURS)
    words = cached_arrays("telling-words", key, lambda: {"words": telling_words(photos)})["words"]
    queries = min(max(1, round(HELD_OUT * len(train))), len(train) - 1)
    split = random_split(len(train), queries, len(train) - queries, seed)
    return replace(
        photos,
        name=f"{photos.name}, validation",
        split=Split(query=train[split.query], database=train[split.database], train=train[split.train]),
        labels=photos.tags[:, words].toarray().astype(bool),
        label_names=tuple(photos.vocabulary[word] for word in words),
    )


def telling_words(photos: Photos) -> np.ndarray:
    """The words by which two training photos are compared, as ascending indices: those that ``CARRIERS`` photos carry,
    that keep company with another word (*dog* with *animal*; *nikon* goes with everything, as if by chance) and that
    plain colours do not tell. Random projections of any feature keep colours, and a judge of *snow* and *sepia* finds
    no codes better than those that have learned nothing. Where no word is left, as in a few hundred photos, all are.
    """
    train = photos.split.train
    tags = photos.tags[train].toarray().astype(np.float32)
    carriers = tags.sum(axis=0)
    used = np.flatnonzero(carriers >= min(CARRIERS, carriers.max()))
    colours = np.stack([_colours(photos.images[row]) for row in train])
    telling = (company(tags[:, used]) > COMPANY) & (likeness(tags[:, used], colours) < COLOURED)
    return used[telling] if telling.any() else used


def company(tags: np.ndarray) -> np.ndarray:
    """tags (N, C) in {0, 1} -> (C,): the highest correlation of a word with another, in standard errors 1/√N."""
    centred = tags - tags.mean(axis=0)
    z = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-9)
    correlation = z.T @ z
    np.fill_diagonal(correlation, -1)
    return correlation.max(axis=0) * np.sqrt(len(tags))


def likeness(tags: np.ndarray, features: np.ndarray) -> np.ndarray:
    """tags (N, C) in {0, 1}, features (N, F) -> (C,): by how many standard errors a word is more frequent among the
    ``NEIGHBOURS`` nearest of the photos that carry it than among all."""
    z = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    k = min(NEIGHBOURS, len(z) - 1)
    nearest = NearestNeighbors(n_neighbors=k, metric="cosine").fit(z).kneighbors(return_distance=False)
    share = tags.mean(axis=0)
    carriers = np.maximum(tags.sum(axis=0), 1)
    # Word by word sums, because (N, k, C) would not fit into memory.
    found = sum((tags * tags[nearest[:, place]]).sum(axis=0) for place in range(k)) / (carriers * k)
    return (found - share) / np.sqrt(np.maximum(share * (1 - share), 1e-9) / (carriers * k))


def _colours(picture: Image.Image) -> np.ndarray:
    """(48,): the mean colours of a picture's 4 x 4 fields."""
    return np.asarray(picture.convert("RGB").resize((4, 4), Image.Resampling.BOX), dtype=np.float32).ravel()
