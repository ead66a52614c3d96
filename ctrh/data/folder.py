"""Your own photos: a folder of pictures with a CSV file of tags becomes `Photos`.

    folder/
      images/       pictures, in subfolders or not: JPEG, PNG, WebP, GIF, TIFF, BMP ...
      tags.csv      image,tags        cat.jpg,"cat, garden, nikon"
      labels.csv    image,labels      optional, for evaluation only: cat.jpg,animals

Without images/ the pictures are those in the folder and below it; without tags.csv their tags are the keywords that photo
programs have written into them (:mod:`ctrh.data.keywords`). Image names are relative to images/, or to the folder. Words are separated by commas (a cell with commas in quotes), semicolons and the
like, and may then have spaces in them: new york. In a file without any of these, spaces separate.

Photos without a tag. The article removes them. Here they stay in the database, since one wants to find them
too, but none is a training image. So do pictures that tags.csv does not name. ``untagged="drop"`` is the article's way.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import PIL

from ctrh.data.images import FORMATS, SUFFIXES, BadImageError, FileImages, in_threads
from ctrh.data.keywords import pyexiv2, read_keywords
from ctrh.data.photos import Photos, Split
from ctrh.data.tables import SEPARATORS, Complaints, FolderError, Row, read_table, split_words
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.progress import progress
from ctrh.store import cached_arrays, content_key

log = logging.getLogger(__name__)
BESIDE = (".csv", ".xmp")  # tables and sidecars, no pictures that somebody forgot to convert
# MirFlickr: the tags of at least 20 of its 25,000 photos are common; 2,000 of them are queries.
MIRFLICKR_COMMON, MIRFLICKR_QUERIES, MIRFLICKR_PHOTOS = 20, 2_000, 25_000


def read_folder(
    path: str | Path,
    *,
    queries: int | None = None,
    train: int | None = None,
    seed: int = 0,
    least: int = 2,
    common: int | None = None,
    untagged: str = "keep",
    separators: str | None = None,
    sources: Sequence[str] | None = None,
    strict: bool = False,
) -> Photos:
    """The photos of a folder (layout: see the module), in the order of their names.

    ``queries``: how many labelled photos, drawn by ``seed``, are kept out of the database as queries; by
    default 8 % as in MirFlickr, at most 2,000, and none without labels.csv. ``train``: how many of the tagged
    database photos are training images; by default all. ``least``: the vocabulary is the words that so many
    photos carry (a word of one photo relates it to no other). ``common``: T_common of Eq. (3) is the words
    that so many photos carry; by default MirFlickr's 20 of 25,000 in proportion, within ``least`` and 20.
    ``untagged``: "keep" in the database, or "drop", the photos without a word of the vocabulary.

    ``separators``: what stands between the words of a cell in both tables, as :func:`ctrh.data.tables.read_table` takes
    it. ``sources``: where tags come from, as :func:`picture_words` takes them.

    Damaged pictures are left out; they, missing files, duplicate rows and the like are named in a
    `FolderWarning` each, which ``strict`` turns into a `FolderError`. What cannot be mended by leaving out raises
    `FolderError` always, in particular a name or link that leads out of the folder.
    """
    if untagged not in ("keep", "drop"):
        raise ValueError(f"untagged must be 'keep' or 'drop', got {untagged!r}")
    root, complaints = Path(path), Complaints(strict)
    folder = picture_folder(root)
    pictures = list_pictures(folder, complaints, root)
    if not pictures:
        raise FolderError(f"{folder} holds no picture: put JPEG or PNG files there")
    words_of = picture_words(root, pictures, complaints, separators, sources)
    images = readable(folder, sorted(pictures), complaints)
    names = list(images.names)
    tag_lists = [words_of[name] for name in names]
    vocabulary = build_vocabulary(tag_lists, least)
    if not vocabulary:
        raise FolderError(
            f"{root}: no tag is carried by {least} photos: add tags (tags.csv, or keywords in the files), or lower least"
        )
    if untagged == "drop":
        known = set(vocabulary)
        names = [n for n, words in zip(names, tag_lists, strict=True) if not known.isdisjoint(words)]
        tag_lists = [words_of[name] for name in names]
        images = FileImages(images.root, names)
    tags = tag_matrix(tag_lists, vocabulary)
    labels, label_names = _read_labels(root / "labels.csv", names, pictures, complaints, separators)
    if common is None:
        common = _in_proportion(MIRFLICKR_COMMON, len(names), least)
    split = _split(root, np.diff(tags.indptr) > 0, labels, queries, train, seed)
    return Photos(
        name=root.resolve().name,
        images=images,
        names=tuple(names),
        tags=tags,
        vocabulary=vocabulary,
        common=np.asarray(tags.sum(axis=0)).ravel() >= common,
        split=split,
        labels=labels,
        label_names=label_names,
    )


def picture_folder(root: Path) -> Path:
    """Where the pictures of a photo folder lie: its images/, or without one the folder itself."""
    if not root.is_dir():
        raise FolderError(f"{root} is not a folder: give one that holds pictures, or images/ and tags.csv")
    return root / "images" if (root / "images").is_dir() else root


def list_pictures(folder: Path, complaints: Complaints, root: Path | None = None) -> set[str]:
    """Names of the picture files below ``folder``, with forward slashes; hidden files are passed over.

    Raises `FolderError` for a link to a file outside ``root`` (by default ``folder``); folders behind links are not
    entered.
    """
    inside = (root or folder).resolve()
    pictures, others, unnamed = set(), [], []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            if file.startswith("."):
                continue
            name = (Path(parent) / file).relative_to(folder).as_posix()
            if not _is_text(name):
                unnamed.append(os.fsencode(name).decode(errors="replace"))
            elif Path(file).suffix.lower() in SUFFIXES:
                if not Path(os.path.realpath(folder / name)).is_relative_to(inside):
                    raise FolderError(
                        f"{folder / name} is a link that leads out of the folder: put the picture itself there"
                    )
                pictures.add(name)
            elif not file.startswith(("Thumbs.db", "desktop.ini")) and Path(file).suffix.lower() not in BESIDE:
                others.append(name)
    complaints.about(
        folder, "files of no known picture format", sorted(others), "convert them to JPEG or PNG (HEIC: or pip install 'ctrh[heic]')"
    )
    remedy = "rename them, for instance by convmv -f latin1 -t utf8"
    complaints.about(folder, "file names that are not UTF-8", sorted(unnamed), remedy)
    forms = defaultdict(list)
    for name in sorted(pictures):
        forms[unicodedata.normalize("NFC", name)].append(name)
    alike = [form for form, names in forms.items() if len(names) > 1]
    complaints.about(folder, "several files whose names look the same", alike, "rename all but one of each")
    return pictures


def picture_words(
    root: Path,
    pictures: set[str],
    complaints: Complaints,
    separators: str | None = None,
    sources: Sequence[str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """The words of each picture, out of all ``sources``: "csv" (tags.csv), "keywords" (in the files or beside them),
    "folders" (the names of the sub-folders it lies in); by default csv, or keywords where there is no tags.csv."""
    table, folder = root / "tags.csv", picture_folder(root)
    if sources is None:
        sources = ("csv",) if table.exists() or pyexiv2 is None else ("keywords",)
    if "keywords" in sources and pyexiv2 is None:
        raise FolderError("keywords in the files need a package: pip install 'ctrh[keywords]'")
    found: list[dict[str, tuple[str, ...]]] = []
    if "csv" in sources:
        rows = _known(table, "tags", pictures, complaints, separators)
        bare = sorted(pictures - rows.keys())
        complaints.about(table, "pictures without a row, taken as photos without tags", bare, "add them")
        found.append({name: row.words for name, row in rows.items()})
    if "keywords" in sources:
        found.append({name: read_keywords(folder / name) for name in progress(sorted(pictures), "reading keywords")})
    if "folders" in sources:
        found.append({name: split_words("|".join(PurePosixPath(name).parts[:-1]), SEPARATORS) for name in pictures})
    log.info("%s: tags out of %s", root, " and ".join(sources))
    return {name: tuple(dict.fromkeys(w for words in found for w in words.get(name, ()))) for name in pictures}


def _is_text(name: str) -> bool:
    """False for a name whose bytes are no UTF-8: Python stands for them by halves of characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _known(
    path: Path, column: str, pictures: set[str], complaints: Complaints, separators: str | None
) -> dict[str, Row]:
    """The table's rows by picture; rows whose picture does not exist are left out with a complaint."""
    rows = read_table(path, column, complaints, pictures, separators)
    missing = [f"line {row.line}: {row.image}" for row in rows if row.image not in pictures]
    remedy = f"names are relative to {picture_folder(path.parent)}, upper and lower case count"
    complaints.about(path, "rows without a picture file", missing, remedy)
    return {row.image: row for row in rows if row.image in pictures}


