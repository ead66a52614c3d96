"""MS COCO (Lin et al., ECCV 2014), captions and objects, in the layout of its official archives, of 2017 or 2014.

    DIR/train2017/000000000009.jpg ...                the pictures (2014: train2014/COCO_train2014_000000000009.jpg)
    DIR/val2017/000000000139.jpg ...
    DIR/annotations/captions_train2017.json ...       about five sentences a photo
    DIR/annotations/instances_train2017.json ...      its objects, of 80 classes

Training and validation photos are one collection here, 123,287, as in the field's retrieval protocol, and the same in
both years. A photo's labels are the classes of its objects (crowds too), its text the sentences, its tags their words.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ctrh.data.flickr import (
    Index,
    Problems,
    build_photos,
    cached_index,
    data_dir,
    find_root,
    read_bytes,
    shared_split,
)
from ctrh.data.photos import Photos
from ctrh.data.protocol import Protocol, choose
from ctrh.data.tables import Complaints, FolderError, reading
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.store import cached_arrays, content_key

CLASSES, WORDS = 80, 2_000
PARTS = ("train", "val")
YEARS = ("2017", "2014")
SENTENCES = ("all", "first")
ARCHIVES = (
    "train2017.zip, val2017.zip and annotations_trainval2017.zip of cocodataset.org, unpacked in one folder"
)
GET = f"get {ARCHIVES}"
# Words of grammar: every sentence has them, and they relate no photo to another.
STOP = frozenset(
    "a an and are as at be by down for from has have he her his in into is it its near next of off on onto out over "
    "she some that the their them there these they this to two up very was while who with".split()
)

# Photos without an object are removed: nothing would be relevant to them.
CROSS_MODAL = Protocol(
    "cross-modal", CLASSES, 5_000, 10_000, "all", tagged="all", labelled=True, photos=122_218
)
PROTOCOLS = {protocol.name: protocol for protocol in (CROSS_MODAL,)}


def coco(protocol: str = "cross-modal", queries: int | None = None, train: int | None = None) -> Photos:
    """MS COCO below ``$CTRH_DATA``, split as ``splits/coco.json`` there says, else by seed 0.

    ``queries``, ``train``: in place of the protocol's.
    """
    chosen = choose(PROTOCOLS, protocol, queries, train)
    return read_coco(data_dir(), chosen, split_file=shared_split("coco"))


def read_coco(
    folder: str | Path,
    protocol: Protocol = CROSS_MODAL,
    *,
    seed: int = 0,
    split_file: str | Path | None = None,
    sentences: str = "all",
    strict: bool = False,
) -> Photos:
    """The photos in the order of their numbers, split by ``seed`` or as ``split_file`` says.

    ``sentences``: a photo's text is "all" its sentences in the order of the file, or the "first". Its tags are their
    words, of the 2,000 most frequent that are not mere grammar. Missing and unreadable pictures are left out; they,
    annotations of unknown photos and counts that differ from the official ones are named in a `FolderWarning` each,
    which ``strict`` turns into a `FolderError`. Raises `FolderError` always for what is missing or damaged as a whole.
    """
    if sentences not in SENTENCES:
        raise ValueError(f"sentences must be one of {', '.join(SENTENCES)}, got {sentences!r}")
    root = find_root(Path(folder), ("coco", "COCO", "mscoco", "coco2017"), "annotations", "MS COCO", ARCHIVES)
    files = _files(root)
    # By content: hashing half a gigabyte takes a second, reading its JSON many.
    digests = [hashlib.sha256(read_bytes(file, GET)).hexdigest() for file in files.values()]
    key = content_key(list(files), digests, WORDS, sorted(STOP))
    index = cached_index("coco", key, lambda: _read_index(files))
    written = _captions(files, key, sentences)
    photos, _ = build_photos("coco", root, index, protocol, seed, split_file, Complaints(strict))
    return replace(photos, texts=tuple(written[name] for name in photos.names))


def _files(root: Path) -> dict[str, Path]:
    """The four annotation files by "captions train" ..., of the first year whose captions are there."""
    folder = root / "annotations"
    for year in YEARS:
        if (folder / f"captions_train{year}.json").exists():
            kinds = [(kind, part) for kind in ("captions", "instances") for part in PARTS]
            return {f"{kind} {part}": folder / f"{kind}_{part}{year}.json" for kind, part in kinds}
    raise FolderError(f"{folder} holds no captions_train2017.json (nor one of 2014): {GET}")


def _read_index(files: Mapping[str, Path]) -> Index:
    problems = Problems()
    note = problems.note
    names = _names(files)
    sentences = _sentences(files, names, note)
    classes: dict[int, str] = {}
    objects: dict[int, set[int]] = defaultdict(set)
    for part in PARTS:
        file = files[f"instances {part}"]
        # Outlines are most of the file and not needed: each object is cut down as soon as it is read.
        content = _read_json(file, object_hook=_class_of_object)
        categories = _part(file, content, "categories", "id", "name")
        with reading(file, GET):
            classes |= {int(each["id"]): str(each["name"]) for each in categories}
        unknown = set()
        for image, category in _part(file, content, "annotations"):
            if image in names:
                objects[image].add(category)
            else:
                unknown.add(image)
        note(file, "objects of photos that are not listed", [str(image) for image in sorted(unknown)])
    odd = sorted({category for found in objects.values() for category in found} - set(classes))
    if odd:
        raise FolderError(
            f"{files['instances train']} has objects of classes without a name: {odd[:5]}; {GET}"
        )
    if len(classes) != CLASSES:
        note(files["instances train"], f"MS COCO has {CLASSES} classes", [f"found {len(classes)}"])

    words = [_words(" ".join(sentences.get(image, ()))) for image in names]
    vocabulary = build_vocabulary(words)[:WORDS]
    label_names = tuple(sorted(classes.values()))
    labels = [[classes[category] for category in objects.get(image, ())] for image in names]
    return Index(
        names=tuple(names.values()),
        tags=tag_matrix(words, vocabulary),
        vocabulary=vocabulary,
        common=np.ones(len(vocabulary), dtype=bool),
        labels=tag_matrix(labels, label_names).toarray(),
        label_names=label_names,
        problems=tuple(problems),
    )


def _captions(files: Mapping[str, Path], key: str, sentences: str) -> dict[str, str]:
    """The text of each photo by the name of its picture, "" where nobody wrote one."""

    def join() -> dict[str, np.ndarray]:
        names = _names(files)
        found = _sentences(files, names, lambda *about: None)
        texts = {
            name: " ".join(found.get(image, ())[: 1 if sentences == "first" else None])
            for image, name in names.items()
        }
        return {"texts": np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)}

    stored = cached_arrays("coco-captions", content_key(key, sentences), join)
    return json.loads(stored["texts"].tobytes())


def _names(files: Mapping[str, Path]) -> dict[int, str]:
    """Picture files relative to the data set's folder, by number, ascending."""
    names = {}
    for part in PARTS:
        file = files[f"captions {part}"]
        year = file.stem[-4:]
        with reading(file, GET):
            for each in _part(file, _read_json(file), "images", "id", "file_name"):
                name = str(each["file_name"])
                if Path(name).name != name or name in (".", ".."):
                    raise FolderError(f"{file}: the picture {name!r} leads out of its folder: {GET}")
                names[int(each["id"])] = f"{part}{year}/{name}"
    return dict(sorted(names.items()))


