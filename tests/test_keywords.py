"""Keywords out of files that exiv2 itself writes, and sidecars that it reads."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from ctrh.app.cli import main
from ctrh.data.folder import read_folder
from ctrh.data.keywords import read_keywords, write_sidecar

pyexiv2 = pytest.importorskip("pyexiv2")


def photo(path, seed=0, xmp=None, iptc=None, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(path)
    with pyexiv2.Image(str(path)) as file:
        file.modify_iptc(iptc or {}, encoding)
        file.modify_xmp(xmp or {})
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_keywords_of_all_programs_and_the_levels_of_their_trees(tmp_path, suffix):
    xmp = {
        "Xmp.dc.subject": ["Dog", "New York, statue"],
        "Xmp.digiKam.TagsList": ["Places/France/Paris", "E\u0301te\u0301"],
        "Xmp.lr.hierarchicalSubject": ["Animals|Dog", "b/w"],
    }
    iptc = {"Iptc.Application2.Keywords": ["dog", "Möwe"]} if suffix in ("jpg", "tif") else {}
    found = read_keywords(photo(tmp_path / f"a.{suffix}", xmp=xmp, iptc=iptc))
    expected = {"dog", "new york", "statue", "animals", "b/w", "places", "france", "paris", "été"}
    assert set(found) == expected | ({"möwe"} if iptc else set()) and len(found) == len(set(found))


def test_latin1_damage_and_nothing(tmp_path):
    old = photo(tmp_path / "old.jpg", iptc={"Iptc.Application2.Keywords": ["Möwe"]}, encoding="latin1")
    assert read_keywords(old) == ("möwe",)
    assert read_keywords(photo(tmp_path / "bare.jpg")) == ()
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xff")
    assert read_keywords(tmp_path / "broken.jpg") == read_keywords(tmp_path / "gone.jpg") == ()


def test_a_sidecar_takes_the_place_of_the_file(tmp_path):
    path = photo(tmp_path / "a.jpg", xmp={"Xmp.dc.subject": ["old"]})
    assert write_sidecar(path, ["sea & sky", "<dog>"])
    assert read_keywords(path) == ("sea & sky", "<dog>")
    assert write_sidecar(path, ["cat"]) and read_keywords(path) == ("cat",)
    other = tmp_path / "a.jpg.xmp"
    other.write_text(other.read_text().replace('"ctrh"', '"darktable"'))
    before = other.read_bytes()
    assert not write_sidecar(path, ["bird"]) and other.read_bytes() == before
    other.rename(tmp_path / "a.xmp")
    assert read_keywords(path) == ("cat",)


@pytest.fixture
def plain(tmp_path):
    """Six photos in nested folders, with keywords and nothing else."""
    root = tmp_path / "plain"
    for index in range(6):
        place = root / ("Holiday/Paris" if index % 2 else "Home")
        photo(place / f"{index}.jpg", index, {"Xmp.dc.subject": ["cat" if index < 3 else "dog", "pet"]})
    (root / "Home" / "0.xmp").write_text("<broken")
    return root


def test_a_plain_folder_with_keywords_becomes_photos(plain):
    photos = read_folder(plain, strict=True)
    assert photos.names[0] == "Holiday/Paris/1.jpg" and len(photos) == 6
    assert photos.vocabulary == ("pet", "dog", "cat") and photos.tags.nnz == 10  # the sidecar of 0.jpg is broken


def test_names_of_folders_are_tags_on_request(plain):
    assert read_folder(plain, sources=["folders"]).vocabulary == ("holiday", "home", "paris")
    assert set(read_folder(plain, sources=["keywords", "folders"]).vocabulary) == {
        *("holiday", "home", "paris", "pet", "cat", "dog")
    }
    (plain / "tags.csv").write_text("image,tags\nHome/2.jpg,sofa\nHome/4.jpg,sofa\n")
    with pytest.warns(UserWarning, match="without a row"):
        assert read_folder(plain).vocabulary == ("sofa",)


def test_refine_writes_sidecars_and_leaves_the_photos_alone(plain, weights, capsys):
    def state():
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in plain.rglob("*.jpg")}

    (plain / "Home" / "2.jpg.xmp").write_text("of another program")
    (plain / "Home" / "4.jpg.xmp").write_text("of another program")
    before, command = state(), ["refine", str(plain), "--pretrained", str(weights), "--write-xmp", "--least", "1"]
    assert main(command) == 0
    assert state() == before
    said = capsys.readouterr()
    assert "written: 3 sidecars" in said.err
    assert len(read_keywords(plain / "Holiday/Paris/1.jpg")) == 2
    assert (plain / "Home" / "2.jpg.xmp").read_text() == "of another program"
    assert not [path for path in plain.rglob(".*")]


@pytest.mark.parametrize("value", ["tags", ""])
def test_unknown_sources(value, capsys):
    with pytest.raises(SystemExit):
        main(["refine", "photos", "--words-from", value])
    assert "csv, keywords, folders" in capsys.readouterr().err
