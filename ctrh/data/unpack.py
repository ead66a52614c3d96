"""Unpacking zip and tar archives into one folder, and nowhere else."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ctrh.progress import progress

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


class ArchiveError(ValueError):
    """An archive that is damaged, or that holds what must not be unpacked."""


class DamagedArchive(ArchiveError):
    """An archive that another download may mend."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks ``archive`` so that its files stand in ``folder``; how many they are.

    A top folder in the archive that is called as ``folder`` is this one: both habits of packing give the same. Files that
    are there already are replaced. Everything is unpacked aside first, so a damaged archive or a full disk leaves
    nothing. Raises `ArchiveError` for names that lead out of the folder, links, devices, and `DamagedArchive`.
    """
    aside = unpacking(folder)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with _undamaged(archive), _members(archive, archive.name) as members:
            files = _named(archive, members, folder.name)
            needed, free = sum(member.size for member, _ in files), shutil.disk_usage(_existing(folder)).free
            if needed > free:
                raise ArchiveError(
                    f"{archive} needs {needed / 1e6:,.0f} MB in {folder}, {free / 1e6:,.0f} MB are free"
                )
            for member, name in progress(files, f"unpacking {archive.name}", len(files)):
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
        for _, name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / name, folder / name)
    except FileExistsError as error:
        raise ArchiveError(f"{archive} holds {error.filename} twice: get it again") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return len(files)


def check_archive(part: Path, name: str) -> None:
    """Lists the archive ``name`` that was downloaded to ``part``. Raises `ArchiveError` for anything else."""
    with _undamaged(part), _members(part, name) as members:
        if not members:
            raise ArchiveError(f"{name} is empty")


@contextmanager
def _undamaged(archive: Path) -> Iterator[None]:
    try:
        yield
    except (ArchiveError, MemoryError):
        raise
    # Readers of archives raise whatever they have tripped over (struct.error, LZMAError, ValueError, ...).
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk; the others are bz2's, gzip's, and of places before a file's beginning
        raise DamagedArchive(
            f"{archive} is damaged or no archive ({error}): remove it and get it again"
        ) from error


def unpacking(folder: Path) -> Path:
    """Where `unpack` works; left behind only by a process that was killed."""
    return folder.with_name(f".unpacking-{folder.name}")


@contextmanager
def _members(archive: Path, called: str) -> Iterator[list[_Member]]:
    """The regular files of the archive, of the kind that its name says; anything else but folders is refused."""
    if called.endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            yield [
                _Member(info.filename, info.file_size, lambda info=info: file.open(info))
                for info in file.infolist()
                if not info.is_dir() and _regular(archive, info.filename, info.external_attr >> 16)
            ]
    elif called.endswith(SUFFIXES):
        with tarfile.open(archive) as file:
            members = []
            for info in file.getmembers():
                if not (info.isdir() or info.isreg()):
                    raise ArchiveError(f"{archive}: {info.name!r} is a link or a device, and is not unpacked")
                if info.isreg():
                    members.append(_Member(info.name, info.size, lambda info=info: file.extractfile(info)))
            yield members
    else:
        raise ArchiveError(f"{archive}: only {', '.join(SUFFIXES)} can be unpacked")


def _regular(archive: Path, name: str, mode: int) -> bool:
    # Made on Windows, a zip has no mode: 0.
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError(f"{archive}: {name!r} is a link or a device, and is not unpacked")
    return True


def _named(archive: Path, members: Sequence[_Member], top: str) -> list[tuple[_Member, PurePosixPath]]:
    """The members with safe names, without the folder ``top`` if all of them are in it."""
    names = []
    for member in members:
        name = PurePosixPath(member.name.replace("\\", "/"))
        if (
            name.is_absolute()
            or PureWindowsPath(member.name).drive
            or ".." in name.parts
            or "\0" in member.name
            or not name.parts  # "." or nothing: the folder itself
        ):
            raise ArchiveError(f"{archive}: {member.name!r} leads out of the folder: do not use this archive")
        names.append(name)
    if names and all(name.parts[0] == top and len(name.parts) > 1 for name in names):
        names = [PurePosixPath(*name.parts[1:]) for name in names]
    return list(zip(members, names))


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
