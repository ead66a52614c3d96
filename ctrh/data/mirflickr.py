"""MIRFLICKR-25K (Huiskes and Lew, MIR 2008), in the layout of its two official archives.

DIR/mirflickr/im1.jpg ... im25000.jpg
DIR/mirflickr/meta/tags/tags1.txt ...           one tag a line, as its owner wrote it without blanks
DIR/mirflickr/doc/common_tags.txt               the 1,386 tags of at least 20 photos: tag and count
DIR/mirflickr25k_annotations_v080/*.txt         24 concepts, and 14 of them again as NAME_r1.txt, annotated more
                                                strictly; one number of a photo a line
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

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
from ctrh.data.vocabulary import build_vocabulary, tag_matrix
from ctrh.progress import progress
from ctrh.store import content_key

CONCEPTS = (
    "animals baby bird car clouds dog female flower food indoor lake male night people plant_life portrait river sea sky "
    "structures sunset transport tree water"
).split()
STRICT = "baby bird car clouds dog female flower male night people portrait river sea tree".split()
LABELS = tuple(sorted([*CONCEPTS, *(f"{name}_r1" for name in STRICT)]))
PHOTOS, COMMON = 25_000, 1_386
NUMBER = r"\d{1,9}"
FOLDERS = ("mirflickr25k", "MIRFLICKR-25K")
GET = "python -m ctrh data mirflickr DIR --download"

# Photos without any tag are removed, those without a label stay: the article says the first, and not the second.
ARTICLE = Protocol("article", 38, 2_000, None, vocabulary="all", tagged="all", labelled=False)
WSHRCA = Protocol("wshrca", 38, 2_000, 16_000, vocabulary="common", tagged="common", labelled=False)
# Of cross-modal hashing since DCMH (Jiang and Li, CVPR 2017), which counts 20,015 such pairs.
CROSS_MODAL = Protocol("cross-modal", 24, 2_000, 10_000, vocabulary="common", tagged="common", labelled=True)
PROTOCOLS = {protocol.name: protocol for protocol in (ARTICLE, WSHRCA, CROSS_MODAL)}


def mirflickr(protocol: str = "article", **numbers: int) -> Photos:
    """MIRFLICKR-25K below ``$CTRH_DATA``, split as ``splits/mirflickr.json`` there says, else by seed 0.

    ``numbers``: ``queries``, ``train`` or ``labels`` in place of the protocol's.
    """
    chosen = choose(PROTOCOLS, protocol, **numbers)
    return read_mirflickr(data_dir(), chosen, split_file=shared_split("mirflickr"))[0]


def read_mirflickr(
    folder: str | Path,
    protocol: Protocol = ARTICLE,
    seed: int = 0,
    split_file: str | Path | None = None,
    complaints: Complaints = LENIENT,
) -> tuple[Photos, dict[str, int]]:
    """The photos in the order of their numbers, split by ``seed`` or as ``split_file`` says, and how many were left out why.

    Missing and unreadable pictures are left out; they, counts that differ from the official ones, lines that are not UTF-8
    and the like are complained of (:class:`ctrh.data.tables.Complaints`). Raises `FolderError` for what is missing as a
    whole.
    """
    root = find_root(Path(folder), FOLDERS, "mirflickr", "MIRFLICKR-25K", GET)
    index = _choose_labels(read_index(root), protocol.labels)
    return build_photos("mirflickr", root / "mirflickr", index, protocol, seed, split_file, complaints)


def _choose_labels(index: Index, count: int) -> Index:
    if count == len(LABELS):
        return index
    if count != len(CONCEPTS):
        raise ValueError(f"MIRFLICKR-25K has 24 labels, or 38 with the stricter annotations, not {count}")
    columns = [index.label_names.index(name) for name in CONCEPTS]
    return replace(index, labels=index.labels[:, columns], label_names=tuple(CONCEPTS))


def read_index(root: Path) -> Index:
    """What the text files below ``root`` say; kept under their contents, those of the tags under size and time."""
    pictures = _numbers(root / "mirflickr", rf"im({NUMBER})\.jpg")
    tags = _numbers(root / "mirflickr" / "meta" / "tags", rf"tags({NUMBER})\.txt")
    annotations = root / "mirflickr25k_annotations_v080"
    labels = {name: read_bytes(annotations / f"{name}.txt", GET) for name in LABELS}
    common = read_bytes(root / "mirflickr" / "doc" / "common_tags.txt", GET)
    listed = sorted({path.name for path in annotations.glob("*.txt")})
    states = np.array([[number, *state] for number, state in sorted(tags.items())], dtype=np.int64)
    texts = [content_key(text.decode("latin-1")) for text in (common, *labels.values())]
    key = content_key("2", str(root.resolve()), np.array(sorted(pictures)), states, texts, listed)
    return cached_index(
        "mirflickr", key, lambda: _parse(root, sorted(pictures), sorted(tags), labels, common, listed)
    )


def _numbers(folder: Path, pattern: str) -> dict[int, tuple[int, int]]:
    """Size and time of change by number of the files of ``folder`` that are named so."""
    if not folder.is_dir():
        raise FolderError(f"{folder} does not exist: {GET}")
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if match := re.fullmatch(pattern, entry.name):
                found[int(match[1])] = (entry.stat().st_size, entry.stat().st_mtime_ns)
    return found


def _parse(
    root: Path,
    pictures: Sequence[int],
    tag_files: Sequence[int],
    labels: dict[str, bytes],
    common_tags: bytes,
    listed: Sequence[str],
) -> Index:
    problems = Problems()
    note = problems.note
    tag_folder, annotations = root / "mirflickr" / "meta" / "tags", root / "mirflickr25k_annotations_v080"
    numbers = sorted({*pictures, *tag_files})
    if len(numbers) != PHOTOS or numbers[-1] != PHOTOS:
        note(root / "mirflickr", f"MIRFLICKR-25K has {PHOTOS:,} photos", [f"found {len(numbers):,}"])
    without = sorted(set(numbers) - set(tag_files))
    note(tag_folder, "photos without a file of tags", [f"tags{number}.txt" for number in without])

    words, odd = {}, []
    for number in progress(tag_files, "reading tags"):
        path = tag_folder / f"tags{number}.txt"
        lines, not_utf8 = read_lines(read_bytes(path, GET))
        odd += [f"{path.name} line {line}" for line in not_utf8]
        words[number] = {"".join(line.lower().split()) for line in lines} - {""}
    note(
        tag_folder,
        "lines that are not UTF-8, read as Latin-1",
        odd,
        "convert the files: iconv -f latin1 -t utf-8",
    )

    common = _common(root / "mirflickr" / "doc" / "common_tags.txt", common_tags, note)
    lists = [words.get(number, ()) for number in numbers]
    vocabulary = build_vocabulary(lists)
    note(
        root / "mirflickr" / "doc" / "common_tags.txt",
        "common tags of no photo",
        sorted(common - set(vocabulary)),
    )
    row_of = {number: row for row, number in enumerate(numbers)}
    matrix = np.zeros((len(numbers), len(LABELS)), dtype=bool)
    for column, (name, text) in enumerate(labels.items()):
        matrix[_annotated(annotations / f"{name}.txt", text, row_of, note), column] = True
    unknown = sorted(set(listed) - {f"{name}.txt" for name in LABELS} - {"README.txt"})
    note(annotations, "files of no known concept, not used", unknown, "remove them")
    return Index(
        names=tuple(f"im{number}.jpg" for number in numbers),
        tags=tag_matrix(lists, vocabulary),
        vocabulary=vocabulary,
        common=np.array([word in common for word in vocabulary], dtype=bool),
        labels=matrix,
        label_names=LABELS,
        problems=tuple(problems),
    )


def _common(path: Path, text: bytes, note) -> set[str]:
    lines, odd = read_lines(text)
    note(path, "lines that are not UTF-8, read as Latin-1", [f"line {number}" for number in odd])
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line]
    bad = [f"line {number}" for number, row in rows if len(row) != 2 or not row[1].isdecimal()]
    note(path, "lines that are not a tag and a count, left out", bad)
    common = {row[0].lower() for number, row in rows if len(row) == 2 and row[1].isdecimal()}
    if not common:
        raise FolderError(f"{path} names no tag: {GET}")
    if len(common) != COMMON:
        note(path, f"MIRFLICKR-25K has {COMMON:,} common tags", [f"found {len(common):,}"])
    return common


def _annotated(path: Path, text: bytes, row_of: dict[int, int], note) -> list[int]:
    """Rows of the photos that the annotation file names."""
    entries = [(number, line) for number, line in enumerate(read_lines(text)[0], start=1) if line]
    wrong = [f"line {number}: {line[:20]}" for number, line in entries if not re.fullmatch(NUMBER, line)]
    note(path, "lines that are no number of a photo, left out", wrong)
    numbers = [int(line) for _, line in entries if re.fullmatch(NUMBER, line)]
    note(path, "photos that do not exist", [str(number) for number in numbers if number not in row_of])
    return [row_of[number] for number in numbers if number in row_of]
