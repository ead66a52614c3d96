"""The way from a data set's text files to `Photos` that MIRFLICKR-25K and NUS-WIDE share."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ctrh.data.images import FileImages
from ctrh.data.inventory import Inventory, take_inventory
from ctrh.data.photos import Photos, Split, random_split
from ctrh.data.protocol import Protocol
from ctrh.data.splits import read_split
from ctrh.data.tables import Complaints, FolderError
from ctrh.store import cached_arrays, content_key

# A file that so many photos share is no photo but Flickr's picture that says "no longer available".
PLACEHOLDER = 10
COMPARE = "compare with the official archives"


@dataclass(frozen=True)
class Problem:
    """Something odd in a text file, as `Complaints.about` takes it; kept with what was read, to be told every time."""

    file: str
    what: str
    cases: tuple[str, ...]
    remedy: str


class Problems(list[Problem]):
    """All of them, in the order in which they were found."""

    def note(self, file: Path, what: str, cases: Sequence[str], remedy: str = COMPARE) -> None:
        if cases:
            self.append(Problem(str(file), what, tuple(cases), remedy))


@dataclass(frozen=True)
class Index:
    """What the text files say of N photos, before any is left out.

    ``names``: picture files relative to their folder; ``tags``: (N, C) bool CSR; ``common``: (C,) bool;
    ``labels``: (N, L) bool, columns in alphabetical order.
    """

    names: tuple[str, ...]
    tags: sp.csr_array
    vocabulary: tuple[str, ...]
    common: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    problems: tuple[Problem, ...]


def data_dir() -> Path:
    """The folder of the public data sets, ``$CTRH_DATA``; `FolderError` with the remedy when it is not set."""
    folder = os.environ.get("CTRH_DATA")
    if not folder:
        raise FolderError(
            "where are MIRFLICKR-25K and NUS-WIDE? Say ./run_all.sh --data DIR, or set CTRH_DATA=DIR; "
            "python -m ctrh data mirflickr DIR gets the first"
        )
    return Path(folder)


def shared_split(dataset: str) -> Path | None:
    """The split of a public data set that lies beside it, to be used in place of a random one."""
    path = data_dir() / "splits" / f"{dataset}.json"
    return path if path.exists() else None


def find_root(folder: Path, below: Sequence[str], mark: str, what: str, command: str) -> Path:
    """``folder`` itself or the first of its subfolders ``below`` that holds ``mark``."""
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder: give the one that holds {what}")
    for name in (".", *below):
        if (folder / name / mark).exists():
            return folder / name
    raise FolderError(f"{folder} holds no {mark}: put {what} there, or get it: {command}")


def read_lines(data: bytes) -> tuple[list[str], list[int]]:
    """The lines of a text file, without line ends and outer blanks, and the numbers of those that are not UTF-8.

    Such a line is read as Latin-1. Any line ends; Unicode is composed (NFC).
    """
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = data.split(b"\n")
    if not raw[-1]:
        raw.pop()
    lines, odd = [], []
    for number, line in enumerate(raw, start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")
            odd.append(number)
        lines.append(unicodedata.normalize("NFC", text).strip())
    return lines, odd


def read_bytes(path: Path, remedy: str) -> bytes:
    """The file's bytes; `FolderError` that says where it should come from."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path} cannot be read ({error.strerror}): {remedy}") from error


def cached_index(name: str, key: str, read: Callable[[], Index]) -> Index:
    """``read()``, kept as arrays under ``key``: texts as one array of bytes each, labels as bits."""

    def arrays() -> dict[str, np.ndarray]:
        index = read()
        problems = [[p.file, p.what, list(p.cases), p.remedy] for p in index.problems]
        return {
            "names": _text("\n".join(index.names)),
            "indices": index.tags.indices.astype(np.int32),
            "indptr": index.tags.indptr,
            "vocabulary": _text("\n".join(index.vocabulary)),
            "common": index.common,
            "labels": np.packbits(index.labels, axis=1),
            "label_names": _text("\n".join(index.label_names)),
            "problems": _text(json.dumps(problems)),
        }

    found = cached_arrays(name, key, arrays)
    names, vocabulary, labels = (_words(found[part]) for part in ("names", "vocabulary", "label_names"))
    ones = np.ones(len(found["indices"]), dtype=bool)
    return Index(
        names=names,
        tags=sp.csr_array((ones, found["indices"], found["indptr"]), shape=(len(names), len(vocabulary))),
        vocabulary=vocabulary,
        common=found["common"],
        labels=np.unpackbits(found["labels"], axis=1, count=len(labels)).astype(bool),
        label_names=labels,
        problems=tuple(
            Problem(file, what, tuple(cases), remedy)
            for file, what, cases, remedy in json.loads(found["problems"].tobytes())
        ),
    )


