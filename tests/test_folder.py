"""A folder as a person would bring it: what is usable is used, the rest is named with line and remedy."""

import csv
import os
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import ctrh.data.folder as module
from ctrh.data.folder import read_folder
from ctrh.data.images import FileImages, open_image
from ctrh.data.tables import (
    SEPARATORS,
    Complaints,
    FolderError,
    FolderWarning,
    read_table,
    split_words,
    write_table,
)

pytestmark = pytest.mark.filterwarnings("error")


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """Four pictures a.png ... d.png with tags and labels."""
    root = tmp_path / "holiday"
    for seed, name in enumerate("abcd"):
        picture(root / "images" / f"{name}.png", seed)
    write(
        root, "tags.csv", 'image,tags\na.png,"cat, garden"\nb.png,"Cat, dog; dog"\nc.png,garden|dog\nd.png,cat\n'
    )
    write(
        root,
        "labels.csv",
        "image,labels\na.png,animals\nb.png,animals\nc.png,animals plants\nd.png,plants\n",
    )
    return root


def write(root, name, content):
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def words(photos, index):
    return [photos.vocabulary[column] for column in photos.tags[[index]].nonzero()[1]]


def test_a_folder_becomes_photos(folder):
    photos = read_folder(folder)
    assert photos.name == "holiday" and photos.names == ("a.png", "b.png", "c.png", "d.png")
    assert photos.vocabulary == ("cat", "dog", "garden") and photos.common.tolist() == [True] * 3
    assert [words(photos, i) for i in range(4)] == [
        ["cat", "garden"],
        ["cat", "dog"],
        ["dog", "garden"],
        ["cat"],
    ]
    assert photos.label_names == ("animals", "plants")
    assert photos.labels.tolist() == [[True, False], [True, False], [True, True], [False, True]]
    assert photos.images[0].size == (16, 12) and len(photos.images) == 4
    assert len(photos.split.query) == 1 and len(photos.split.database) == 3
    np.testing.assert_array_equal(photos.split.train, photos.split.database)


def test_without_labels_everything_is_database(folder):
    (folder / "labels.csv").unlink()
    photos = read_folder(folder)
    assert photos.labels is None and len(photos.split.query) == 0
    np.testing.assert_array_equal(photos.split.database, np.arange(4))
    assert len(read_folder(folder, queries=2).split.query) == 2


def test_the_split_follows_the_seed_and_the_sizes(folder):
    queries = {tuple(read_folder(folder, queries=1, seed=seed).split.query) for seed in range(20)}
    assert queries == {(0,), (1,), (2,), (3,)}
    one, same = (
        read_folder(folder, queries=2, train=1, seed=3),
        read_folder(folder, queries=2, train=1, seed=3),
    )
    assert one.key == same.key and len(one.split.train) == 1 and len(one.split.query) == 2
    for sizes in ({"queries": 4}, {"queries": -1}, {"train": 0}, {"queries": 2, "train": 3}):
        with pytest.raises(FolderError, match="cannot take"):
            read_folder(folder, **sizes)


def test_vocabulary_and_common_words_follow_their_thresholds(folder):
    write(folder, "tags.csv", "image,tags\na.png,x y z\nb.png,x y\nc.png,x y w\nd.png,x\n")
    assert read_folder(folder).vocabulary == ("x", "y")
    assert read_folder(folder, least=1).vocabulary == ("x", "y", "w", "z")
    assert read_folder(folder, common=4).common.tolist() == [True, False]
    with pytest.raises(FolderError, match="no tag is carried by 5 photos.*lower least"):
        read_folder(folder, least=5)


