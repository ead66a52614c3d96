"""The folder that `fit` writes: which files belong to it, and whether they belong together. Imports nothing slow."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from ctrh.retrieval.code_file import read_code_file
from ctrh.store import content_key, file_lock, prepare_folder, replacing, sha256

CONFIG, WEIGHTS = "config.json", "ctrh.safetensors"
TUNED_GUIDE = "guide.safetensors"  # only where the guide was fine-tuned
WORDS = "words.onnx"  # what export has made for searching by words without PyTorch
PARTS = WEIGHTS, TUNED_GUIDE, WORDS
INDEX = "codes.index"  # names, digests and codes of the photos in one file: add, remove and update replace it alone
TAGS, HISTORY, RESULTS = "tags.csv", "history.csv", "results.csv"  # for people; a search does without
FILES = CONFIG, *PARTS, INDEX, TAGS, HISTORY, RESULTS
VERSION = 2


@dataclass(frozen=True)
class EncoderSpec:
    """Which networks turn a picture into features, so that a search can load the same ones again.

    ``guide``, ``pretrained``, ``weights_dir``: as :func:`ctrh.guide.clip.load_guide` takes them; ``backbone``: a name
    of :data:`ctrh.backbones.BACKBONES`, "guide" for the guide's own image encoder.
    """

    guide: str = "small"
    pretrained: str | None = None
    weights_dir: str | None = None
    backbone: str = "guide"


def check_out(out: Path) -> None:
    """Raises ``ValueError`` unless ``out`` is new, empty or of an earlier fit, and can be written to."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give --out a folder")
    if out.is_dir():
        # Hidden files: the system's own, and what a killed fit has left, which the next one sweeps.
        others = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        if any(name not in FILES or (out / name).is_dir() for name in others):
            raise ValueError(f"{out} holds something else: give --out a folder that is new or empty")
    check_writable(out)


def check_file(path: Path, kind: str, *suffixes: str) -> None:
    """Raises ``ValueError`` unless ``path`` can be written as a file ``kind``, ending in one of ``suffixes`` if any."""
    if path.is_dir() or (suffixes and path.suffix.lower() not in suffixes):
        raise ValueError(f"{kind} is a file{' or'.join(f' {suffix}' for suffix in suffixes)}, got {path}")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Raises ``ValueError`` if nothing can be made where ``path`` is or is to be."""
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {folder}: {error.strerror}") from error


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Nobody else with this cache writes to ``out`` meanwhile; ``ValueError`` where somebody does already."""
    lock = file_lock(f"model-{content_key(str(out.resolve()))}")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock.acquire(timeout=0))
        except Timeout:
            raise ValueError(f"another command is writing to {out}: wait for it") from None
        except (NotImplementedError, OSError):
            pass  # a file system without locks
        yield


def begin(out: Path) -> None:
    """Makes ``out`` a folder without a model: an interruption from here on leaves one that is refused."""
    prepare_folder(out, "give --out another folder")
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def finish(out: Path, about: Mapping[str, Any], parts: Collection[str] = PARTS) -> None:
    """Writes the configuration, with the digests of the parts: from here on ``out`` is a model."""
    digests = {name: sha256(out / name) for name in parts if (out / name).exists()}
    write_json(out / CONFIG, {"version": VERSION, **about, "files": digests})


@contextlib.contextmanager
def replacing_words(out: Path) -> Iterator[Path]:
    """Yields the path to write ``WORDS`` to, which then belongs to the model; an interruption leaves a model without."""
    about = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    with only_writer(out):
        with replacing(out / WORDS) as temporary:
            yield temporary
            finish(out, about, [name for name in PARTS if name != WORDS])
        finish(out, about)


def read_photos(path: Path, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What :func:`ctrh.app.photo_search.save_photos` wrote about the photos; "codes" are packed, (N, ceil(K/8))."""
    about, parts = read_code_file(path / INDEX)
    if about.get("hasher") != config["files"][WEIGHTS]:
        raise ValueError(f"{path / INDEX} is damaged or of another fit than {WEIGHTS}: fit it again")
    return about, parts


def read_config(path: Path) -> dict[str, Any]:
    """What :func:`finish` wrote, the parts checked against it. Raises ``ValueError`` with the remedy."""
    again = f"fit it again: python -m ctrh fit FOLDER --out {path}"
    if not (path / CONFIG).is_file():
        raise ValueError(f"{path} holds no complete model: make one with python -m ctrh fit FOLDER --out {path}")
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        version = config.get("version", 0)
        if version != VERSION:
            age, remedy = ("a newer", "update ctrh") if version > VERSION else ("an older", again)
            raise ValueError(f"{path} was written by {age} ctrh (version {version}, this one reads {VERSION}): {remedy}")
        config = {key: config[key] for key in ("method", "encoder", "backbone_key", "files")}
        config["encoder"] = EncoderSpec(**config["encoder"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path / CONFIG} is damaged ({error}): {again}") from error
    for name, digest in [(INDEX, None), *config["files"].items()]:
        if not (path / name).is_file():
            raise ValueError(f"{path / name} is missing: {again}")
        if digest is not None and sha256(path / name) != digest:
            raise ValueError(f"{path / name} is damaged or of another fit than {CONFIG}: {again}")
    return config


def write_json(path: Path, value: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


