"""Photos added, removed and changed after `fit`: the model is then as if it had been encoded anew, and says what came."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import failed
from PIL import Image

import ctrh.app.updating as updating
from ctrh.app import model_folder, photo_search
from ctrh.app.cli import main
from ctrh.app.photo_search import encode, load_search
from ctrh.backbones import backbone_features
from ctrh.data.images import FileImages
from ctrh.methods.registry import METHODS, estimator, untaught
from ctrh.retrieval.codes import unpack
from ctrh.retrieval.search import HammingIndex


@pytest.fixture
def model(fit, folder, capsys):
    (folder / "labels.csv").unlink()
    assert fit("--method", "LSH") == 0
    capsys.readouterr()
    return str(fit.out)


@pytest.fixture
def encoded(monkeypatch):
    """The names of the pictures that go through the network."""
    names = []

    def counted(images, backbone):
        names.extend(images.names)
        return backbone_features(images, backbone)

    monkeypatch.setattr(updating, "backbone_features", counted)
    return names


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def state(model):
    """Names and codes; the codes are those that encoding all photos anew gives."""
    found = load_search(model)
    codes = unpack(found.index.codes, found.index.bits)
    features = backbone_features(FileImages(found.folder, found.names), found.backbone)
    np.testing.assert_array_equal(codes, encode(found.hasher, features))
    return list(found.names)


def test_added_photos_are_found_and_only_they_are_encoded(model, folder, tmp_path, encoded, capsys):
    picture(folder / "images" / "sub" / "new.png", 1)
    picture(tmp_path / "elsewhere" / "far.png", 2)
    added = [str(folder / "images" / "sub"), str(tmp_path / "elsewhere" / "far.png")]
    assert main(["add", model, *added]) == 0
    assert "2 photos added, 0 changed, 0 removed; 14 in all" in capsys.readouterr().err
    assert sorted(encoded) == sorted(["sub/new.png", added[1]])
    assert state(model) == sorted([*(f"{i:02}.png" for i in range(12)), "sub/new.png", added[1]])
    assert main(["search", model, added[1], "-k", "99"]) == 0
    assert added[1] in [line.split()[2] for line in capsys.readouterr().out.splitlines() if line.split()[1] == "0"]


def test_removed_photos_are_not_found_and_stay_where_they_are(model, folder, encoded, capsys):
    (folder / "images" / "07.png").unlink()
    assert main(["remove", model, "07.png", str(folder / "images" / "03.png")]) == 0
    assert encoded == []
    assert state(model) == [f"{i:02}.png" for i in range(12) if i not in (3, 7)]
    assert (folder / "images" / "03.png").exists()
    assert "not in the model" in failed(capsys, main(["remove", model, "07.png"]))
    everything = [f"{i:02}.png" for i in range(12) if i not in (3, 7)]
    assert "no photo would be left" in failed(capsys, main(["remove", model, *everything]))


def test_update_makes_the_model_what_the_folder_is(model, folder, tmp_path, encoded, capsys):
    images = folder / "images"
    before = {path: path.read_bytes() for path in Path(model).iterdir()}
    picture(tmp_path / "far.png", 9)
    main(["add", model, str(tmp_path / "far.png")])
    encoded.clear()
    (images / "00.png").unlink()
    (images / "01.png").rename(images / "renamed.png")
    picture(images / "02.png", 3)
    picture(images / "new.png", 4)
    (images / "broken.png").write_bytes(b"no picture")
    capsys.readouterr()
    assert main(["update", model]) == 0
    said = capsys.readouterr().err
    assert "2 photos added, 1 changed, 2 removed; 13 in all" in said and "broken.png: not a picture" in said
    assert sorted(encoded) == ["02.png", "new.png"]
    expected = [*(f"{i:02}.png" for i in range(2, 12)), "new.png", "renamed.png", str(tmp_path / "far.png")]
    assert state(model) == sorted(expected)
    assert [path.name for path, content in before.items() if path.read_bytes() != content] == ["codes.index"]


def test_a_folder_that_has_moved(model, folder, encoded, capsys):
    moved = folder.parent / "archive"
    folder.rename(moved)
    assert "is not a folder" in failed(capsys, main(["update", model]))
    assert main(["update", model, "--folder", str(moved)]) == 0
    assert encoded == [] and load_search(model).folder == moved / "images"
    assert main(["update", model]) == 0


def test_near_duplicates_are_named(model, folder, capsys):
    images = folder / "images"
    shutil.copy(images / "04.png", images / "copy.png")
    picture(images / "other.png", 5)
    assert main(["update", model]) == 0
    assert capsys.readouterr().out == "copy.png is nearly the same picture as 04.png\n"


def test_near_codes_are_candidates_and_pixels_decide(tmp_path):
    seen = np.linspace([0, 50, 90], [250, 180, 20], 64).astype(np.uint8)  # 64 colours
    shot = Image.fromarray(np.tile(seen[:, None], (1, 48, 1)))
    shot.save(tmp_path / "a.png")
    shot.resize((30, 40)).save(tmp_path / "b.jpg", quality=80)
    shot.rotate(180).save(tmp_path / "c.png")
    shot.save(tmp_path / "far.webp", lossless=True)
    digests = {name: name for name in ("a.png", "b.jpg", "c.png", "far.webp", "gone.png")}
    codes = np.array([[0, 0], [0, 1], [0, 0], [255, 0], [0, 0]], dtype=np.uint8)
    found = updating.near_duplicates(tmp_path, digests, HammingIndex(codes, 16), digests.keys() - {"gone.png"})
    assert list(found) == [("b.jpg", "a.png")]


def test_an_interruption_leaves_the_model_as_it_was(model, folder, monkeypatch, capsys):
    picture(folder / "images" / "new.png", 6)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["update", model]) == 130
    assert len(load_search(model).names) == 12
    with model_folder.only_writer(Path(model)):
        assert "another command is writing" in failed(capsys, main(["update", model]))
    assert main(["update", model]) == 0
    assert len(load_search(model).names) == 13


def test_what_is_not_there_is_said(model, tmp_path, capsys):
    assert "gone.png: no such file" in failed(capsys, main(["add", model, str(tmp_path / "gone.png")]))
    (tmp_path / "text.png").write_text("text")
    assert "no readable picture" in failed(capsys, main(["add", model, str(tmp_path / "text.png")]))
    assert "no complete model" in failed(capsys, main(["update", str(tmp_path)]))


@pytest.mark.parametrize("method", [name for name in untaught() if METHODS[name].compared])
def test_a_method_without_tags_is_saved_whatever_the_order_of_its_arrays(method, tmp_path):
    features = np.random.default_rng(0).normal(size=(90, 12)).astype(np.float32)  # more photos than features
    hasher = estimator(method, 8, 0).fit(features)
    photo_search._save(hasher, tmp_path / "weights.safetensors")
    again = photo_search._load(tmp_path / "weights.safetensors", method)
    np.testing.assert_array_equal(again.transform(features), hasher.transform(features))