@pytest.mark.parametrize(
    ("count", "least", "expected"),
    [(25_000, 2, 20), (6_900, 2, 6), (100, 2, 2), (270_000, 2, 20), (100, 30, 30)],
)
def test_common_scales_with_mirflickr(count, least, expected):
    assert module._in_proportion(module.MIRFLICKR_COMMON, count, least) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage,tags\r\na.png,cat\r\nb.png,cat\r\nc.png,\xc3\xa9t\xc3\xa9 cat\r\nd.png,\xc3\xa9t\xc3\xa9\r\n",
        b'image,tags\rb.png,cat\ra.png,"cat"\rc.png,"cat\r\xc3\xa9t\xc3\xa9"\rd.png,e\xcc\x81te\xcc\x81\r',
        b'"image";"tags"\n" a.png";cat\nb.png;"cat"\nimages/c.png;cat, \xc3\xa9t\xc3\xa9\nd.png;\xc3\xa9t\xc3\xa9\n',
        b'tags,image\ncat,./a.png\n"cat",b.png\n\n"\xc3\x89T\xc3\x89,cat",c.png\n\xc3\xa9t\xc3\xa9,"d.png"\n\n',
    ],
    ids=[
        "byte order mark, CRLF",
        "CR, line end in a cell, decomposed accents",
        "semicolons, a quoted header, names below images/",
        "columns swapped, blank lines",
    ],
)
def test_ways_to_write_the_same_table(folder, content):
    write(folder, "tags.csv", content)
    photos = read_folder(folder)
    assert photos.vocabulary == ("cat", "été")
    assert [words(photos, i) for i in range(4)] == [["cat"], ["cat"], ["cat", "été"], ["été"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "tags.csv is empty.*first line must be image,tags"),
        (b"image,tags\n", "has no rows: write one line per picture"),
        (b"image,tags\n\n , \n", "has no rows"),
        (b"a.png,cat\n", "line 1: no column 'image' or 'tags'"),
        (b"image,labels\na.png,cat\n", "line 1: no column 'tags'"),
        (b"image,tags,tags\na.png,cat,dog\n", "line 1: a column stands twice"),
        (b"image;labels\na.png;cat\n", "line 1: no column 'image' or 'tags' in 'image;labels'"),
        (b"image,tags\na.png,cat\nb.png,cat, dog\n", "line 3: 3 cells for 2 columns.*in quotes"),
        (b"image,tags\na.png\n", "line 2: 1 cells for 2 columns"),
        (b'image,tags\na.png,"cat\nb.png,dog\n', "not valid CSV.*quotation mark"),
        (b'image,tags\na.png,"cat" dog\n', "line 2: not valid CSV"),
        (b"image,tags\na.png,cat\nb.png,\xe9t\xe9\n", "line 3: byte 0xe9 is not UTF-8.*iconv"),
        ("image,tags\na.png,cat\n".encode("utf-16"), "is UTF-16: save it"),
        (b"image,tags\na.png,cat\n,dog\n", "line 3: no image name"),
    ],
)
def test_a_table_that_cannot_be_used_names_line_and_remedy(folder, content, message):
    write(folder, "tags.csv", content)
    with pytest.raises(FolderError, match=message):
        read_folder(folder)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "sub/../../secret.png", "/etc/secret.png", "..\\secret.png", "C:\\secret.png", "c:secret.png", "\\\\host\\share\\s.png", "a\0.png"],
)  # fmt: skip
def test_a_name_that_leads_out_of_the_folder_is_refused(folder, name):
    picture(folder / "secret.png", 9)
    write(folder, "tags.csv", f"image,tags\na.png,cat\n{name},cat\n")
    with pytest.raises(FolderError, match="tags.csv, line 3: .* leads out of the folder"):
        read_folder(folder)


def test_a_link_that_leads_out_of_the_folder_is_refused(folder, tmp_path):
    picture(tmp_path / "secret.png", 9)
    (folder / "images" / "e.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(FolderError, match=r"e\.png is a link that leads out of the folder"):
        read_folder(folder)
    (folder / "images" / "e.png").unlink()
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="leads out of the folder"):
        read_folder(folder)


def test_pictures_behind_a_linked_folder_do_not_exist(folder, tmp_path):
    picture(tmp_path / "private" / "secret.png", 9)
    (folder / "images" / "sub").symlink_to(tmp_path / "private")
    write(folder, "tags.csv", "image,tags\na.png,cat\nb.png,cat\nc.png,cat\nd.png,cat\nsub/secret.png,cat\n")
    with pytest.warns(FolderWarning, match=r"line 6: sub/secret\.png"):
        assert len(read_folder(folder)) == 4


