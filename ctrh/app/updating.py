"""Photos that come and go after `fit`: only new pictures are encoded, by the hasher as it is."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ctrh.app.inputs import say
from ctrh.app.model_folder import only_writer
from ctrh.app.photo_search import PhotoSearch, encode, load_search, save_photos
from ctrh.backbones import backbone_features
from ctrh.data.folder import list_pictures, picture_folder, readable
from ctrh.data.images import BadImageError, FileImages, open_image
from ctrh.data.tables import LENIENT
from ctrh.retrieval.codes import pack, unpack
from ctrh.retrieval.search import HammingIndex
from ctrh.store import prepare_folder

LOOKED_AT = 10  # photos with nearly the code of a new one
ALIKE = 0.3  # pictures that differ by less than this share of their contrast are nearly the same


def change(model: Path, action: str, paths: Sequence[str] = (), moved_to: str | None = None) -> None:
    """Adds or removes the photos ``paths`` (files or folders), or, as "update", makes the model what its folder is now.

    A photo is named by its path below the model's folder, or from the root on if it lies elsewhere. Everything is
    written in one step: an interruption leaves the model as it was.
    """
    prepare_folder(model, "make it writable")
    with only_writer(model):
        found = load_search(model)
        folder = found.folder if moved_to is None else picture_folder(Path(moved_to)).resolve()
        before = dict(zip(found.names, found.digests, strict=True))
        if action == "remove":
            gone = {name for path in paths for name in _known(path, folder, before)}
            after = {name: digest for name, digest in before.items() if name not in gone}
            if not after:
                raise ValueError("no photo would be left: remove the model's folder instead")
        else:
            names = _in_folder(folder, before) if action == "update" else {n for p in paths for n in _given(p, folder)}
            images = readable(folder, sorted(names), LENIENT)
            after = dict(zip(images.names, images.digests, strict=True))
            after = after if action == "update" else before | after
        after = dict(sorted(after.items()))
        codes = _codes(found, folder, after)
        least = found.chance and found.chance.least
        save_photos(model, found.hasher, unpack(codes, found.index.bits), after, folder, least)
    new, gone = after.keys() - before.keys(), before.keys() - after.keys()
    changed = {name for name in after.keys() - new if after[name] != before[name]}
    say(f"{len(new)} photos added, {len(changed)} changed, {len(gone)} removed; {len(after)} in all")
    for name, other in near_duplicates(folder, after, HammingIndex(codes, found.index.bits), new | changed):
        print(f"{name} is nearly the same picture as {other}")


def near_duplicates(
    folder: Path, digests: Mapping[str, str], index: HammingIndex, new: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Each of the ``new`` photos that shows what another one shows, and this other. ``digests``: by name, in the order of
    the ``index``, which finds the candidates; their pixels decide."""
    names, first = list(digests), {}
    for name in [*(n for n in names if n not in new), *(n for n in names if n in new)]:
        first.setdefault(digests[name], name)
    thumbnail = functools.cache(functools.partial(_thumbnail, folder))
    for row, name in enumerate(names):
        if name not in new:
            continue
        if first[digests[name]] != name:
            yield name, first[digests[name]]
            continue
        distances, rows = index.search(index.codes[row : row + 1], LOOKED_AT + 1)
        near = [names[i] for i in rows[0][distances[0] <= max(1, index.bits // 16)]]
        # Of two new ones, the second is like the first.
        others = [other for other in near if other not in new or other < name]
        other = next((other for other in others if _alike(thumbnail(name), thumbnail(other))), None)
        if other is not None:
            yield name, other


def _thumbnail(folder: Path, name: str) -> np.ndarray:
    """(16, 16) float64, or NaN where there is no picture any more, which is like none."""
    try:
        small = open_image(folder / name, name).convert("L").resize((16, 16), Image.Resampling.BOX)
    except BadImageError:
        return np.full((16, 16), np.nan)
    return np.asarray(small, dtype=np.float64)


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    contrast = max(np.linalg.norm(a - a.mean()), np.linalg.norm(b - b.mean()))
    return bool(np.linalg.norm(a - b) <= ALIKE * contrast)


def _codes(found: PhotoSearch, folder: Path, digests: Mapping[str, str]) -> np.ndarray:
    """(N, ceil(K/8)) packed codes of the photos, computed where no photo of these bytes has been encoded before."""
    code_of = dict(zip(found.digests, found.index.codes, strict=True))
    new = {digest: name for name, digest in digests.items() if digest not in code_of}
    if new:
        say(f"encoding {len(new)} pictures")
        features = backbone_features(FileImages(folder, list(new.values())), found.backbone)
        code_of |= dict(zip(new, pack(encode(found.hasher, features)), strict=True))
    return np.stack([code_of[digest] for digest in digests.values()])


def _in_folder(folder: Path, before: Iterable[str]) -> set[str]:
    """The pictures in ``folder`` now, and those elsewhere that are still there."""
    root = folder.parent if folder.name == "images" else folder
    elsewhere = {name for name in before if Path(name).is_absolute() and Path(name).is_file()}
    return list_pictures(picture_folder(root), LENIENT, root) | elsewhere


def _given(path: str, folder: Path) -> Iterator[str]:
    """The names of the photos that a user means by ``path``: one, or all below it."""
    place = next((place for place in (Path(path), folder / path) if place.exists()), None)
    if place is None:
        raise ValueError(f"{path}: no such file or folder")
    for photo in sorted(list_pictures(place, LENIENT)) if place.is_dir() else ("",):
        yield _name(place / photo, folder)


def _known(path: str, folder: Path, before: Iterable[str]) -> set[str]:
    """Those of the photos ``before`` that a user means by ``path``, whether the files are still there or not."""
    meant = (path.rstrip("/"), _name(Path(path), folder))
    known = {name for name in before if name in meant or name.startswith(tuple(f"{each}/" for each in meant))}
    if not known:
        raise ValueError(f"{path} is not in the model: name a photo as search prints it, or a file or folder")
    return known


def _name(path: Path, folder: Path) -> str:
    path = path.parent.resolve() / path.name
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
