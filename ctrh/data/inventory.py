"""Which of many picture files are there and can be read, and what they contain: looked at once, then remembered.

Hundreds of thousands of pictures take minutes to read. What was found is kept under the files' names, sizes and
times of change, a thousand files at a time: an interrupted check goes on where it was, and one exchanged picture
costs one thousand.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from ctrh.data.images import FORMATS, MAX_PIXELS, BadImageError, in_threads, open_image
from ctrh.progress import progress
from ctrh.store import cached_arrays, content_key

CHUNK = 1000


@dataclass(frozen=True)
class Inventory:
    """Of N files. ``digests``: (N, 32) uint8, SHA-256 of their bytes, zero where unread; ``reasons``: N texts, "" for
    a picture that decodes completely, else why it does not.
    """

    digests: np.ndarray
    reasons: tuple[str, ...]


def take_inventory(root: Path, names: Sequence[str]) -> Inventory:
    """Looks at the picture files ``root/name``, in the order of ``names``."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    parts = [_chunk(root, chunk) for chunk in progress(chunks, "checking pictures", len(chunks))]
    digests = np.concatenate([digests for digests, _ in parts] or [np.empty((0, 32), np.uint8)])
    return Inventory(digests, tuple(reason for _, reasons in parts for reason in reasons))


def _chunk(root: Path, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    states = np.array([_state(root / name) for name in names], dtype=np.int64)

    def look_at_all() -> dict[str, np.ndarray]:
        found = list(in_threads(partial(_look, root), names))
        digests = np.frombuffer(b"".join(digest for digest, _ in found), dtype=np.uint8)
        return {"digests": digests, "reasons": np.array([reason for _, reason in found], dtype=np.str_)}

    key = content_key(str(root.resolve()), "\n".join(names), states, MAX_PIXELS, FORMATS, PIL.__version__)
    found = cached_arrays("pictures", key, look_at_all)
    digests, reasons = found["digests"].reshape(-1, 32).copy(), found["reasons"].tolist()
    # Looked at again every time: a lost network drive may be back, and a right to read may have been given.
    for row in np.flatnonzero(found["reasons"]):
        digest, reasons[row] = _look(root, names[row])
        digests[row] = np.frombuffer(digest, dtype=np.uint8)
    return digests, reasons


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change; (-1, 0) for what is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return -1, 0
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else (-1, 0)


def _look(root: Path, name: str) -> tuple[bytes, str]:
    unread = bytes(32)
    # Asked before anything is opened: a named pipe would wait for its writer for ever.
    if not (root / name).is_file():
        return unread, "no such file"
    try:
        with open(root / name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        open_image(root / name, name)
    except BadImageError as error:
        return unread, error.reason
    except OSError as error:
        return unread, f"cannot be read ({error.strerror})"
    return digest, ""