def readable(folder: Path, names: list[str], complaints: Complaints) -> FileImages:
    """The pictures whose files decode completely. The answer is kept in the cache under the files' content."""
    # Asked before anything is opened: a named pipe would wait for its writer for ever.
    refused = {
        name: "not a file that may be read"
        for name in names
        if not ((folder / name).is_file() and os.access(folder / name, os.R_OK))
    }
    images = FileImages(folder, [name for name in names if name not in refused])

    def reason(index: int) -> str:
        try:
            images[index]
        except BadImageError as error:
            return error.reason
        return ""

    def check() -> dict[str, np.ndarray]:
        reasons = progress(in_threads(reason, range(len(images))), "checking pictures", len(images))
        return {"reasons": np.array(list(reasons), dtype=np.str_)}

    key = content_key(images.key, images.max_pixels, FORMATS, PIL.__version__)
    suspects = np.flatnonzero(cached_arrays("readable", key, check)["reasons"])
    # Looked at again every time: a lost network drive may be back.
    refused |= {images.names[index]: why for index in suspects if (why := reason(index))}
    cases = [f"{name}: {why}" for name, why in sorted(refused.items())]
    complaints.about(folder, "pictures that cannot be read are left out", cases, "mend or remove them")
    readable = [name for name in names if name not in refused]
    if not readable:
        raise FolderError(f"{folder} holds no readable picture: put JPEG or PNG files there")
    return images if readable == list(images.names) else FileImages(folder, readable)


