"""`Photos`: the one type that every data set returns and every later step takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from PIL import Image

from ctrh.store import content_key


class Images(Protocol):
    """Lazily read pictures: ``images[i]`` is an RGB ``PIL.Image``; ``key`` names their content."""

    key: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...


@dataclass(frozen=True)
class Split:
    """Index arrays (int64, sorted) into the photos. ``train`` is part of ``database``; ``query`` is not."""

    query: np.ndarray
    database: np.ndarray
    train: np.ndarray

    def __post_init__(self) -> None:
        for name in ("query", "database", "train"):
            indices = getattr(self, name)
            if len(np.unique(indices)) != len(indices):
                raise ValueError(f"split.{name} names an image twice")
        if np.intersect1d(self.query, self.database).size:
            raise ValueError("query and database share images: retrieval would be scored on known pictures")
        if np.setdiff1d(self.train, self.database).size:
            raise ValueError("training images must come out of the database")


def random_split(count: int, queries: int, train: int, seed: int) -> Split:
    """``queries`` random images; the rest is the database, ``train`` random images of it are for training."""
    if not 0 < queries < count or not 0 < train <= count - queries:
        raise ValueError(f"cannot take {queries} queries and {train} training images out of {count}")
    order = np.random.default_rng(seed).permutation(count)
    return Split(
        query=np.sort(order[:queries]),
        database=np.sort(order[queries:]),
        train=np.sort(order[queries : queries + train]),
    )


@dataclass(frozen=True)
class Photos:
    """N photos with C tags and, for evaluation only, L labels. Immutable.

    ``tags``: (N, C) bool CSR, the users' tags over ``vocabulary``; ``common``: (C,) bool, T_common of Eq. (3);
    ``labels``: (N, L) bool or None; ``truth``: (N, C) bool CSR or None, the tags that are right, known only
    for rendered data; ``names``: N file names or ids, unique; ``texts``: N texts where somebody described the photos
    in sentences (captions), or None where their tags are all that was written.
    """

    name: str
    images: Images
    names: Sequence[str]
    tags: sp.csr_array
    vocabulary: tuple[str, ...]
    common: np.ndarray
    split: Split
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    truth: sp.csr_array | None = field(default=None, repr=False)
    texts: Sequence[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        count, words = len(self.images), len(self.vocabulary)
        expected = {"names": (count,), "tags": (count, words), "common": (words,)}
        if self.labels is not None:
            expected["labels"] = (count, len(self.label_names))
        if self.truth is not None:
            expected["truth"] = (count, words)
        if self.texts is not None:
            expected["texts"] = (count,)
        for part, shape in expected.items():
            value = getattr(self, part)
            got = (len(value),) if part in ("names", "texts") else value.shape
            if tuple(got) != shape:
                raise ValueError(f"{self.name}: {part} has shape {tuple(got)}, expected {shape}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def key(self) -> str:
        """Names everything that training depends on: pictures, tags, vocabulary, split and texts."""
        texts = [] if self.texts is None else [list(self.texts)]
        return content_key(self.images.key, self.tags, self.vocabulary, self.common, self.split, *texts)

    def with_tags(self, tags: sp.csr_array) -> Photos:
        """The same photos with other tags (refined, clean, ...), (N, C) over the same vocabulary."""
        return replace(self, tags=sp.csr_array(tags, dtype=bool))

    def relevant(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the queries (Q, L) and of the database (M, L), bool; relevant = at least one in common."""
        if self.labels is None:
            raise ValueError(f"{self.name} has no labels: retrieval cannot be scored (add labels.csv)")
        return self.labels[self.split.query], self.labels[self.split.database]
