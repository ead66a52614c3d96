"""The two-column CSV files of a photo folder (tags.csv, labels.csv): read strictly, complain with file and line."""

from __future__ import annotations

import csv
import io
import logging
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar

from ctrh.store import replacing

T = TypeVar("T")
# Columns of what `python -m ctrh refine` writes, for the reader's eye.
EXPLAINED = ("probabilities", "before")
# Of the words in a cell. Where a file has any of them, spaces are part of its words: "new york, statue of liberty".
SEPARATORS = ",;|、，；\n\r"
log = logging.getLogger(__name__)


class FolderError(ValueError):
    """A photo folder that cannot be used as it is; the message names file, line and remedy."""


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Around parsing ``path``: whatever its content makes a parser trip over is a `FolderError` that names the file."""
    try:
        yield
    except (FolderError, OSError, MemoryError):
        raise
    except Exception as error:
        raise FolderError(f"{path} is damaged ({error}): {remedy}") from error


class FolderWarning(UserWarning):
    """Something in a photo folder that was left out or looks wrong; the message names file, line and remedy."""


@dataclass(frozen=True)
class Row:
    """One line of the file: its number, the picture's name relative to images/, the words in order."""

    line: int
    image: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Complaints:
    """Collects like problems into one message: a `FolderWarning`, or with ``strict`` a `FolderError`."""

    strict: bool = False
    shown: int = field(default=5, repr=False)

    def about(self, file: Path, problem: str, cases: Sequence[str], remedy: str) -> None:
        """Says nothing when there are no ``cases``; else how many, the first few, and what to do."""
        if not cases:
            return
        more = f", and {len(cases) - self.shown} more" if len(cases) > self.shown else ""
        message = f"{file}: {problem} ({len(cases)}): {', '.join(cases[: self.shown])}{more}; {remedy}"
        if self.strict:
            raise FolderError(message)
        warnings.warn(message, FolderWarning, stacklevel=3)


LENIENT = Complaints()


def split_words(text: str, separators: str) -> tuple[str, ...]:
    """The words of a cell: separated by any of ``separators``, of which a space stands for all white space; lower case,
    each once, in order.

    Unicode is composed (NFC), so that an é typed on a Mac is the same tag as one typed elsewhere.
    """
    between = "[" + re.escape(separators).replace("\\ ", r"\s") + "]"
    words = (" ".join(word.split()) for word in re.split(between, unicodedata.normalize("NFC", text).lower()))
    return tuple(dict.fromkeys(word for word in words if word))