def _sentences(
    files: Mapping[str, Path], names: Mapping[int, str], note: Callable[..., None]
) -> dict[int, list[str]]:
    """The sentences of each photo in the order of their numbers, blanks tidied."""
    rows: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for part in PARTS:
        file = files[f"captions {part}"]
        unknown = set()
        with reading(file, GET):
            for each in _part(file, _read_json(file), "annotations", "id", "image_id", "caption"):
                image, text = int(each["image_id"]), " ".join(str(each["caption"]).split())
                if image not in names:
                    unknown.add(image)
                elif text:
                    rows[image].append((int(each["id"]), text))
        note(file, "sentences about photos that are not listed", [str(image) for image in sorted(unknown)])
    return {image: [text for _, text in sorted(found)] for image, found in rows.items()}


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", text.lower()) if len(word) > 1 and word not in STOP]


def _class_of_object(each: dict[str, Any]) -> Any:
    return (int(each["image_id"]), int(each["category_id"])) if "category_id" in each else each


def _read_json(path: Path, **options: Any) -> Any:
    with reading(path, GET):
        return json.loads(read_bytes(path, GET), **options)


def _part(path: Path, content: Any, name: str, *keys: str) -> list[Any]:
    """The list ``name`` of a file, of objects that have ``keys`` (without any: of cut-down ones)."""
    found = content.get(name) if isinstance(content, dict) else None
    kind = dict if keys else tuple
    sound = isinstance(found, list) and all(isinstance(each, kind) for each in found)
    if not sound or not all(each.keys() >= {*keys} for each in found if keys):
        raise FolderError(f"{path} has no proper list {name!r}: {GET}")
    return found