def _text(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _words(data: np.ndarray) -> tuple[str, ...]:
    text = data.tobytes().decode()
    return tuple(text.split("\n")) if text else ()


def build_photos(
    dataset: str,
    folder: Path,
    index: Index,
    protocol: Protocol,
    seed: int,
    split_file: str | Path | None,
    complaints: Complaints,
) -> tuple[Photos, dict[str, int]]:
    """The photos of ``protocol``, and how many were left out why, in the order in which that happened.

    ``index.labels`` has the protocol's columns already. Raises `FolderError` when too few photos are left.
    """
    for problem in index.problems:
        complaints.about(Path(problem.file), problem.what, problem.cases, problem.remedy)
    counts = {"listed": len(index.names)}
    keep = np.arange(len(index.names))

    def leave_out(rows: np.ndarray, why: str) -> None:
        nonlocal keep
        counts[why] = int(rows.sum())
        keep = keep[~rows]

    of_common = index.tags[:, np.flatnonzero(index.common)]
    counted = index.tags if protocol.tagged == "all" else of_common
    leave_out(np.diff(counted.indptr) == 0, f"without a tag ({protocol.tagged} tags counted)")
    if protocol.labelled:
        leave_out(~index.labels[keep].any(axis=1), f"without one of the {len(index.label_names)} labels")
    if protocol.photos is not None and len(keep) != protocol.photos:
        complaints.about(
            folder,
            f"photos that the protocol {protocol.name!r} should leave: {protocol.photos:,}",
            [f"found {len(keep):,}"],
            "compare the text files with the official ones",
        )
    found = take_inventory(folder, [index.names[row] for row in keep])
    faults = _faults(folder, index.names, keep, found, complaints)
    digests = found.digests[~faults.any(axis=0)]
    for why, rows in zip(("missing", "unreadable", "placeholders"), faults):
        counts[why] = int(rows.sum())
    keep = keep[~faults.any(axis=0)]
    if not len(keep):
        reasons = ", ".join(f"{count:,} {why}" for why, count in counts.items())
        raise FolderError(f"{folder}: no photo is left ({reasons}): complete the data set")

    names = tuple(index.names[row] for row in keep)
    columns = np.flatnonzero(index.common) if protocol.vocabulary == "common" else None
    tags = index.tags[keep]
    photos = Photos(
        name=dataset,
        images=FileImages(folder, names, key=content_key("files", digests)),
        names=names,
        tags=tags if columns is None else sp.csr_array(tags[:, columns]),
        vocabulary=index.vocabulary if columns is None else tuple(index.vocabulary[c] for c in columns),
        common=index.common if columns is None else index.common[columns],
        split=_split(folder, dataset, names, protocol, seed, split_file, complaints),
        labels=index.labels[keep],
        label_names=index.label_names,
    )
    return photos, {**counts, "photos": len(photos)}


def _faults(
    folder: Path, names: Sequence[str], keep: np.ndarray, found: Inventory, complaints: Complaints
) -> np.ndarray:
    """(3, N) bool: missing, unreadable, and placeholders; each complained of."""
    reasons = np.array(found.reasons, dtype=np.str_)
    missing = reasons == "no such file"
    unreadable = (reasons != "") & ~missing
    contents = [digest.tobytes() for digest in found.digests]
    copies = Counter(contents[row] for row in np.flatnonzero(reasons == ""))
    placeholder = np.array([copies[content] >= PLACEHOLDER for content in contents], dtype=bool)
    kinds: Mapping[str, tuple[np.ndarray, str]] = {
        "pictures that are listed and not there": (missing, "complete the data set"),
        "pictures that cannot be read": (unreadable, "get them again"),
        f"names of one and the same picture ({PLACEHOLDER} and more), no photo then": (
            placeholder,
            "get the pictures themselves; Flickr sends a sign for those it no longer has",
        ),
    }
    for what, (rows, remedy) in kinds.items():
        cases = [
            names[keep[row]] + (f": {reasons[row]}" if rows is unreadable else "")
            for row in np.flatnonzero(rows)
        ]
        complaints.about(folder, what, cases, remedy)
    return np.stack([missing, unreadable, placeholder])


def _split(
    folder: Path,
    dataset: str,
    names: Sequence[str],
    protocol: Protocol,
    seed: int,
    split_file: str | Path | None,
    complaints: Complaints,
) -> Split:
    if split_file is not None:
        return read_split(split_file, dataset, names, complaints)
    train = len(names) - protocol.queries if protocol.train is None else protocol.train
    try:
        return random_split(len(names), protocol.queries, train, seed)
    except ValueError as error:
        raise FolderError(
            f"{folder}: the protocol {protocol.name!r} {error}: complete the data set, or ask for fewer"
        ) from error