def read_table(
    path: Path,
    column: str,
    complaints: Complaints,
    pictures: Collection[str] = (),
    separators: str | None = None,
) -> list[Row]:
    """The rows of ``path``, a CSV file with the columns ``image`` and ``column``, one row per picture.

    Encoding UTF-8, with or without a byte order mark; cells quoted or not; any line ends; columns separated by comma,
    semicolon, tab or bar. ``pictures``: the names there are; a row means one of them exactly, or else in another Unicode
    form, or below images/. ``separators``: of words; by default :data:`SEPARATORS`, or spaces in a file that has none of
    them. Rows that name the same picture are merged, other columns are left out, both with a complaint; so do cells that
    look like something else than words. Raises `FolderError` for everything that would change the data unseen: another
    encoding, a missing column, a row of another width, an open quote, a name that leads out of the folder, no row.
    """
    text = _decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, column), strict=True)
    limit = csv.field_size_limit(len(text) + 1)  # a photo may have as many words as the file holds
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(path, header, ("image", column), complaints)
        table = [
            (line, _values(path, line, cells, header))
            for line, cells in _lines(reader)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise FolderError(
            f"{path}, line {reader.line_num}: not valid CSV ({error}): look for a quotation mark that is not "
            'closed; a quotation mark inside a cell is written twice ("")'
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not table:
        raise FolderError(f"{path} has no rows: write one line per picture below the header image,{column}")
    _check_cells(path, [(line, values[column].strip()) for line, values in table], complaints)
    if separators is None:
        separators = SEPARATORS if any(set(SEPARATORS) & set(values[column]) for _, values in table) else " "
    known = {unicodedata.normalize("NFC", name): name for name in pictures}
    rows = [
        Row(line, _picture(path, line, values["image"], pictures, known), split_words(values[column], separators))
        for line, values in table
    ]
    example = max((row.words for row in rows), key=len)
    log.info("%s: %s separated by %s, as in: %s", path, column, _named(separators), " | ".join(example[:4]))
    return _merged(path, rows, complaints)


def write_table(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a CSV file in UTF-8, whole or not at all; texts are :func:`inert`, which `read_table` undoes."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *(map(inert, row) for row in rows)])


def inert(cell: T) -> T:
    """A text that a spreadsheet would run as a formula behind an apostrophe; anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _active(cell: str) -> str:
    """The reverse of :func:`inert`."""
    return cell[1:] if cell[:1] == "'" and inert(cell[1:]) == cell else cell


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FolderError(
            f"{path} does not exist: write a CSV file with a first line such as image,{path.stem}; for keywords that are "
            "in the files: pip install 'ctrh[keywords]'"
        ) from None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FolderError(f'{path} is UTF-16: save it as "CSV UTF-8"')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FolderError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8, "
            "or convert it: iconv -f latin1 -t utf-8"
        ) from None


def _check_header(path: Path, header: list[str], needed: tuple[str, str], complaints: Complaints) -> None:
    if not header:
        raise FolderError(f"{path} is empty: its first line must be {','.join(needed)}")
    absent = [name for name in needed if name not in header]
    if absent:
        raise FolderError(
            f"{path}, line 1: no column {' or '.join(map(repr, absent))} in {','.join(header)!r}: "
            f"the first line must be {','.join(needed)}"
        )
    if len(set(header)) != len(header):
        raise FolderError(f"{path}, line 1: a column stands twice in {','.join(header)!r}: remove one")
    extra = [repr(name) for name in header if name not in (*needed, *EXPLAINED)]
    complaints.about(path, "unknown columns are not used", extra, f"known are {' and '.join(needed)}")


def _lines(reader) -> list[tuple[int, list[str]]]:
    """Cells with the number of the line they start on (a quoted cell may hold line ends)."""
    lines, start = [], reader.line_num + 1
    for cells in reader:
        lines.append((start, cells))
        start = reader.line_num + 1
    return lines


def _values(path: Path, line: int, cells: list[str], header: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise FolderError(
            f"{path}, line {line}: {len(cells)} cells for {len(header)} columns: put a cell with several words in "
            'quotes, as in cat.jpg,"cat, garden"'
        )
    return dict(zip(header, map(_active, cells), strict=True))


def _check_cells(path: Path, cells: list[tuple[int, str]], complaints: Complaints) -> None:
    """Complains of cells that programs write and people do not."""
    vectors = [f"line {line}: {cell}" for line, cell in cells if re.fullmatch(r"[01]([\s,;|]+[01])+", cell)]
    complaints.about(path, "rows of 0 and 1", vectors, "write the names in place of the numbers")
    lists = [f"line {line}: {cell}" for line, cell in cells if re.fullmatch(r"\[.*\]|\(.*\)|\{.*\}", cell, re.S)]
    complaints.about(path, "lists of a program, brackets and all", lists, "write cat, garden")


def _picture(
    path: Path, line: int, cell: str, pictures: Collection[str], known: dict[str, str]
) -> str:
    """The picture that a cell means, else the name it asks for."""
    if cell in pictures:  # exactly: with a leading space, a colon, or whatever else names are made of
        return cell
    name = _inside(f"{path}, line {line}", cell.strip())
    for candidate in (name, name.removeprefix("images/")):
        # A Mac writes é as e and an accent into file names, and as one letter into text.
        form = unicodedata.normalize("NFC", candidate)
        if candidate in pictures or form in known:
            return candidate if candidate in pictures else known[form]
    return name


def _delimiter(text: str, column: str) -> str:
    """What separates the columns: a first line with both names tells."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    for delimiter in ";\t|":
        if {"image", column} <= {name.strip(' "').lower() for name in first.split(delimiter)}:
            return delimiter
    return ","


def _named(separators: str) -> str:
    names = {" ": "spaces", "\n": "line ends", "\r": "line ends"}
    return " ".join(dict.fromkeys(names.get(separator, separator) for separator in separators))


def _inside(where: str, name: str) -> str:
    """The name with forward slashes and without "./"; refused when it could lead out of images/."""
    if not name:
        raise FolderError(f"{where}: no image name: fill it in or remove the line")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name:
        raise FolderError(
            f"{where}: {name!r} leads out of the folder: names are relative to images/, without '..'"
        )
    return str(path)


def _merged(path: Path, rows: list[Row], complaints: Complaints) -> list[Row]:
    line_of: dict[str, int] = {}
    words_of: dict[str, dict[str, None]] = defaultdict(dict)
    twice = []
    for row in rows:
        first = line_of.setdefault(row.image, row.line)
        if first != row.line:
            twice.append(f"line {row.line}: {row.image} (first on line {first})")
        words_of[row.image] |= dict.fromkeys(row.words)
    complaints.about(path, "pictures with several rows, their words joined", twice, "keep one row each")
    return [Row(line, image, tuple(words_of[image])) for image, line in line_of.items()]