def _read_labels(
    path: Path, names: list[str], pictures: set[str], complaints: Complaints, separators: str | None
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels (N, L) bool in alphabetical order, or None without the file; for evaluation only."""
    if not path.exists():
        return None, ()
    rows = _known(path, "labels", pictures, complaints, separators)
    label_lists = [rows[name].words if name in rows else () for name in names]
    label_names = tuple(sorted(build_vocabulary(label_lists)))
    if not label_names:
        raise FolderError(f"{path} gives no photo a label: fill it in, or remove the file")
    bare = [name for name, labels in zip(names, label_lists, strict=True) if not labels]
    complaints.about(path, "photos without a label, never relevant and never a query", bare, "label them")
    labels = tag_matrix(label_lists, label_names).toarray()
    everywhere = np.flatnonzero(labels[labels.any(axis=1)].all(axis=0) & (len(names) > 1))
    remedy = "give several words a separator other than spaces, or remove it: it makes every photo relevant"
    complaints.about(path, "labels of every labelled photo", [label_names[i] for i in everywhere], remedy)
    return labels, label_names


def _in_proportion(of_mirflickr: int, count: int, least: int) -> int:
    return min(max(least, round(of_mirflickr * count / MIRFLICKR_PHOTOS)), max(least, of_mirflickr))


def _split(
    root: Path,
    tagged: np.ndarray,
    labels: np.ndarray | None,
    queries: int | None,
    train: int | None,
    seed: int,
) -> Split:
    """Queries out of the labelled photos, training images out of the tagged rest. ``tagged``: (N,) bool."""
    count = len(tagged)
    candidates = np.arange(count) if labels is None else np.flatnonzero(labels.any(axis=1))
    if queries is None:
        # Never more than half of what is labelled: the other half is what a query is to find.
        share = _in_proportion(MIRFLICKR_QUERIES, count, 1)
        queries = 0 if labels is None else min(share, len(candidates) // 2)
    if not 0 <= queries <= min(len(candidates), count - 1):
        raise FolderError(
            f"{root}: cannot take {queries} queries out of {len(candidates)} photos: lower queries"
        )
    order = np.random.default_rng(seed).permutation(count)
    query = order[np.isin(order, candidates)][:queries]
    database = order[~np.isin(order, query)]
    trainable = database[tagged[database]]
    train = len(trainable) if train is None else train
    if not 0 < train <= len(trainable):
        raise FolderError(
            f"{root}: cannot take {train} training images: {len(trainable)} photos have tags and are no queries"
        )
    return Split(np.sort(query), np.sort(database), np.sort(trainable[:train]))
