"""Data sets by name. A new one is a function that returns `Photos`: named in ``DATASETS``, or under `register` anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ctrh.data.photos import Images, Photos, Split, random_split
from ctrh.store import content_key

Load = Callable[..., Photos]
# As text, so that naming a data set does not import the renderer of another.
DATASETS: dict[str, str | Load] = {
    "scenes-mir": "ctrh.data.scenes:scenes_mir",
    "scenes-nus": "ctrh.data.scenes:scenes_nus",
    "mirflickr": "ctrh.data.mirflickr:mirflickr",
    "nuswide": "ctrh.data.nuswide:nuswide",
    "openclipart": "ctrh.data.openclipart:openclipart",
    "coco": "ctrh.data.coco:coco",
}
# Drawn by the package itself: they cannot be missing.
EMBEDDED = ("scenes-mir", "scenes-nus")


def register(name: str) -> Callable[[Load], Load]:
    """Decorator: makes a function that returns `Photos` known to :func:`load_photos` as ``name``, in this process. It takes
    ``queries`` and ``train`` where they are to be chosen. ``ValueError`` for a name of the package's own data sets."""

    def add(load: Load) -> Load:
        if isinstance(DATASETS.get(name), str):
            raise ValueError(f"there is a data set called {name!r} already: choose another name")
        DATASETS[name] = load
        return load

    return add


def load_photos(name: str, **protocol: str | int) -> Photos:
    """The data set ``name``, whole; ``protocol``: how it is to be used, for those that can be used in several ways.

    Raises ``ValueError`` for a name that ``DATASETS`` does not have.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set is called {name!r}: choose one of {', '.join(DATASETS)}")
    load = DATASETS[name]
    if isinstance(load, str):
        module, _, function = load.partition(":")
        load = getattr(import_module(module), function)
    return load(**protocol)


@dataclass(frozen=True)
class FirstImages:
    """The first ``count`` of ``images``."""

    images: Images
    count: int

    @property
    def key(self) -> str:
        return content_key(self.images.key, self.count)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:
        if not -self.count <= index < self.count:
            raise IndexError(f"image {index} of {self.count}")
        return self.images[index % self.count]


@runtime_checkable
class Drawn(Protocol):
    """Images that can do without those behind the first ``count``, as scenes do that nobody has drawn yet."""

    def first(self, count: int) -> Images: ...


def first_photos(photos: Photos, count: int, queries: int, train: int | None = None, seed: int = 0) -> Photos:
    """The first ``count`` photos with a split of their own, over the same vocabulary: for tests and first looks.

    ``train``: so many photos of the database; None: all of them. Photos that the whole data set leaves out of its split (those without tags) stay out. Raises ``ValueError`` for
    more photos than there are.
    """
    if not 0 < count <= len(photos):
        raise ValueError(f"{photos.name} has {len(photos)} photos, not {count}")
    used = np.union1d(photos.split.query, photos.split.database)
    used = used[used < count]
    split = random_split(len(used), queries, train or len(used) - queries, seed)
    return replace(
        photos,
        images=photos.images.first(count)
        if isinstance(photos.images, Drawn)
        else FirstImages(photos.images, count),
        names=photos.names[:count],
        tags=photos.tags[:count],
        split=Split(query=used[split.query], database=used[split.database], train=used[split.train]),
        labels=None if photos.labels is None else photos.labels[:count],
        truth=None if photos.truth is None else photos.truth[:count],
        texts=None if photos.texts is None else photos.texts[:count],
    )
