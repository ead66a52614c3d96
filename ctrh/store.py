"""Content-addressed results on disk: written whole or not at all, never computed twice for the same inputs.

A result is named by a hash of everything it depends on, so "the file exists" is enough to know that it is right.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from filelock import FileLock


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


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and moves it there when the block ends without an error.

    A reader sees the old file or the whole new one; an interrupted or failed block (a full disk, Ctrl-C)
    leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept because numpy, matplotlib and safetensors choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; the result should be as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


def stored_path(name: str, key: str) -> Path:
    """The file of :func:`cached_arrays`, there or not."""
    return cache_dir() / name / f"{key}.npz"


def cached_arrays(
    name: str, key: str, compute: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The named arrays of ``compute()``, read back from ``<cache>/<name>/<key>.npz`` when they are there.

    ``key`` must name every input of ``compute`` (:func:`content_key`). A damaged file is computed again.
    """
    path = stored_path(name, key)
    if (stored := _stored(path)) is not None:
        return stored
    with one_at_a_time(path):
        if (stored := _stored(path)) is not None:
            return stored
        arrays = {field: np.asarray(value) for field, value in compute().items()}
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)
    return arrays


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
    known = _stored(path) or {"rows": np.empty(0, dtype=np.int64)}
    if not np.isin(rows, known["rows"]).all():
        with one_at_a_time(path):
            known = _stored(path) or known
            missing = np.setdiff1d(rows, known["rows"])
            for start in range(0, len(missing), at_once):
                chunk = missing[start : start + at_once]
                found = {"rows": chunk, **compute(chunk)}
                known = {field: np.concatenate([known.get(field, v[:0]), v]) for field, v in found.items()}
                with replacing(path) as temporary:
                    np.savez(temporary, **known)
    order = np.argsort(known["rows"])
    places = order[np.searchsorted(known["rows"], rows, sorter=order)]
    return {field: values[places] for field, values in known.items() if field != "rows"}


def _stored(path: Path) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    # A truncated file can only come from outside (a full disk while copying the cache); computing is the remedy.
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        with np.load(path, allow_pickle=False) as stored:
            return {field: stored[field] for field in stored.files}
    return None