def test_a_link_within_the_folder_is_a_picture(folder):
    (folder / "images" / "e.png").symlink_to("a.png")
    write(folder, "tags.csv", "image,tags\na.png,cat\nb.png,cat\nc.png,cat\nd.png,cat\ne.png,cat\n")
    (folder / "labels.csv").unlink()
    assert len(read_folder(folder)) == 5


LEFT_OUT = {
    "damaged": (lambda root: write(root, "images/b.png", (root / "images/b.png").read_bytes()[:200]), r"cannot be read are left out \(1\): b\.png: damaged"),
    "not a picture": (lambda root: write(root, "images/b.png", "<html>"), r"b\.png: not a picture"),
    "missing": (lambda root: (root / "images/b.png").unlink(), r"rows without a picture file \(1\): line 3: b\.png; names are relative"),
    "case": (lambda root: (root / "images/b.png").rename(root / "images/b.PNG"), r"line 3: b\.png; .*upper and lower case"),
    "no row": (lambda root: picture(root / "images/sub/e.png", 7), r"pictures without a row, .*\(1\): sub/e\.png; add"),
    "duplicate": (lambda root: write(root, "tags.csv", (root / "tags.csv").read_bytes() + b"./b.png,garden\n"), r"several rows, .*line 6: b\.png \(first on line 3\)"),
    "column": (lambda root: write(root, "tags.csv", "image,tags,date\na.png,cat,1\nb.png,cat,2\nc.png,cat,3\nd.png,cat,4\n"), r"unknown columns .*'date'"),
    "format": (lambda root: write(root, "images/e.xcf", "x"), r"no known picture format \(1\): e\.xcf; convert"),
    "no label": (lambda root: write(root, "labels.csv", "image,labels\na.png,x\nb.png,x\nc.png,\nd.png,y\n"), r"without a label.*c\.png"),
    "label of nothing": (lambda root: write(root, "labels.csv", (root / "labels.csv").read_bytes() + b"zzz.png,x\n"), r"labels\.csv: rows without a picture file \(1\): line 6: zzz\.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_is_left_out_is_named_and_strict_refuses_it(folder, case):
    spoil, message = LEFT_OUT[case]
    spoil(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos = read_folder(folder)
    assert any(w.category is FolderWarning and re.search(message, str(w.message)) for w in caught)
    assert "a.png" in photos.names and len(photos) in (3, 4, 5)
    warnings.simplefilter("ignore", FolderWarning)
    with pytest.raises(FolderError, match=message):
        read_folder(folder, strict=True)


def test_a_damaged_picture_takes_its_tags_and_labels_along(folder):
    write(folder, "images/c.png", b"\x89PNG\r\n\x1a\n")
    write(folder, "labels.csv", "image,labels\na.png,x\nb.png,y\nc.png,rare\nd.png,y\n")
    with pytest.warns(FolderWarning):
        photos = read_folder(folder, least=1)
    assert photos.names == ("a.png", "b.png", "d.png") and photos.label_names == ("x", "y")
    assert photos.tags.shape[0] == len(photos.labels) == 3


def test_no_cell_is_a_formula_and_reading_gives_back_what_was_written(tmp_path):
    rows = [("=1+1.jpg", "=cmd|'/c calc'!a @home"), ("-a.jpg", "+1 'quoted'"), ("'b.jpg", "plain"), ("@c.jpg", "")]
    write_table(tmp_path / "tags.csv", ("image", "tags"), rows)
    with open(tmp_path / "tags.csv", newline="") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell[:1] in tuple("=+-@")]
    found = read_table(tmp_path / "tags.csv", "tags", Complaints(), separators=" ")
    assert [(row.image, " ".join(row.words)) for row in found] == rows


def test_duplicate_rows_are_joined(folder):
    write(
        folder,
        "tags.csv",
        "image,tags\na.png,cat\nb.png,cat\nc.png,cat\nd.png,dog\nd.png,cat\nd.png,bird dog\n",
    )
    with pytest.warns(FolderWarning, match=r"\(2\)"):
        photos = read_folder(folder, least=1)
    assert sorted(words(photos, 3)) == ["bird", "cat", "dog"]


def test_photos_without_tags_stay_in_the_database_unless_dropped(folder):
    write(folder, "tags.csv", "image,tags\na.png,cat\nb.png,cat\nc.png,\nd.png,rare\n")
    (folder / "labels.csv").unlink()
    kept = read_folder(folder)
    assert len(kept.split.database) == 4 and kept.split.train.tolist() == [0, 1]
    dropped = read_folder(folder, untagged="drop")
    assert dropped.names == ("a.png", "b.png") and dropped.tags.shape == (2, 1) and len(dropped.images) == 2
    with pytest.raises(ValueError, match="untagged must be"):
        read_folder(folder, untagged="maybe")


def test_many_complaints_become_one_message(folder):
    for index in range(12):
        write(folder, f"images/x{index:02}.jpg", "broken")
        with open(folder / "tags.csv", "a") as file:
            file.write(f"x{index:02}.jpg,cat\n")
    with pytest.warns(FolderWarning) as caught:
        read_folder(folder)
    assert len(caught) == 1 and "(12)" in str(caught[0].message) and "and 7 more" in str(caught[0].message)


def test_windows_separators_and_subfolders(folder):
    picture(folder / "images" / "sub" / "e.png", 5)
    write(folder, "tags.csv", "image,tags\na.png,cat\nb.png,cat\nc.png,cat\nd.png,cat\nsub\\e.png,cat\n")
    (folder / "labels.csv").unlink()
    assert read_folder(folder).names[-1] == "sub/e.png"


def test_a_mac_writes_accents_in_two_letters(folder):
    (folder / "images" / "a.png").rename(folder / "images" / "e\u0301te\u0301.png")
    (folder / "labels.csv").unlink()
    write(folder, "tags.csv", "image,tags\n\u00e9t\u00e9.png,cat\nb.png,cat\nc.png,cat\nd.png,cat\n")
    assert len(read_folder(folder)) == 4


def test_exact_names_win(folder):
    names = ["é.png", "e\u0301.png", " a.png", "c:d.png", "x\\y.png"]
    for seed, name in enumerate(names):
        picture(folder / "images" / name, seed)
    (folder / "labels.csv").unlink()
    rows = [(name, f"cat, word{index}") for index, name in enumerate([*names, "a.png", "b.png", "c.png", "d.png"])]
    write_table(folder / "tags.csv", ("image", "tags"), rows)
    with pytest.warns(FolderWarning, match=r"names look the same \(1\): é.png") as caught:
        photos = read_folder(folder, least=1)
    assert len(caught) == 1
    assert {name: set(words(photos, i)) for i, name in enumerate(photos.names)} == {
        name: set(cell.split(", ")) for name, cell in rows
    }


def test_names_that_are_no_text_and_links_to_themselves_are_left_out(folder):
    (folder / "images" / "loop.png").symlink_to("loop.png")
    (folder / "images" / "a.png").rename(folder / "images" / os.fsdecode(b"\xe9.png"))
    with pytest.warns(FolderWarning) as caught:
        assert read_folder(folder).names == ("b.png", "c.png", "d.png")
    assert any("not UTF-8 (1): \ufffd.png" in str(warning.message) for warning in caught)


def test_system_files_are_passed_over(folder):
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".trash/old.txt"):
        (folder / "images" / name).parent.mkdir(exist_ok=True)
        write(folder, f"images/{name}", "x")
    assert len(read_folder(folder, strict=True)) == 4


def test_missing_parts_of_the_layout(folder, tmp_path, monkeypatch):
    with pytest.raises(FolderError, match="is not a folder: give one that holds pictures"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match="empty holds no picture"):
        read_folder(tmp_path / "empty")
    (folder / "tags.csv").unlink()
    with pytest.raises(FolderError, match="no tag is carried by 2 photos.*keywords in the files"):
        read_folder(folder)
    monkeypatch.setattr(module, "pyexiv2", None)
    with pytest.raises(FolderError, match="tags.csv does not exist: write a CSV file.*ctrh.keywords"):
        read_folder(folder)
    with pytest.raises(FolderError, match="pip install"):
        read_folder(folder, sources=["keywords"])


def test_no_picture_at_all_and_labels_without_labels(folder):
    write(folder, "labels.csv", "image,labels\na.png,\nb.png,\n")
    with pytest.raises(FolderError, match=r"labels\.csv gives no photo a label"):
        read_folder(folder)
    for name in "abcd":
        (folder / "images" / f"{name}.png").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FolderWarning)
        with pytest.raises(FolderError, match="holds no (readable )?picture"):
            read_folder(folder)


