"""Hostile and broken files are refused by name, whoever reads them; in small, and the known ones one by one."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from fuzz import READERS, fuzz

from ctrh.data.openclipart import read_tags
from ctrh.retrieval.code_file import START, VERSION


@pytest.mark.parametrize("name", READERS)
def test_changed_files_are_read_or_refused_by_name(name):
    outcome = fuzz(name, 150)
    assert outcome["what"] == outcome["outside"] == []
    assert outcome["refused"] > 20


def expanded() -> bytes:
    """3,000,000,000 numbers that are all the same one."""

    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.zeros(1).expand(3_000_000_000))

        def forward(self) -> torch.Tensor:
            return self.w

    file = io.BytesIO()
    torch.jit.save(torch.jit.script(Constant()), file)
    return file.getvalue()


def archive(data: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as members:
        for name in ("m/data.pkl", "m/constants.pkl"):
            members.writestr(name, data)
    return file.getvalue()


def index(described: object, arrays: bytes = bytes(64)) -> bytes:
    text = described if isinstance(described, bytes) else json.dumps(described).encode()
    begin, rest = struct.pack("<8sII", b"ctrhcode", VERSION, len(text)), text + arrays
    assert START.size == len(begin) + 32
    return begin + hashlib.sha256(begin + rest).digest() + rest


CODES = {"codes": ["|u1", [2, 1]], "ids": ["<i8", [2]]}
DEEP = b"[" * 100_000
HOSTILE = {
    "a tensor of one number repeated": ("torchscript", expanded()),
    "a compressed archive": ("torchscript", archive(bytes(10 << 20), zipfile.ZIP_DEFLATED)),
    "a place far out in the pickle's table": ("torchscript", archive(b"\x80\x02Nr\xff\xff\xff\x7f.")),
    "code": ("weights", pickle.dumps(print)),
    "no tensors": ("weights", pickle.dumps({"a": 1})),
    "words of gigabytes": ("word2vec", b"1000000000 300\ncat "),
    "a negative number of words": ("word2vec", b"-1 300\ncat "),
    "no description": ("index", index(b"[]")),
    "a deep description": ("index", index(DEEP)),
    "arrays that are not there": ("index", index({"about": {}, "arrays": {}}, b"")),
    "an array of negative length": ("index", index({"about": {}, "arrays": {"codes": ["|u1", [-1]]}})),
    "an array of objects": ("index", index({"about": {}, "arrays": {"codes": ["O", [2]]}})),
    "an array larger than the file": ("index", index({"about": {}, "arrays": {"codes": ["|u1", [1 << 62]]}})),
    "more ids than codes": ("index", index({"about": {"bits": 8, "config": {}}, "arrays": {**CODES, "ids": ["<i8", [1]]}})),
    "a deep split": ("split", DEEP),
    "deep annotations": ("coco-captions", DEEP),
    "ids that are lists": ("coco-captions", b'{"images": [{"id": [1], "file_name": "a.jpg"}], "annotations": []}'),
    "an endless number": ("coco-captions", b'{"images": [{"id": 1e999, "file_name": "a.jpg"}], "annotations": []}'),
    "classes that are lists": ("coco-objects", b'{"categories": [{"id": [1], "name": 1}], "annotations": []}'),
    "a number of 5,000 digits": ("mirflickr", b"9" * 5_000),
    "nested entities": ("svg", b'<!DOCTYPE svg [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><svg>&b;</svg>'),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_was_found_by_attacking_is_refused_by_name(what, tmp_path):
    name, data = HOSTILE[what]
    reader = READERS[name]()
    path = tmp_path / f"hostile{reader.suffix}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=path.name):
        reader.read(path)


def test_tags_in_a_million_pieces_take_a_moment(tmp_path):
    path = tmp_path / "pieces.svg"
    path.write_text("<svg><subject><li>" + "a&#98;" * 130_000 + "</li></subject></svg>")
    assert read_tags(path) == ("ab" * 130_000,)
    path.write_text("<a>" * 100_000 + "<li>" + "</li>" + "</a>" * 100_000)
    assert read_tags(path) == ()


def test_an_index_of_the_fuzzer_is_a_sound_one(tmp_path):
    path = tmp_path / "sound.index"
    path.write_bytes(index({"about": {"bits": 8, "config": {}}, "arrays": CODES}, np.zeros(128, np.uint8).tobytes()))
    READERS["index"]().read(path)
