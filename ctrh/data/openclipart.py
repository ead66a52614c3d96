"""OpenClipart, thousands of drawings with the tags of the people who drew them, as a photo folder.

Debian and Ubuntu package an edition sorted by subject. On such a system, without being root:

    mkdir openclipart && cd openclipart
    apt-get download openclipart-png openclipart-svg
    dpkg-deb -x openclipart-png_*.deb .
    dpkg-deb -x openclipart-svg_*.deb .
    cd .. && python -m ctrh data openclipart openclipart clipart

Elsewhere, with the two .deb files in hand, in place of dpkg-deb: ``bsdtar -xOf FILE.deb 'data.tar.*' | bsdtar -xf -``
(or ``ar x FILE.deb && tar -xf data.tar.*``). Both packages are needed: the PNGs are the pictures, and the tags
stand only in the metadata of the SVGs of the same names (``dc:subject/rdf:Bag/rdf:li``).

What becomes of them. Debian stores equal pictures once, the other names are links: they become one photo, with the
tags of all its names, labelled with all the top-level directories it stands in. (Kept apart, the same picture
would be query and database.) Drawings are put on white and padded to a square, so that nothing is cut off.
"""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.parsers import expat

from ctrh.data.flickr import data_dir, find_root
from ctrh.data.folder import read_folder
from ctrh.data.images import BadImageError, in_threads, open_image, square
from ctrh.data.photos import Photos
from ctrh.data.tables import FolderError, FolderWarning, split_words, write_table
from ctrh.progress import progress
from ctrh.store import replacing

MARK = "openclipart.json"
LICENCE = "OpenClipart drawings are in the public domain (Creative Commons Public Domain Dedication).\n"


def openclipart(queries: int | None = None, train: int | None = None) -> Photos:
    """The converted drawings below ``$CTRH_DATA`` (the folder itself, or openclipart/ or clipart/ in it), labelled by
    subject, split by :func:`ctrh.data.folder.read_folder`. Raises `FolderError` with the remedy."""
    command = "python -m ctrh data openclipart"
    root = find_root(data_dir(), ("openclipart", "clipart"), MARK, "the converted drawings", command)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FolderWarning)  # drawings without tags are part of what users do
        return replace(read_folder(root, queries=queries, train=train, separators=" ,"), name="openclipart")


@dataclass(frozen=True)
class Drawing:
    """One picture: its file, its name in the new folder, tags and labels gathered from all its names."""

    source: Path
    name: str
    tags: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did: drawings written, and (name, reason) of skipped pictures and unread tags."""

    written: tuple[Drawing, ...]
    skipped: tuple[tuple[str, str], ...]
    unread: tuple[tuple[str, str], ...]


def convert(source: str | Path, out: str | Path, size: int = 224) -> Conversion:
    """Writes the folder layout of `ctrh.data.folder` to ``out``: pictures ``size`` x ``size``, tags, labels.

    Can be interrupted: finished pictures are kept, each is written whole or not at all, and the tables come last.
    Damaged or oversized pictures are skipped; damaged SVGs cost their tags; both are in the answer and in
    ``out``/skipped.csv. Raises `FolderError` when ``source`` is no unpacked package or ``out`` holds something else.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8, got {size}")
    out = Path(out)
    drawings, unread = read_source(Path(source))
    _claim(out, size)
    reasons = in_threads(partial(_write_picture, out / "images", size), drawings)
    outcome = list(zip(drawings, progress(reasons, "converting drawings", len(drawings)), strict=True))
    written = [drawing for drawing, reason in outcome if not reason]
    skipped = [(drawing.name, reason) for drawing, reason in outcome if reason]
    if not written:
        raise FolderError(f"{source}: none of {len(drawings)} pictures can be read: {skipped[0][1]}")
    write_table(out / "labels.csv", ("image", "labels"), [(d.name, ", ".join(d.labels)) for d in written])
    write_table(out / "skipped.csv", ("name", "reason"), [*skipped, *unread])
    write_table(out / "tags.csv", ("image", "tags"), [(d.name, ", ".join(d.tags)) for d in written])
    return Conversion(tuple(written), tuple(skipped), tuple(unread))


