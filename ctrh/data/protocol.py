"""Which photos of a public data set take part, with which labels and tags, and how many are queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

VOCABULARIES = ("all", "common")


@dataclass(frozen=True)
class Protocol:
    """What an article does with a data set; where articles differ without saying so, it says so.

    ``labels``: how many label columns (MIRFLICKR-25K: 38, or 24 without the ``_r1`` files; NUS-WIDE: so many of the most
    frequent concepts). ``queries`` photos are drawn at random, the rest is the database, ``train`` photos of it (None: all)
    are for training. ``vocabulary``: tags over "all" tags of the data set or its "common" ones alone. ``tagged``: the
    photos without a tag are removed, counting "all" or "common" tags. ``labelled``: those without a label are, too.
    ``photos``: how many are left then in the official data, where that is known.
    """

    name: str
    labels: int
    queries: int
    train: int | None
    vocabulary: str
    tagged: str
    labelled: bool
    photos: int | None = None

    def __post_init__(self) -> None:
        for field in ("vocabulary", "tagged"):
            if getattr(self, field) not in VOCABULARIES:
                raise ValueError(f"{field} must be one of {VOCABULARIES}, got {getattr(self, field)!r}")
        if self.vocabulary == "common" and self.tagged == "all":
            raise ValueError(
                "photos with uncommon tags alone would have none over the common vocabulary: say tagged='common'"
            )
        if self.queries < 1 or (self.train is not None and self.train < 1):
            raise ValueError(f"{self.name}: needs at least one query and one training photo")


def choose(
    protocols: Mapping[str, Protocol],
    name: str,
    queries: int | None = None,
    train: int | None = None,
    labels: int | None = None,
) -> Protocol:
    """The protocol ``name`` with other numbers of queries, training photos or labels where they are given."""
    if name not in protocols:
        raise ValueError(f"no protocol is called {name!r}: choose one of {', '.join(protocols)}")
    chosen = protocols[name]
    if labels not in (None, chosen.labels):
        chosen = replace(chosen, labels=labels, photos=None)  # with other labels, other photos have one
    return replace(chosen, queries=queries or chosen.queries, train=train or chosen.train)
