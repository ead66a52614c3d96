"""What a step of a run was made from and what it wrote, so that it is done again only when something has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ctrh.store import cache_dir, content_key, replacing, sha256


@dataclass(frozen=True)
class Record:
    """What the last success of a step was made from (``key``) and what it wrote (path -> SHA-256)."""

    key: str
    outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """None where there is none, or one that cannot be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def write(self, path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"key": self.key, "outputs": self.outputs}, indent=1))

    def holds(self, key: str, folder: Path) -> bool:
        """Whether everything is as that success left it."""
        return self.key == key and digests(folder, self.outputs) == self.outputs


def record_path(folder: Path, step: str) -> Path:
    """Where the record of a ``step`` that writes into ``folder`` is kept."""
    return cache_dir() / "notebooks" / f"{content_key(str(folder.resolve()))}-{step}.json"


def digests(folder: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Name -> SHA-256 of files in ``folder``, None for those that are not there."""
    return {name: sha256(folder / name) if (folder / name).is_file() else None for name in names}


def written(folder: Path) -> dict[str, int]:
    """Every file under ``folder``, by its path in it, and when it was last changed (ns)."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}
