"""One file for arrays and what they are: versioned, checksummed, whole or not at all, readable in place.

magic (8 bytes) | version, length of the description (4 + 4) | SHA-256 of all the rest and of these (32)
| description (JSON, filled up with spaces to a multiple of 64) | the arrays, each from a multiple of 64 on
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ctrh.store import replacing

MAGIC, VERSION, ALIGNMENT = b"ctrhcode", 2, 64
START = struct.Struct("<8sII32s")
BLOCK = 1 << 24


def write_code_file(path: str | Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes ``arrays`` and ``about`` (JSON values) to ``path``; an interruption leaves what was there."""
    described = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({"about": dict(about), "arrays": described}).encode()
    text += b" " * (-(START.size + len(text)) % ALIGNMENT)
    parts = [text]
    for array in arrays.values():
        # As bytes, without a copy: an index may be as large as memory.
        parts += [
            memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)),
            bytes(-array.nbytes % ALIGNMENT),
        ]
    digest = hashlib.sha256(struct.pack("<8sII", MAGIC, VERSION, len(text)))
    for part in parts:
        digest.update(part)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(START.pack(MAGIC, VERSION, len(text), digest.digest()))
        for part in parts:
            file.write(part)


def read_code_file(
    path: str | Path, mapped: bool = False, verify: bool = True
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``about`` and the arrays of :func:`write_code_file`.

    ``mapped``: the arrays are read-only views of the file. ``verify=False`` trusts the file's content without reading
    it; its length and description are looked at all the same. Raises ``ValueError``, with the remedy, for another,
    truncated or damaged file.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < START.size:
            raise damaged(path, f"it has {size} bytes")
        file.seek(0)
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else file.read()
    magic, version, length, digest = START.unpack_from(content)
    if magic != MAGIC:
        raise damaged(path, "it does not begin like one")
    if version != VERSION:
        raise damaged(path, f"version {version}, where this program reads {VERSION}")
    if verify and _checksum(content) != digest:
        raise damaged(path, "its checksum is not that of its content")
    try:
        described = json.loads(bytes(content[START.size : START.size + length]))
        about, arrays, place = described["about"], {}, START.size + length
        for name, (dtype, shape) in described["arrays"].items():
            count = math.prod(shape)
            if min(shape, default=0) < 0:
                raise ValueError(f"an array of shape {shape}")
            arrays[name] = np.frombuffer(content, dtype, count, place).reshape(shape)
            place += arrays[name].nbytes + -arrays[name].nbytes % ALIGNMENT
    except Exception as error:  # NumPy reads a dtype with Python's own parser, for one
        raise damaged(path, str(error)) from error
    if place != size:
        raise damaged(path, f"it has {size} bytes in place of {place}")
    return about, arrays


def _checksum(content: bytes | mmap.mmap) -> bytes:
    view = memoryview(content)
    digest = hashlib.sha256(view[: START.size - 32])
    for start in range(START.size, len(view), BLOCK):
        digest.update(view[start : start + BLOCK])
    return digest.digest()


def damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} is damaged or not an index ({reason}): build and save it anew")
