"""From archives, on the web or in the folder, to a data set that can be read; and what is said when something lacks."""

import dataclasses
import io
import shutil
import zipfile

import pytest
from flickr_fixtures import write_mirflickr, write_nuswide
from web import serve

from ctrh.app.cli import main
from ctrh.app.commands import flickr
from ctrh.data import download, sources

SMALL = ["--queries", "6", "--train", "20"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The official archives, made of small trees; NUS-WIDE's packed without their own folders."""
    root, out = tmp_path_factory.mktemp("trees"), tmp_path_factory.mktemp("archives")
    write_mirflickr(root / "mir")
    write_nuswide(root / "nus")
    pack(out / "mirflickr25k.zip", root / "mir", "mirflickr")
    pack(out / "mirflickr25k_annotations_v080.zip", root / "mir" / "mirflickr25k_annotations_v080", ".")
    for name in ("ImageList", "ConceptsList", "Groundtruth", "NUS_WID_Tags", "Flickr"):
        pack(out / f"{name}.zip", root / "nus" / name, ".")
    return out


def pack(path, root, below):
    with zipfile.ZipFile(path, "w") as file:
        for each in sorted((root / below).rglob("*")):
            file.write(each, each.relative_to(root))


@pytest.fixture
def site(archives, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # The real archive's size and checksum are of the real archive; nothing here may reach for it.
    plain = [dataclasses.replace(each, size=None, md5=None, urls=()) for each in sources.MIRFLICKR]
    read, protocols, _, below = flickr.READERS["mirflickr"]
    monkeypatch.setitem(flickr.READERS, "mirflickr", (read, protocols, tuple(plain), below))
    with serve() as site:
        site.files = {f"/m/{path.name}": path.read_bytes() for path in archives.iterdir()}
        yield site


def test_mirflickr_from_the_web_with_a_cut_connection(site, tmp_path, capsys):
    site.cuts = [5_000]
    arguments = ["data", "mirflickr", str(tmp_path / "d"), "--download", "--mirror", f"{site.url}/m/", *SMALL]
    split = tmp_path / "d" / "splits" / "mirflickr.json"
    assert main([*arguments, "--write-split", str(split)]) == 0
    shown = capsys.readouterr()
    assert "downloaded" in shown.err and "unpacked" in shown.err and "next: ./run_all.sh" in shown.err
    assert "warning: " in shown.err and "has 25,000 photos (1): found 40" in shown.err
    for name, value in {"listed": 40, "queries": 6, "training": 20, "labels": 38, "photos": 39}.items():
        assert f"  {name:42} {value}\n" in shown.out
    assert split.exists() and not (tmp_path / "d" / ".unpacking-mirflickr").exists()
    asked = len(site.asked)
    assert main(arguments) == 0 and len(site.asked) == asked


def test_archives_in_the_folder_are_unpacked_and_missing_ones_told(archives, tmp_path, capsys):
    shutil.copy(archives / "mirflickr25k_annotations_v080.zip", tmp_path)
    assert main(["data", "mirflickr", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path} is not complete. (1) mirflickr25k.zip (3.1 GB): add --download" in error
    assert "press.liacs.nl" in error and "(2)" not in error
    assert (tmp_path / "mirflickr25k_annotations_v080" / "tree_r1.txt").exists()


def test_nuswide_names_everything_that_is_missing_at_once(archives, tmp_path, capsys):
    assert main(["data", "nuswide", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert all(
        name in error for name in ("ImageList.zip", "Groundtruth.zip", "NUS_WID_Tags.zip", "(5)", "form")
    )
    (tmp_path / "nuswide").mkdir()
    for path in archives.iterdir():
        shutil.copy(path, tmp_path / "nuswide")
    assert main(["data", "nuswide", str(tmp_path), *SMALL]) == 0
    assert f"  {'labels':42} 10\n" in capsys.readouterr().out


def test_a_complete_tree_anywhere_in_the_folder_is_used_as_it_is(tmp_path, capsys):
    write_nuswide(tmp_path / "NUS-WIDE")
    before = set((tmp_path / "NUS-WIDE").rglob("*"))
    assert main(["data", "nuswide", str(tmp_path), *SMALL]) == 0
    assert set((tmp_path / "NUS-WIDE").rglob("*")) == before
    assert not (tmp_path / "nuswide").exists()
    assert main(["data", "nuswide", str(tmp_path), "--strict"]) == 2
    assert "has 269,648 lines here" in capsys.readouterr().err


def test_what_fails_at_unpacking_is_fetched_again_and_a_page_is_no_archive(site, tmp_path, capsys):
    good = site.files["/m/mirflickr25k.zip"]
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        place = file.infolist()[-1].header_offset + 60
    damaged = bytearray(good)
    damaged[place] ^= 0xFF  # in a file's content, which listing the archive does not read
    (tmp_path / "mirflickr25k.zip").write_bytes(damaged)
    site.files |= {f"/page/{name}": b"<html>Sign in</html>" for name in ("mirflickr25k.zip",)}
    mirrors = ["--mirror", f"{site.url}/page/", "--mirror", f"{site.url}/m/"]
    assert main(["data", "mirflickr", str(tmp_path), "--download", *mirrors, *SMALL]) == 0
    assert (tmp_path / "mirflickr25k.zip").read_bytes() == good
    assert ("/page/mirflickr25k.zip", None) in site.asked
    assert main(["data", "mirflickr", str(tmp_path), *SMALL]) == 0
    capsys.readouterr()


def test_an_archive_that_leads_out_is_refused(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "mirflickr25k.zip", "w") as file:
        file.writestr("../outside.txt", "evil")
    assert main(["data", "mirflickr", str(tmp_path)]) == 2
    assert "'../outside.txt' leads out of the folder" in capsys.readouterr().err
    assert not (tmp_path.parent / "outside.txt").exists()


def test_another_archive_under_the_name(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "mirflickr25k.zip", "w") as file:
        file.writestr("something.txt", "else")
    assert main(["data", "mirflickr", str(tmp_path)]) == 2
    assert "has no mirflickr/doc/common_tags.txt: it is another archive" in capsys.readouterr().err


def test_unknown_protocol_and_missing_folder(tmp_path, capsys):
    assert main(["data", "mirflickr", str(tmp_path), "--protocol", "mine"]) == 2
    assert "choose one of article, wshrca" in capsys.readouterr().err
    assert main(["data", "nuswide", str(tmp_path / "none")]) == 2
    assert "add --download to make it" in capsys.readouterr().err
