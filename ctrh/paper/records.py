"""What a step of a run was made from and what it wrote, so that it is done again only when something has changed."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat

from ctrh.paper.outputs import ROOT
from ctrh.store import cache_dir, content_key, replacing, sha256


@dataclass(frozen=True)
class Record:
    """What the last success of a step was made from (``key``) and what it wrote (path -> SHA-256)."""

    key: str
    outputs: dict[str, str | None]

    def write(self, folder: Path, step: str) -> None:
        """Keeps the record of a ``step`` that wrote into ``folder``."""
        with replacing(_path(folder, step)) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1))


def record_that_holds(folder: Path, step: str, key: str) -> Record | None:
    """The record of the last success of ``step``, where it was made from ``key`` and all files are as it left them."""
    try:
        record = Record(**json.loads(_path(folder, step).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return record if record.key == key and digests(folder, record.outputs) == record.outputs else None


def _path(folder: Path, step: str) -> Path:
    return cache_dir() / "notebooks" / f"{content_key(str(folder.resolve()))}-{step}.json"


def digests(folder: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Name -> SHA-256 of files in ``folder``, None for those that are not there."""
    return {name: sha256(folder / name) if (folder / name).is_file() else None for name in sorted(names)}


def files_in(folder: Path) -> list[str]:
    """Every file under ``folder``, by its path in it; hidden ones are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(str(path.relative_to(folder)) for path in files)


def library_key() -> str:
    """Names the package's source and data and the profiles, byte by byte."""
    folders = (ROOT / "ctrh", ROOT / "profiles")
    names = [f"{folder.name}/{name}" for folder in folders for name in files_in(folder)]
    return content_key(digests(ROOT, [name for name in names if "__pycache__" not in name]))


def environment_key() -> str:
    """Names the Python and the version of every installed package."""
    packages = {f"{found.metadata['Name']}=={found.version}" for found in importlib.metadata.distributions()}
    return content_key(sys.version, sorted(packages))


def notebook_key(path: Path, *inputs: Any) -> str:
    """Names what a notebook's results depend on: its cells (not their outputs) and ``inputs``."""
    notebook = nbformat.read(path, as_version=4)
    cells = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in notebook.cells]
    return content_key(path.name, cells, *inputs)
