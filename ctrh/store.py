"""Content-addressed results on disk: written whole or not at all, never computed twice for the same inputs.

A result is named by a hash of everything it depends on, and lies beside the SHA-256 of what was written. A file that
is not as it was written counts as one that is not there: it is made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import scipy.sparse as sp
from filelock import FileLock

UNFINISHED = ".unfinished"


class DamagedCache(UserWarning):
    """A cached file is not as it was written. It is made again."""


def cache_dir() -> Path:
    """The folder of cached results: ``$CTRH_CACHE``, else ``~/.cache/ctrh``. Safe to delete at any time."""
    return Path(os.environ.get("CTRH_CACHE") or Path.home() / ".cache" / "ctrh")


def content_key(*parts: Any) -> str:
    """A 16-digit hexadecimal name for ``parts``: dataclasses, arrays, sparse matrices, paths' text, JSON values.

    Raises ``TypeError`` for anything whose content is not plainly its value (a model, an open file).
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(_plain(part), sort_keys=True, ensure_ascii=False).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _plain(part: Any) -> Any:
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {f.name: _plain(getattr(part, f.name)) for f in dataclasses.fields(part)}
        return {"type": type(part).__name__, **fields}
    if sp.issparse(part):
        csr = sp.csr_array(part)
        csr.sum_duplicates()
        return ["sparse", list(csr.shape), _plain(csr.indptr), _plain(csr.indices), _plain(csr.data)]
    if isinstance(part, np.ndarray):
        data = np.ascontiguousarray(part)
        return ["array", data.dtype.str, list(data.shape), hashlib.sha256(data.tobytes()).hexdigest()]
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, Path):
        return str(part)
    if isinstance(part, Mapping):
        return {str(name): _plain(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(item) for item in part]
    if part is None or isinstance(part, (str, int, float, bool)):
        return part
    raise TypeError(f"cannot name a cached result by a {type(part).__name__}: pass its configuration instead")


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and moves it there when the block ends without an error.

    A reader sees the old file or the whole new one; an interrupted or failed block (a full disk, Ctrl-C) leaves nothing
    behind. A full disk is an ``OSError`` that names ``path``, whatever a library made of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept because numpy, matplotlib and safetensors choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{unfinished()}-{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; the result should be as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error) or shutil.disk_usage(path.parent).free < 1 << 20:
            raise OSError(errno.ENOSPC, full, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def unfinished() -> str:
    """What the names of this process's temporary files begin with."""
    return f"{UNFINISHED}-{socket.gethostname()}-{os.getpid()}"


def prepare_folder(folder: Path, remedy: str) -> None:
    """Makes ``folder`` and sweeps out of it what killed processes of this machine have left half-written.

    Raises ``ValueError`` with ``remedy`` if nothing can be written there, before any work is lost by it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"nothing can be written to {folder} ({error.strerror}): {remedy}") from error
    ours = f"{UNFINISHED}-{socket.gethostname()}-"
    for path in list(folder.rglob(f"{ours}*")):  # whole: folders go while it is read
        if psutil.pid_exists(int(path.name.removeprefix(ours).partition("-")[0])):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def prepare_cache() -> None:
    """:func:`prepare_folder` of the cache."""
    prepare_folder(cache_dir(), "set CTRH_CACHE to another folder")


@contextlib.contextmanager
def storing(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, for a file that :func:`intact` will prove."""
    with replacing(path) as temporary:
        yield temporary
        checksums = _checksums(path)
        before = checksums.read_text().splitlines()[:1] if checksums.exists() else []
        # Written first, and the one before is kept: killed at any moment, the file that is there can be proved.
        with replacing(checksums) as lines:
            lines.write_text("\n".join([f"{sha256(temporary)}  {path.name}", *before]))


def intact(path: Path) -> bool:
    """Whether ``path`` is there as :func:`storing` has left it. Reads it whole once a process; warns with
    :class:`DamagedCache` about one that is not."""
    if not path.exists():
        return False
    state = path.stat()
    proved = _proved(path, (state.st_ino, state.st_size, state.st_mtime_ns))
    if not proved:
        warnings.warn(f"{path} is not what was written: it is made again", DamagedCache, stacklevel=1)
    return proved


@cache
def _proved(path: Path, state: tuple[int, ...]) -> bool:
    checksums = _checksums(path)
    lines = checksums.read_text(errors="replace").splitlines() if checksums.exists() else []
    return bool(lines) and f"{sha256(path)}  {path.name}" in lines


def _checksums(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def discard(path: Path) -> None:
    """Removes what :func:`storing` has left."""
    for left in (path, _checksums(path)):
        left.unlink(missing_ok=True)


def file_lock(name: str) -> FileLock:
    """A lock that all processes with this cache share."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Around making the file ``path``: another process that is at it already is waited for. Look again inside whether it
    is still missing."""
    lock = file_lock(f"{path.parent.name}-{path.name}")
    with contextlib.ExitStack() as held:
        # Without locks, as on some shared file systems, at worst both make it.
        with contextlib.suppress(NotImplementedError, OSError):
            held.enter_context(lock)
        try:
            yield
        finally:
            # Who has waited for this file goes on, and finds what was wanted.
            Path(lock.lock_file).unlink(missing_ok=True)


def cached_file(path: Path, write: Callable[[Path], None]) -> Path:
    """``path``, by ``write(temporary)`` if it is not there already. ``path`` must name all that ``write`` depends on."""
    if not intact(path):
        with one_at_a_time(path):
            if not intact(path):
                with storing(path) as temporary:
                    write(temporary)
    return path


def cached_map(path: Path, count: int, rows: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
    """The ``count`` arrays of ``rows()``, of one shape, as one (count, ...), memory-mapped from :func:`cached_file`.

    They are written one after the other: on a full disk a write fails, where touching a page of a map would kill.
    """

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            for number, row in enumerate(rows()):
                if number == 0:
                    header = np.lib.format.header_data_from_array_1_0(row)
                    np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *row.shape)})
                file.write(np.ascontiguousarray(row))

    return np.load(cached_file(path, write), mmap_mode="r")


def stored_path(name: str, key: str) -> Path:
    """The file of :func:`cached_arrays`, there or not."""
    return cache_dir() / name / f"{key}.npz"


def cached_arrays(
    name: str, key: str, compute: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The named arrays of ``compute()``, read back from ``<cache>/<name>/<key>.npz`` when they are there.

    ``key`` must name every input of ``compute`` (:func:`content_key`).
    """
    return _arrays(cached_file(stored_path(name, key), lambda temporary: np.savez(temporary, **compute())))


def cached_rows(
    name: str,
    key: str,
    rows: np.ndarray,
    compute: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    at_once: int = 20_000,
) -> dict[str, np.ndarray]:
    """The named arrays of ``compute(rows)``, whose first axis is that of the (N,) ``rows``; each row computed once.

    As :func:`cached_arrays`, but a second call computes only those rows that no call before has asked for. Stored after
    every ``at_once`` rows, so an interrupted call goes on from there. What ``compute`` gives for a row must depend on the
    row alone.
    """
    if not len(rows):
        return dict(compute(rows))
    path = stored_path(name, key)
    nothing = {"rows": np.empty(0, dtype=np.int64)}
    known = _arrays(path) if intact(path) else nothing
    if not np.isin(rows, known["rows"]).all():
        with one_at_a_time(path):
            known = _arrays(path) if intact(path) else nothing
            missing = np.setdiff1d(rows, known["rows"])
            for start in range(0, len(missing), at_once):
                chunk = missing[start : start + at_once]
                found = {"rows": chunk, **compute(chunk)}
                known = {field: np.concatenate([known.get(field, v[:0]), v]) for field, v in found.items()}
                with storing(path) as temporary:
                    np.savez(temporary, **known)
    order = np.argsort(known["rows"])
    places = order[np.searchsorted(known["rows"], rows, sorter=order)]
    return {field: values[places] for field, values in known.items() if field != "rows"}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {field: stored[field] for field in stored.files}
