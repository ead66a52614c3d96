"""Splits as files: what is written comes back, and files that do not fit are refused."""

import json

import numpy as np
import pytest

from ctrh.data.splits import read_split, write_split
from ctrh.data.tables import Complaints, FolderError, FolderWarning


@pytest.fixture
def path(tmp_path, tiny_photos):
    write_split(tmp_path / "splits" / "tiny.json", tiny_photos, "seed 0")
    return tmp_path / "splits" / "tiny.json"


def test_round_trip(path, tiny_photos):
    split = read_split(path, "tiny", tiny_photos.names, Complaints(strict=True))
    for part in ("query", "database", "train"):
        assert np.array_equal(getattr(split, part), getattr(tiny_photos.split, part))
    assert json.loads(path.read_text())["about"] == "seed 0"


def test_names_decide_not_rows(path, tiny_photos):
    names = tiny_photos.names[::-1]
    split = read_split(path, "tiny", names, Complaints(strict=True))
    assert {names[row] for row in split.query} == {tiny_photos.names[row] for row in tiny_photos.split.query}


def test_photos_that_are_gone_are_named(path, tiny_photos):
    gone = tiny_photos.names[tiny_photos.split.query[0]]
    names = [name for name in tiny_photos.names if name != gone]
    with pytest.warns(FolderWarning, match=f"photos of query that are not here .1.: {gone}"):
        split = read_split(path, "tiny", names, Complaints())
    assert len(split.query) == len(tiny_photos.split.query) - 1
    with pytest.raises(FolderError, match="not here"):
        read_split(path, "tiny", names, Complaints(strict=True))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other"}', '{"format": "ctrh split 1", "query": 3}']
)
def test_other_files_are_refused(path, text):
    path.write_text(text)
    with pytest.raises(FolderError, match="no split that"):
        read_split(path, "tiny", ["a"], Complaints())


def test_a_byte_order_mark_is_no_fault(path, tiny_photos):
    path.write_text(path.read_text(), encoding="utf-8-sig")
    read_split(path, "tiny", tiny_photos.names, Complaints(strict=True))


def test_wrong_data_set_missing_file_and_overlap(path, tiny_photos):
    with pytest.raises(FolderError, match="splits 'tiny', not 'nuswide'"):
        read_split(path, "nuswide", tiny_photos.names, Complaints())
    with pytest.raises(FolderError, match="does not exist"):
        read_split(path.with_name("none.json"), "tiny", tiny_photos.names, Complaints())
    with pytest.raises(FolderError, match="none of its"), pytest.warns(FolderWarning):
        read_split(path, "tiny", ["other"], Complaints())
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "train": document["query"]}))
    with pytest.raises(FolderError, match="must come out of the database"):
        read_split(path, "tiny", tiny_photos.names, Complaints())
