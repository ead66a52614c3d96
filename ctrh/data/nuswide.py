"""NUS-WIDE (Chua et al., CIVR 2009), in the layout of its official archives.

    DIR/ImageList/Imagelist.txt                       269,648 names such as actor\\0001_2124494179.jpg
    DIR/Flickr/actor/0001_2124494179.jpg ...          the pictures, in 704 folders
    DIR/NUS_WID_Tags/All_Tags.txt                     a photo a line: Flickr's number of it, then its tags
    DIR/NUS_WID_Tags/Final_Tag_List.txt               5,018 tags, TagList1k.txt 1,000 of them
    DIR/ConceptsList/Concepts81.txt                   81 concepts
    DIR/Groundtruth/AllLabels/Labels_airport.txt ...  0 or 1, a photo a line

All_Tags.txt and the label files have a line for each line of Imagelist.txt, in the same order. Six photos are listed
twice, under two names, and are counted twice here as elsewhere.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.sparse as sp

from ctrh.data.flickr import (
    Index,
    Problems,
    build_photos,
    cached_index,
    data_dir,
    find_root,
    read_bytes,
    read_lines,
    shared_split,
)
from ctrh.data.photos import Photos
from ctrh.data.protocol import Protocol, choose
from ctrh.data.tables import LENIENT, Complaints, FolderError
from ctrh.progress import progress
from ctrh.store import content_key, sha256

PHOTOS, CONCEPTS, ALL_TAGS, COMMON_TAGS = 269_648, 81, 5_018, 1_000
GET = "python -m ctrh data nuswide DIR"
FOLDERS = ("nuswide", "NUS-WIDE", "nus-wide", "nus_wide")

# The article's 181,365 photos are those of the ten concepts that have one of the 1,000 tags.
ARTICLE = Protocol("article", 10, 5_000, 10_500, "all", tagged="common", labelled=True, photos=181_365)
WSHRCA = Protocol("wshrca", 21, 2_000, 100_000, "all", tagged="all", labelled=True)
# Of cross-modal hashing since DCMH (Jiang and Li, CVPR 2017), which counts 195,834 such pairs.
CROSS_MODAL = Protocol("cross-modal", 21, 2_100, 10_500, "common", tagged="common", labelled=True)
PROTOCOLS = {protocol.name: protocol for protocol in (ARTICLE, WSHRCA, CROSS_MODAL)}


def nuswide(protocol: str = "article", **numbers: int) -> Photos:
    """NUS-WIDE below ``$CTRH_DATA``, split as ``splits/nuswide.json`` there says, else by seed 0.

    ``numbers``: ``queries``, ``train`` or ``labels`` in place of the protocol's.
    """
    chosen = choose(PROTOCOLS, protocol, **numbers)
    return read_nuswide(data_dir(), chosen, split_file=shared_split("nuswide"))[0]


def read_nuswide(
    folder: str | Path,
    protocol: Protocol = ARTICLE,
    seed: int = 0,
    split_file: str | Path | None = None,
    complaints: Complaints = LENIENT,
) -> tuple[Photos, dict[str, int]]:
    """The photos in the order of Imagelist.txt, split by ``seed`` or as ``split_file`` says, and how many were left out why.

    T_common of Eq. (3) are the 1,000 tags of TagList1k.txt, the vocabulary is the 5,018 of Final_Tag_List.txt. What is
    missing, unreadable or odd is told as by `ctrh.data.mirflickr.read_mirflickr`.
    """
    root = find_root(Path(folder), FOLDERS, "ImageList", "NUS-WIDE", GET)
    index = _most_frequent(read_index(root), protocol.labels)
    return build_photos("nuswide", root / "Flickr", index, protocol, seed, split_file, complaints)


def _most_frequent(index: Index, count: int) -> Index:
    """Only the ``count`` concepts of most photos, still in alphabetical order; of equal ones the first by name."""
    if not 0 < count <= len(index.label_names):
        raise ValueError(f"NUS-WIDE has {len(index.label_names)} concepts here, not {count}")
    columns = np.sort(np.argsort(-index.labels.sum(axis=0, dtype=np.int64), kind="stable")[:count])
    names = tuple(index.label_names[column] for column in columns)
    return replace(index, labels=index.labels[:, columns], label_names=names)


def read_index(root: Path) -> Index:
    """What the text files below ``root`` say, of all photos and concepts; kept under the files' contents."""
    tags, concept_list = root / "NUS_WID_Tags", root / "ConceptsList" / "Concepts81.txt"
    concepts = [line for line in read_lines(read_bytes(concept_list, GET))[0] if line]
    labels = {
        name: root / "Groundtruth" / "AllLabels" / f"Labels_{name}.txt" for name in sorted(set(concepts))
    }
    texts = [tags / name for name in ("All_Tags.txt", "Final_Tag_List.txt", "TagList1k.txt")]
    texts = [root / "ImageList" / "Imagelist.txt", *texts]
    absent = [str(path) for path in (*texts, *labels.values()) if not path.is_file()]
    if absent:
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise FolderError(f"{root} lacks {', '.join(absent[:5])}{more}: {GET}")
    key = content_key(
        "1", str(root.resolve()), concepts, [sha256(path) for path in (*texts, *labels.values())]
    )
    return cached_index("nuswide", key, lambda: _Parser(root).index(labels))


