"""Hostile and broken files for every reader: ``python -m tests.fuzz [READER ...] [--inputs N] [--seed S]``.

Each input is a sound file with a few random changes. A reader must take it, or raise a ``ValueError`` that names the file;
nothing may appear outside of the file's folder.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import re
import resource
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from ctrh.data import coco, mirflickr, nuswide, openclipart
from ctrh.data.images import open_image
from ctrh.data.splits import FORMAT, read_split
from ctrh.data.tables import Complaints, read_table
from ctrh.data.unpack import unpack
from ctrh.guide import word_vectors
from ctrh.guide.weights import read_weights
from ctrh.retrieval.code_file import START
from ctrh.retrieval.search import HammingIndex

TOKENS = [
    *(b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""', b"\0", b"..", b"/etc/passwd", b"%s$x$"),
    *(b"9" * 5_000, b"[" * 100_000, b'{"a":' * 5_000, b"\xff\xfe", "é\u202e".encode(), b"18446744073709551615"),
]


@dataclass(frozen=True)
class Reader:
    """``samples``: sound files; ``repair``: makes a changed one look sound again (a checksum)."""

    samples: list[bytes]
    suffix: str
    read: Callable[[Path], object]
    repair: Callable[[bytes], bytes] = bytes


def changed(data: bytes, rng: random.Random) -> bytes:
    """``data`` after one to four random changes."""
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + rng.choice([1, 4, 16, 1000]))
        kind = rng.randrange(7)
        if kind == 0 and a < len(data):
            data = data[:a] + bytes([data[a] ^ (1 << rng.randrange(8))]) + data[a + 1 :]
        elif kind == 1:
            data = data[:a]
        elif kind == 2:
            data = data[:a] + data[b:]
        elif kind == 3:
            data = data[:b] + data[a:]
        elif kind == 4:
            data = data[:a] + rng.randbytes(b - a) + data[b:]
        elif kind == 5:
            data = data[:a] + rng.choice([b"\xff", b"\0", b"\x7f"]) * (b - a) + data[b:]
        elif words := list(re.finditer(rb'[\w.+-]+|"[^"]*"|\[[^\[\]]*\]', data[a : a + 2000])):
            word = rng.choice(words)
            data = data[: a + word.start()] + rng.choice(TOKENS) + data[a + word.end() :]
    return data


def fuzz(name: str, inputs: int, seed: int = 0) -> dict[str, object]:
    """What became of so many inputs: how many were read and refused, the slowest's seconds, and the faults."""
    reader, rng, ends = READERS[name](), random.Random(f"{name} {seed}"), Counter()
    slowest, faults = 0.0, []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "in" / f"input{reader.suffix}"
        path.parent.mkdir()
        for number in range(inputs):
            data = reader.repair(changed(rng.choice(reader.samples), rng))
            path.write_bytes(data)
            began = time.perf_counter()
            try:
                reader.read(path)
                end = "read"
            except ValueError as error:
                end = "refused" if path.name in str(error) else f"unnamed: {error!r}"
            except Exception as error:
                end = repr(error)
            slowest = max(slowest, time.perf_counter() - began)
            ends[end if end in ("read", "refused") else "faults"] += 1
            if end not in ("read", "refused"):
                faults.append(f"{number}: {end[:200]}")
        outside = [str(other) for other in Path(folder).iterdir() if other != path.parent]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"reader": name, **ends, "slowest_s": round(slowest, 2), "peak_mb": peak, "outside": outside, "what": faults}


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3), "n": torch.tensor(3)}


def _weights() -> Reader:
    old = partial(torch.save, STATE, _use_new_zipfile_serialization=False)
    return Reader([_saved(partial(torch.save, STATE)), _saved(old)], ".pt", read_weights)


def _torchscript() -> Reader:
    module = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)))
    plain = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_saved(partial(torch.jit.save, module)))) as file:
        # Without checksums that see the change: as somebody would write it who means it.
        with zipfile.ZipFile(plain, "w") as other:
            for name in file.namelist():
                other.writestr(name, file.read(name))
    return Reader([plain.getvalue()], ".pt", read_weights, _with_sums)