def test_what_is_no_file_is_not_waited_for(folder):
    os.mkfifo(folder / "images" / "pipe.jpg")
    (folder / "images" / "dangling.jpg").symlink_to("gone.jpg")
    (folder / "images" / "album.jpg").mkdir()
    with open(folder / "tags.csv", "a") as file:
        file.write("pipe.jpg,cat\ndangling.jpg,cat\n")
    with pytest.warns(FolderWarning, match=r"\(2\): dangling\.jpg: not a file .*, pipe\.jpg: not a file"):
        assert len(read_folder(folder)) == 4


def test_pictures_are_checked_once(folder, monkeypatch):
    read_folder(folder)
    monkeypatch.setattr(module, "in_threads", lambda *args, **options: pytest.fail("checked again"))
    read_folder(folder)


def test_a_picture_that_could_not_be_read_gets_another_chance(folder, monkeypatch):
    with monkeypatch.context() as offline:
        offline.setattr(FileImages, "__getitem__", lambda images, index: open_image(folder / "away", "x"))
        with pytest.raises(FolderWarning, match="cannot be read"):
            read_folder(folder)
    assert len(read_folder(folder)) == 4


@given(st.text(), st.text())
def test_split_words_are_clean_and_unique(left, right):
    for separators, between in ((SEPARATORS, ","), (" ", "\t")):
        found = split_words(between.join([left, right, left]), separators)
        assert len(set(found)) == len(found)
        assert all(word == " ".join(word.split()) and not set(word) & set(separators) for word in found)
        assert set(found) == set(split_words(left, separators)) | set(split_words(right, separators))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["new york, ice cream", "new york"], {"new york", "ice cream"}),
        (["cat garden", "dog"], {"cat", "garden", "dog"}),
        (["猫，花园、尼康；海", "海"], {"猫", "花园", "尼康", "海"}),
        (["new york|sea", "sea"], {"new york", "sea"}),
        (["new york\nsea", "sea"], {"new york", "sea"}),
        (["猫\u3000海", "海"], {"猫", "海"}),
        ([" ".join(f"tag{index:05}" for index in range(15_000)), "tag00000"], 15_000),
    ],
)
def test_the_file_tells_what_separates_its_words(folder, cells, words, caplog):
    write_table(folder / "tags.csv", ("image", "tags"), [(f"{name}.png", cell) for name, cell in zip("ab", cells)])
    rows = read_table(folder / "tags.csv", "tags", Complaints())
    found = {word for row in rows for word in row.words}
    assert len(found) == words if isinstance(words, int) else found == words
    with caplog.at_level("INFO", "ctrh"):
        (one, _) = read_table(folder / "tags.csv", "tags", Complaints(), separators="!")
    assert one.words == (" ".join(cells[0].split()),) and "separated by !" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.png,0 1\nb.png,1 0\n", r"rows of 0 and 1 \(2\): line 2: 0 1.*write the names"),
        ("a.png,\"['cat', 'garden']\"\nb.png,cat\n", r"lists of a program.*line 2: \['cat', 'garden'\]"),
        ("a.png,golden gate\nb.png,golden retriever\n", r"labels of every labelled photo \(1\): golden; give"),
    ],
)
def test_cells_that_are_not_what_they_seem_are_warned_about(folder, content, message):
    write(folder, "labels.csv", f"image,labels\n{content}")
    with pytest.warns(FolderWarning) as caught:
        read_folder(folder)
    assert any(re.search(message, str(warning.message)) for warning in caught)
