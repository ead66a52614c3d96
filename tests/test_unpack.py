"""Archives that would write elsewhere, are damaged, or fill the disk leave nothing behind."""

import errno
import io
import shutil
import stat
import tarfile
import zipfile

import pytest

from ctrh.data.unpack import ArchiveError, DamagedArchive, unpack


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as file:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            file.addfile(info, io.BytesIO(text.encode()))
    return path


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


MAKERS = [(make_zip, "a.zip"), (make_tar, "a.tar.gz")]


@pytest.mark.parametrize(("make", "name"), MAKERS)
@pytest.mark.parametrize("top", ["", "out/"])
def test_files_stand_in_the_folder_whether_or_not_it_was_packed(tmp_path, make, name, top):
    archive = make(tmp_path / name, {f"{top}a.txt": "1", f"{top}b/c.txt": "2"})
    assert unpack(archive, tmp_path / "data" / "out") == 2
    assert files(tmp_path / "data") == {"out/a.txt": "1", "out/b/c.txt": "2"}


def test_files_that_are_there_are_replaced_and_others_stay(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("old")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    unpack(make_zip(tmp_path / "a.zip", {"a.txt": "new"}), tmp_path / "out")
    assert files(tmp_path / "out") == {"a.txt": "new", "mine.txt": "mine"}


@pytest.mark.parametrize(("make", "archive"), MAKERS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil"])
def test_names_that_lead_out_are_refused(tmp_path, make, archive, name):
    path = make(tmp_path / archive, {"good.txt": "1", name: "2"})
    with pytest.raises(ArchiveError, match="leads out of the folder"):
        unpack(path, tmp_path / "deep" / "out")
    assert {each.name for each in tmp_path.rglob("*")} - {archive} == set()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(ArchiveError, match="link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    make_zip(tmp_path / "a.zip", {info: "/etc/passwd"})
    with pytest.raises(ArchiveError, match="link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive", "empty"])
@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_damage_leaves_nothing(tmp_path, make, name, damage):
    archive = make(tmp_path / name, {"a.txt": "first", "b.txt": "".join(map(str, range(9000)))})
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    texts = {"cut": data[: len(data) // 2], "flipped": data, "no archive": b"<html>404</html>", "empty": b""}
    archive.write_bytes(texts[damage])
    with pytest.raises(ArchiveError, match="get it again"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"a.txt": "1"})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(ArchiveError, match="needs 0 MB in .*out, 0 MB are free"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(("make", "archive"), MAKERS)
@pytest.mark.parametrize("name", [".", "./."])
def test_a_file_called_as_the_folder_is_refused(tmp_path, make, archive, name):
    path = make(tmp_path / archive, {"good.txt": "1", name: "2"})
    with pytest.raises(ArchiveError, match="leads out of the folder|damaged"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damage_in_any_compression_is_told(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr("a.txt", "".join(map(str, range(9000))))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[40:60] = bytes(20)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DamagedArchive, match="get it again"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_the_same_file_twice_and_unknown_kinds(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "1")
        file.writestr("a.txt", "2")
    with pytest.raises(ArchiveError, match="twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ArchiveError, match="only .zip, .tar"):
        unpack(tmp_path / "a.rar", tmp_path / "out")