def _with_sums(data: bytes) -> bytes:
    """A zip whose members' checksums fit, as far as it is one still."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            for info in file.infolist():
                info.CRC = None
            members = []
            for info in file.infolist():
                with file.open(info) as member:
                    member._expected_crc = None
                    members.append((info.filename, member.read(1 << 20)))
        return _saved(lambda out: _zip(out, members))
    except Exception:
        return data


def _zip(out: io.BytesIO, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)


def _safetensors() -> Reader:
    return Reader([safetensors.torch.save(STATE)], ".safetensors", read_weights)


def _word2vec() -> Reader:
    rows = b"".join(word + b" " + np.arange(4, dtype="<f4").tobytes() + b"\n" for word in (b"cat", b"dog", b"sea"))
    return Reader([b"3 4\n" + rows], ".bin", lambda path: word_vectors._looked_up(path, ("cat", "new york")))


def _index() -> Reader:
    with tempfile.TemporaryDirectory() as folder:
        index = HammingIndex(np.arange(20, dtype=np.uint8).reshape(10, 2), 16)
        index.save(Path(folder) / "x")
        sample = (Path(folder) / "x").read_bytes()

    def repair(data: bytes) -> bytes:
        begin, rest = data[: START.size - 32], data[START.size :]
        return begin + hashlib.sha256(begin + rest).digest() + rest if len(data) > START.size else data

    def read(path: Path) -> None:
        found = HammingIndex.load(path)
        found.search(found.codes[:2], 3)

    return Reader([sample], ".index", read, repair)


def _table() -> Reader:
    sample = 'image,tags\ncat.jpg,"cat, garden"\na/dog.jpg,dog\ncat.jpg,"é; sea"\n'.encode()
    return Reader([sample], ".csv", lambda path: read_table(path, "tags", Complaints()))


def _split() -> Reader:
    names = [f"im{number}.jpg" for number in range(9)]
    sample = {"format": FORMAT, "dataset": "d", "about": "", "photos": 9, "query": names[:3], "train": names[3:6]}
    return Reader([json.dumps(sample).encode()], ".json", lambda path: read_split(path, "d", names, Complaints()))


def _coco_captions() -> Reader:
    images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in range(3)]
    sentences = [{"id": number, "image_id": number % 3, "caption": f"a dog number {number}"} for number in range(5)]

    def read(path: Path) -> None:
        files = {"captions train": path, "captions val": path}
        coco._sentences(files, coco._names(files), lambda *_: None)

    return Reader([json.dumps({"images": images, "annotations": sentences}).encode()], ".json", read)


def _coco_objects() -> Reader:
    content = {
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "sea"}],
        "annotations": [{"image_id": 1, "category_id": 2, "segmentation": [[1.5, 2]]}, {"image_id": 0, "category_id": 1}],
    }
    captions = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": []}

    def read(path: Path) -> None:
        sound = path.with_name("captions_train2017.json")
        sound.write_text(json.dumps(captions))
        coco._read_index({f"{kind} {part}": sound if kind == "captions" else path
                          for kind in ("captions", "instances") for part in coco.PARTS})  # fmt: skip

    return Reader([json.dumps(content).encode()], ".json", read)


def _svg() -> Reader:
    words = "".join(f"<rdf:li>word{number} &amp; more</rdf:li>" for number in range(5))
    sample = (
        '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE svg [<!ENTITY ns "http://x">]>'
        f"<svg><metadata><dc:subject>{words}</dc:subject></metadata><path d='M0'/></svg>"
    )

    def read(path: Path) -> None:
        try:
            openclipart.read_tags(path)
        except ValueError as error:  # its caller tells the name
            raise ValueError(f"{path.name}: {error}") from error

    return Reader([sample.encode()], ".svg", read)


MEMBERS = [("out/a.txt", b"first"), ("out/b/c.txt", b"".join(b"%d" % number for number in range(300)))]


def _archive(suffix: str, samples: list[bytes]) -> Reader:
    return Reader(samples, suffix, lambda path: unpack(path, path.parent / "out"))


def _zips() -> Reader:
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return _archive(".zip", [_saved(partial(_zip, members=MEMBERS, method=method)) for method in methods])


def _tars() -> Reader:
    def tar(out: io.BytesIO, mode: str) -> None:
        with tarfile.open(fileobj=out, mode=mode) as file:
            for name, data in MEMBERS:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))

    return _archive(".tar", [_saved(partial(tar, mode=f"w:{kind}")) for kind in ("", "gz", "bz2", "xz")])


def _pictures() -> Reader:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = ({"format": "JPEG", "exif": exif}, {"format": "PNG"}, {"format": "GIF"}, {"format": "TIFF"}, {"format": "WEBP"},
             {"format": "BMP"}, {"format": "PPM"}, {"format": "JPEG2000"})  # fmt: skip
    return Reader([_saved(partial(picture.save, **kind)) for kind in kinds], ".jpg", lambda path: open_image(path, path.name))


def _mirflickr() -> Reader:
    def read(path: Path) -> None:
        mirflickr._annotated(path, path.read_bytes(), {1: 0, 22: 1}, lambda *_: None)
        mirflickr._common(path, path.read_bytes(), lambda *_: None)

    return Reader([b"1\r\n22\r\n333\r\n", b"sky 845\nwater 641\n"], ".txt", read)


def _nuswide() -> Reader:
    return Reader([b"0\n1\n1\n0\n"], ".txt", lambda path: nuswide._read_labels(path, 4))


READERS: dict[str, Callable[[], Reader]] = {
    "weights": _weights,
    "torchscript": _torchscript,
    "safetensors": _safetensors,
    "word2vec": _word2vec,
    "index": _index,
    "table": _table,
    "split": _split,
    "coco-captions": _coco_captions,
    "coco-objects": _coco_objects,
    "svg": _svg,
    "zip": _zips,
    "tar": _tars,
    "picture": _pictures,
    "mirflickr": _mirflickr,
    "nuswide": _nuswide,
}


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    options.add_argument("reader", nargs="*", help=f"of {', '.join(READERS)} (default: all)")
    options.add_argument("--inputs", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    bad = False
    for reader_name in args.reader or READERS:
        outcome = fuzz(reader_name, args.inputs, args.seed)
        bad |= bool(outcome["what"] or outcome["outside"])
        print(json.dumps({**outcome, "what": outcome["what"][:5]}), flush=True)
    sys.exit(bad)
