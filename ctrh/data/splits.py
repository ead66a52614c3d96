"""Splits as files that can be shared: which photos are queries and which train, by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctrh.data.photos import Photos, Split
from ctrh.data.tables import Complaints, FolderError
from ctrh.store import replacing

FORMAT = "ctrh split 1"


def write_split(path: str | Path, photos: Photos, about: str = "") -> None:
    """Writes the names of the queries and training photos as JSON; all other photos are database alone.

    ``about``: where the split comes from, for the person who opens the file.
    """
    parts = {name: [photos.names[row] for row in getattr(photos.split, name)] for name in ("query", "train")}
    document = {"format": FORMAT, "dataset": photos.name, "about": about, "photos": len(photos), **parts}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def read_split(path: str | Path, dataset: str, names: Sequence[str], complaints: Complaints) -> Split:
    """The split of `write_split` for the photos ``names``.

    Photos that the file names and that are not here are left out with a complaint. Raises `FolderError` for a file of
    another data set, one that is no split, or one that leaves no query or no training photo.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, expected {FORMAT!r}")
        wanted = {part: [str(name) for name in document[part]] for part in ("query", "train")}
    except FileNotFoundError:
        raise FolderError(f"{path} does not exist: write it with python -m ctrh data") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path} is no split that python -m ctrh data wrote ({error})") from error
    if document.get("dataset") != dataset:
        raise FolderError(f"{path} splits {document.get('dataset')!r}, not {dataset!r}: give the right file")
    row_of = {name: row for row, name in enumerate(names)}
    rows = {}
    for part, listed in wanted.items():
        absent = [name for name in listed if name not in row_of]
        complaints.about(path, f"photos of {part} that are not here", absent, "complete the data set")
        rows[part] = np.sort(np.array([row_of[name] for name in listed if name in row_of], dtype=np.int64))
        if not len(rows[part]):
            raise FolderError(f"{path}: none of its {len(listed)} {part} photos is here")
    database = np.setdiff1d(np.arange(len(names)), rows["query"])
    try:
        return Split(rows["query"], database, rows["train"])
    except ValueError as error:
        raise FolderError(f"{path}: {error}") from error