class _Parser:
    """Reads the text files once and collects what is odd about them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tags = root / "NUS_WID_Tags"
        self.problems = Problems()
        self.note = self.problems.note

    def lines(self, path: Path, expected: int | None = None) -> list[str]:
        """The file's lines; blank ones, Latin-1 and another number of lines than the official one are noted."""
        lines, odd = read_lines(read_bytes(path, GET))
        remedy = "convert the file: iconv -f latin1 -t utf-8"
        self.note(path, "lines that are not UTF-8, read as Latin-1", [f"line {n}" for n in odd], remedy)
        self.note(path, "blank lines", [f"line {n}" for n, line in enumerate(lines, start=1) if not line])
        lines = [line for line in lines if line]
        if expected is not None and len(lines) != expected:
            self.note(path, f"NUS-WIDE has {expected:,} lines here", [f"found {len(lines):,}"])
        return lines

    def index(self, labels: dict[str, Path]) -> Index:
        if len(labels) != CONCEPTS:
            path = self.root / "ConceptsList" / "Concepts81.txt"
            self.note(path, f"NUS-WIDE has {CONCEPTS} concepts", [f"found {len(labels)}"])
        names = self._names()
        common = set(self.lines(self.tags / "TagList1k.txt", COMMON_TAGS))
        vocabulary = list(dict.fromkeys(self.lines(self.tags / "Final_Tag_List.txt", ALL_TAGS)))
        outside = sorted(common - set(vocabulary))
        self.note(self.tags / "TagList1k.txt", "tags that Final_Tag_List.txt lacks, added", outside)
        vocabulary += outside
        matrix = np.empty((len(names), len(labels)), dtype=bool)
        for column, path in enumerate(progress(list(labels.values()), "reading labels")):
            matrix[:, column] = _read_labels(path, len(names))
        return Index(
            names=names,
            tags=self._tag_matrix(names, vocabulary),
            vocabulary=tuple(vocabulary),
            common=np.array([word in common for word in vocabulary], dtype=bool),
            labels=matrix,
            label_names=tuple(labels),
            problems=tuple(self.problems),
        )

    def _names(self) -> tuple[str, ...]:
        path = self.root / "ImageList" / "Imagelist.txt"
        names = [line.replace("\\", "/") for line in self.lines(path, PHOTOS)]
        for name in names:
            if (
                name.startswith("/")
                or ".." in PurePosixPath(name).parts
                or not re.search(r"_\d+\.jpg$", name)
            ):
                raise FolderError(f"{path}: {name!r} is no name such as actor/0001_2124494179.jpg: {GET}")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise FolderError(f"{path} lists {len(twice)} pictures twice, first {twice[0]}: {GET}")
        if not names:
            raise FolderError(f"{path} is empty: {GET}")
        return tuple(names)

    def _tag_matrix(self, names: Sequence[str], vocabulary: Sequence[str]) -> sp.csr_array:
        """(N, C): tags outside the vocabulary are left out. Lines belong to photos by number, not by position."""
        path = self.tags / "All_Tags.txt"
        lines_of: dict[str, deque[str]] = defaultdict(deque)
        for line in self.lines(path, PHOTOS):
            number, _, rest = line.partition(" ")
            # Some lines have a tab there.
            number, _, more = number.partition("\t")
            lines_of[number].append(f"{more} {rest}")
        column = {word: place for place, word in enumerate(vocabulary)}
        indices, indptr, without = array("i"), array("q", [0]), []
        for name in progress(names, "reading tags"):
            waiting = lines_of.get(name.rpartition("_")[2].removesuffix(".jpg"))
            if waiting:
                # In turn: a photo that is listed twice has two lines.
                words = waiting.popleft().lower().split()
                indices.extend(sorted({column[word] for word in words if word in column}))
            else:
                without.append(name)
            indptr.append(len(indices))
        self.note(path, "photos without a line", without)
        left = [number for number, waiting in lines_of.items() if waiting]
        self.note(path, "lines of photos that Imagelist.txt does not list", left)
        ones = np.ones(len(indices), dtype=bool)
        rows, columns = np.frombuffer(indptr, dtype=np.int64), np.array(indices, dtype=np.int32)
        return sp.csr_array((ones, columns, rows), shape=(len(names), len(vocabulary)))


def _read_labels(path: Path, count: int) -> np.ndarray:
    """(N,) bool. Raises `FolderError` for anything but ``count`` times 0 or 1: the rest would belong to other photos."""
    text = np.frombuffer(read_bytes(path, GET), dtype=np.uint8)
    digit = (text == ord("0")) | (text == ord("1"))
    joined = digit[1:] & digit[:-1]
    if joined.any() or not (digit | np.isin(text, np.frombuffer(b" \t\r\n", dtype=np.uint8))).all():
        for number, token in enumerate(text.tobytes().split(), start=1):
            if token not in (b"0", b"1"):
                value = token.decode("latin-1")[:20]
                raise FolderError(
                    f"{path}: entry {number} is {value!r}, not 0 or 1: get the file again ({GET})"
                )
    values = text[digit] == ord("1")
    if len(values) != count:
        raise FolderError(
            f"{path} has {len(values):,} lines, Imagelist.txt lists {count:,} photos: labels would belong to other photos; "
            f"get both again ({GET})"
        )
    return values
