"""A made-up tree in the exact layout of Debian's openclipart packages, with the faults that uploads have."""

import csv
import errno

import numpy as np
import pytest
from PIL import Image

from ctrh.data.folder import read_folder
from ctrh.data.openclipart import convert, read_source, read_tags
from ctrh.data.tables import FolderError

SVG = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
{doctype}<svg xmlns="http://www.w3.org/2000/svg" height="9" width="9">
  <metadata><rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
      xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="">
    <dc:title>not a tag</dc:title>
    <dc:subject><rdf:Bag>{tags}</rdf:Bag></dc:subject>
    <dc:creator><cc:Agent><dc:title>codifiedivining</dc:title></cc:Agent></dc:creator>
    <cc:other><rdf:Bag><rdf:li>no subject</rdf:li></rdf:Bag></cc:other>
  </cc:Work></rdf:RDF></metadata>
  <path d="M 0,0 L 1,1"/>
{end}"""


def svg(*tags, doctype="", end="</svg>\n"):
    return SVG.format(
        tags="".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags), doctype=doctype, end=end
    ).encode()


@pytest.fixture
def source(tmp_path):
    """Nine names, six pictures: two linked, one damaged, one without SVG, one with malformed SVG."""
    root = tmp_path / "unpacked" / "usr" / "share" / "openclipart"

    def add(name, seed, document):
        for kind in ("png", "svg"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
        rgba = np.random.default_rng(seed).integers(0, 256, (20, 40, 4), dtype=np.uint8)
        Image.fromarray(rgba).save(root / "png" / f"{name}.png")
        if document is not None:
            (root / "svg" / f"{name}.svg").write_bytes(document)

    add("animals/birds/duck", 1, svg("Duck", "animal", "water bird"))
    add("animals/frog", 2, svg("frog", "animal", "", "animal", "d&#233;j&#224;"))
    add("food/cake", 3, svg("cake", end="<path"))
    add("food/milk", 4, None)
    add("food/tea", 5, svg("tea", "hash"))
    add("shapes/broken", 6, svg("shapes"))
    (root / "png/shapes/broken.png").write_bytes((root / "png/shapes/broken.png").read_bytes()[:300])
    (root / "png/shapes/duck_copy.png").symlink_to("../animals/birds/duck.png")
    (root / "svg/shapes/duck_copy.svg").write_bytes(svg("duck", "shape"))
    (tmp_path / "secret.png").write_bytes((root / "png/food/tea.png").read_bytes())
    (root / "png/shapes/secret.png").symlink_to(tmp_path / "secret.png")
    (root / "png/shapes/dangling.png").symlink_to("nowhere.png")
    return tmp_path / "unpacked"


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_package_becomes_a_photo_folder(source, tmp_path):
    out = tmp_path / "clipart"
    result = convert(source, out, size=32)
    assert rows(out / "tags.csv") == [
        ["image", "tags"],
        ["animals/birds/duck.png", "duck, animal, water, bird, shape"],
        ["animals/frog.png", "frog, animal, déjà"],
        ["food/cake.png", ""],
        ["food/milk.png", ""],
        ["food/tea.png", "tea, hash"],
    ]
    assert rows(out / "labels.csv")[1:] == [
        ["animals/birds/duck.png", "animals, shapes"],
        ["animals/frog.png", "animals"],
        ["food/cake.png", "food"],
        ["food/milk.png", "food"],
        ["food/tea.png", "food"],
    ]
    skipped = {name: reason for name, reason in rows(out / "skipped.csv")[1:]}
    assert skipped.keys() == {"shapes/broken.png", "food/cake.svg", "food/milk.svg"}
    assert "damaged" in skipped["shapes/broken.png"] and "malformed XML" in skipped["food/cake.svg"]
    assert "No such file" in skipped["food/milk.svg"]
    assert (len(result.written), len(result.skipped), len(result.unread)) == (5, 1, 2)

    photos = read_folder(out, least=1, strict=True)
    assert len(photos) == 5 and photos.label_names == ("animals", "food", "shapes")
    picture = np.asarray(photos.images[0])
    assert picture.shape == (32, 32, 3)
    assert (picture[:7] == 255).all() and (
        picture[-7:] == 255
    ).all()  # 2:1 on a square: white above and below


def test_a_finished_picture_is_kept_and_an_interrupted_run_goes_on(source, tmp_path, monkeypatch):
    out, saved = tmp_path / "clipart", []
    save = Image.Image.save

    def dying(picture, path, *args, **options):
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        save(picture, path, *args, **options)

    monkeypatch.setattr("ctrh.data.images.os.cpu_count", lambda: 1)
    monkeypatch.setattr(Image.Image, "save", dying)
    with pytest.raises(OSError, match="No space left"):
        convert(source, out, size=32)
    assert not (out / "tags.csv").exists()
    left = sorted(path for path in (out / "images").rglob("*") if path.is_file())
    assert [path.name for path in left] == ["duck.png", "frog.png"]
    before = [path.stat().st_mtime_ns for path in left]

    monkeypatch.setattr(Image.Image, "save", save)
    assert len(convert(source, out, size=32).written) == 5
    assert [path.stat().st_mtime_ns for path in left] == before


def test_a_folder_of_something_else_is_not_touched(source, tmp_path):
    out = tmp_path / "clipart"
    convert(source, out, size=32)
    with pytest.raises(FolderError, match="holds pictures of size 32: choose another folder"):
        convert(source, out, size=64)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tags.csv").write_text("mine")
    with pytest.raises(FolderError, match="exists and is not a conversion"):
        convert(source, tmp_path / "mine")
    assert (tmp_path / "mine" / "tags.csv").read_text() == "mine"
    with pytest.raises(ValueError, match="at least 8"):
        convert(source, tmp_path / "tiny", size=0)


@pytest.mark.parametrize("start", ["", "usr/share", "usr/share/openclipart"])
def test_any_folder_above_the_two_kinds_will_do(source, start):
    drawings, unread = read_source(source / start)
    assert len(drawings) == 6 and len(unread) == 2


def test_half_a_source_names_the_package_that_is_missing(source, tmp_path):
    base = source / "usr/share/openclipart"
    (base / "svg").rename(tmp_path / "svg")
    with pytest.raises(FolderError, match="png/ but no svg/: unpack openclipart-svg"):
        read_source(source)
    (base / "png").rename(tmp_path / "png")
    (tmp_path / "svg").rename(base / "svg")
    with pytest.raises(FolderError, match="svg/ but no png/: unpack openclipart-png"):
        read_source(source)
    (base / "png").mkdir()
    with pytest.raises(FolderError, match="holds no .png file"):
        read_source(source)
    with pytest.raises(FolderError, match="holds no usr/share/openclipart: unpack"):
        read_source(tmp_path / "png")
    with pytest.raises(FolderError, match="is not a folder"):
        read_source(tmp_path / "nowhere")


ILLUSTRATOR = '<!DOCTYPE svg [\n<!ENTITY ns_svg "http://www.w3.org/2000/svg">\n]>\n'
BOMB = (
    '<!DOCTYPE svg [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(9))
    + "]>"
)
LEAK = '<!DOCTYPE svg [<!ENTITY leak SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("document", "tags"),
    [
        (svg("a b", "c,d;e", "A"), ("a", "b", "c", "d", "e")),
        (svg(), ()),
        (svg("star", doctype=ILLUSTRATOR), ("star",)),
        (svg("a &amp; b", "<!-- no -->c"), ("a", "&", "b", "c")),
        (b"\xef\xbb\xbf" + svg("bom"), ("bom",)),
        (svg("caf\u00e9").decode().replace("UTF-8", "ISO-8859-1").encode("latin-1"), ("café",)),
        (b"<svg/>", ()),
    ],
)
def test_tags_of_well_formed_files(tmp_path, document, tags):
    (tmp_path / "x.svg").write_bytes(document)
    assert read_tags(tmp_path / "x.svg") == tags


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "malformed XML"),
        (b"\x89PNG\r\n", "malformed XML"),
        (svg("a", end=""), "malformed XML"),
        (svg("a & b"), "malformed XML"),
        (svg("caf\u00e9").decode().encode("latin-1"), "malformed XML"),
        (svg("a").replace(b"UTF-8", b"KLINGON-8"), "malformed XML"),
        (svg("&a8;", doctype=BOMB), "refers to others"),
        (svg("&leak;", doctype=LEAK), "another file"),
    ],
)
def test_tags_of_malformed_or_hostile_files(tmp_path, document, reason):
    (tmp_path / "x.svg").write_bytes(document)
    with pytest.raises(FolderError, match=f"no tags: .*{reason}"):
        read_tags(tmp_path / "x.svg")