def read_source(source: Path) -> tuple[list[Drawing], list[tuple[str, str]]]:
    """The drawings of an unpacked package, by name, and the (name, reason) of SVGs whose tags cannot be read."""
    folder = _package_folder(source)
    names_of: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted((folder / "png").rglob("*.png")):
        file = path.resolve()
        if (
            file.is_relative_to(folder) and file.is_file()
        ):  # a link that leads elsewhere is not of the package
            names_of[file].append(path.relative_to(folder / "png"))
    if not names_of:
        raise FolderError(f"{folder / 'png'} holds no .png file: unpack openclipart-png")
    drawings, unread = [], []
    for file, names in names_of.items():
        tags: dict[str, None] = {}
        for name in names:
            try:
                tags |= dict.fromkeys(read_tags(folder / "svg" / name.with_suffix(".svg")))
            except FolderError as error:
                unread.append((name.with_suffix(".svg").as_posix(), str(error)))
        labels = tuple(sorted({name.parts[0] for name in names}))
        drawings.append(Drawing(file, names[0].as_posix(), tuple(tags), labels))
    return sorted(drawings, key=lambda drawing: drawing.name), unread


def read_tags(path: Path) -> tuple[str, ...]:
    """The words of ``dc:subject`` in an SVG's metadata, once each, as :func:`ctrh.data.tables.split_words`.

    Raises `FolderError` with the reason when the file is missing or not well-formed XML, or declares an external or
    nested entity: nothing is fetched or expanded from a file that somebody uploaded.
    """
    try:
        keywords = _keywords(path.read_bytes())
    except OSError as error:
        raise FolderError(f"no tags: {error.strerror}") from error
    # LookupError: an encoding that does not exist.
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise FolderError(f"no tags: malformed XML ({error})") from error
    return tuple(dict.fromkeys(word for keyword in keywords for word in split_words(keyword, " ,;")))


def _keywords(document: bytes) -> list[str]:
    """The texts of li elements within a subject element, whatever prefix the file gives the two."""
    inside: list[str] = []
    keywords: list[list[str]] = []  # in pieces: joined one by one they would be copied as often
    subjects = 0  # of the elements that we are inside of

    def start(tag: str, _attributes: dict[str, str]) -> None:
        nonlocal subjects
        inside.append(tag.rpartition(":")[2])
        subjects += inside[-1] == "subject"
        if inside[-1] == "li" and subjects:
            keywords.append([])

    def end(_tag: str) -> None:
        nonlocal subjects
        subjects -= inside.pop() == "subject"

    def text(data: str) -> None:
        if inside[-1] == "li" and subjects:
            keywords[-1].append(data)

    def entity(name: str, _is_parameter: bool, value: str | None, *_external: object) -> None:
        # Illustrator declares plain abbreviations, which are harmless; bombs are nested, leaks are external.
        if value is None or "&" in value or "%" in value:
            raise ValueError(f"entity {name!r} refers to others or to another file")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, entity
    parser.Parse(document, True)
    return ["".join(pieces) for pieces in keywords]


def _package_folder(source: Path) -> Path:
    """The folder that holds png/ and svg/: ``source`` itself or where the packages put it below."""
    if not source.is_dir():
        raise FolderError(f"{source} is not a folder: give the one that the packages were unpacked into")
    for below in (".", "openclipart", "share/openclipart", "usr/share/openclipart"):
        folder = (source / below).resolve()
        present = [kind for kind in ("png", "svg") if (folder / kind).is_dir()]
        if len(present) == 2:
            return folder
        if present:
            other = "svg" if present == ["png"] else "png"
            raise FolderError(
                f"{folder} holds {present[0]}/ but no {other}/: unpack openclipart-{other} into the same folder "
                "(the pictures are in one package, their tags in the other)"
            )
    raise FolderError(
        f"{source} holds no usr/share/openclipart: unpack openclipart-png and openclipart-svg into it with dpkg-deb -x"
    )


def _claim(out: Path, size: int) -> None:
    """Marks ``out`` as a conversion of this size, so that a later run may keep the pictures that it finds."""
    mark, settings = out / MARK, {"size": size}
    if mark.exists():
        found = json.loads(mark.read_text())
        if found != settings:
            raise FolderError(
                f"{out} holds pictures of size {found['size']}: choose another folder, or that size"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{out} exists and is not a conversion: choose a folder that is new or empty")
    with replacing(mark) as temporary:
        temporary.write_text(json.dumps(settings))
    with replacing(out / "LICENCE.txt") as temporary:
        temporary.write_text(LICENCE)


def _write_picture(folder: Path, size: int, drawing: Drawing) -> str:
    """Writes one picture unless it is there already; the reason when its file cannot be read, else ""."""
    target = folder / drawing.name
    if target.exists():
        return ""
    try:
        picture = square(open_image(drawing.source, drawing.name), size, fit="pad")
    except BadImageError as error:
        return error.reason
    with replacing(target) as temporary:
        picture.save(temporary)
    return ""
