"""Which picture files are there and can be read: looked at once, faults every time."""

import hashlib
import os

import pytest
from flickr_fixtures import picture

from ctrh.data import inventory
from ctrh.data.inventory import take_inventory


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(inventory, "CHUNK", 4)
    for number in range(9):
        picture(tmp_path / f"a/{number}.jpg", number, {1})
    return tmp_path


NAMES = [f"a/{number}.jpg" for number in range(9)]


def test_digests_are_those_of_the_files(folder):
    found = take_inventory(folder, NAMES)
    assert found.reasons == ("",) * 9
    expected = [hashlib.sha256((folder / name).read_bytes()).digest() for name in NAMES]
    assert [row.tobytes() for row in found.digests] == expected


def test_faults_and_their_reasons(folder):
    (folder / NAMES[0]).unlink()
    (folder / NAMES[3]).write_bytes((folder / NAMES[3]).read_bytes()[:500])
    (folder / NAMES[5]).write_bytes(b"")
    (folder / NAMES[8]).unlink()
    os.mkfifo(folder / NAMES[8])
    reasons = take_inventory(folder, NAMES).reasons
    assert [place for place, reason in enumerate(reasons) if reason] == [0, 3, 5, 8]
    assert reasons[0] == reasons[8] == "no such file"
    assert "damaged" in reasons[3] and "not a picture" in reasons[5]


def test_only_what_changed_is_looked_at_again(folder, monkeypatch):
    first = take_inventory(folder, NAMES)
    looked, look = [], inventory._look
    monkeypatch.setattr(inventory, "_look", lambda root, name: looked.append(name) or look(root, name))
    second = take_inventory(folder, NAMES)
    assert looked == [] and (second.digests == first.digests).all()
    (folder / NAMES[6]).write_bytes(b"no picture")
    assert take_inventory(folder, NAMES).reasons[6]
    assert sorted(set(looked)) == NAMES[4:8]


def test_a_passing_fault_is_not_held_against_a_picture(folder, monkeypatch):
    look = inventory._look
    monkeypatch.setattr(inventory, "_look", lambda root, name: (bytes(32), "the network drive is away"))
    assert all(take_inventory(folder, NAMES).reasons)
    monkeypatch.setattr(inventory, "_look", look)
    assert not any(take_inventory(folder, NAMES).reasons)


def test_nothing_to_look_at(folder):
    found = take_inventory(folder, [])
    assert found.digests.shape == (0, 32) and found.reasons == ()
