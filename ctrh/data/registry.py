"""Data sets by name. A new one is a file with a function that returns `Photos`, and a line in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
from PIL import Image

from ctrh.data.photos import Images, Photos, random_split
from ctrh.store import content_key

# As text, so that naming a data set does not import the renderer of another.
DATASETS = {
    "scenes-mir": "ctrh.data.scenes:scenes_mir",
    "scenes-nus": "ctrh.data.scenes:scenes_nus",
}


def load_photos(name: str) -> Photos:
    """The data set ``name``, whole. Raises ``ValueError`` for a name that ``DATASETS`` does not have."""
    if name not in DATASETS:
        raise ValueError(f"no data set is called {name!r}: choose one of {', '.join(DATASETS)}")
    module, _, function = DATASETS[name].partition(":")
    return getattr(import_module(module), function)()


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


def first_photos(photos: Photos, count: int, queries: int, train: int, seed: int = 0) -> Photos:
    """The first ``count`` photos with a split of their own, over the same vocabulary: for tests and first looks."""
    if not 0 < count <= len(photos):
        raise ValueError(f"{photos.name} has {len(photos)} photos, not {count}")
    names: Sequence[str] = photos.names[:count]
    return replace(
        photos,
        images=FirstImages(photos.images, count),
        names=names,
        tags=photos.tags[:count],
        split=random_split(count, queries, train, seed),
        labels=None if photos.labels is None else np.ascontiguousarray(photos.labels[:count]),
        truth=None if photos.truth is None else photos.truth[:count],
    )
