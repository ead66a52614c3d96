"""The reader of MIRFLICKR-25K, on a small tree of its layout, beside what the tree was written from."""

import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from flickr_fixtures import MIR_CONCEPTS, MIR_STRICT, break_mirflickr, write_mirflickr

from ctrh.data import mirflickr
from ctrh.data.mirflickr import ARTICLE, CROSS_MODAL, WSHRCA, read_mirflickr
from ctrh.data.registry import load_photos
from ctrh.data.splits import write_split
from ctrh.data.tables import Complaints, FolderError, FolderWarning

SMALL = replace(ARTICLE, queries=6)


def read(folder, protocol=SMALL, **options):
    """The photos and the complaints, those about the sizes of the official data left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos, _ = read_mirflickr(folder, protocol, **options)
    return photos, [str(each.message) for each in caught if "MIRFLICKR-25K has" not in str(each.message)]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirflickr")
    return folder, write_mirflickr(folder)


@pytest.fixture
def tree(tmp_path, original):
    """A copy that a test may break, and what it was written from."""
    folder, written = original
    return shutil.copytree(folder, tmp_path / "data"), written


def tag_sets(photos):
    matrix = photos.tags.toarray()
    return [{photos.vocabulary[column] for column in np.flatnonzero(row)} for row in matrix]


def test_labels_tags_and_order_are_those_of_the_files(tree):
    folder, written = tree
    photos, complaints = read(folder)
    assert complaints == []
    expected = [name for name in written.tags if written.tags[name]]
    assert list(photos.names) == expected and "im3.jpg" not in photos.names and "im6.jpg" in photos.names
    assert tag_sets(photos) == [written.tags[name] for name in expected]
    assert photos.label_names == tuple(sorted(MIR_CONCEPTS + [f"{name}_r1" for name in MIR_STRICT]))
    assert len(photos.label_names) == 38
    found = [{photos.label_names[c] for c in np.flatnonzero(row)} for row in photos.labels]
    assert found == [written.labels[name] for name in expected]
    assert photos.images[0].size == (120, 90)
    common = {word for word, yes in zip(photos.vocabulary, photos.common) if yes}
    assert "explore" in common and "dog" in common and "möwe" not in common and "café" in photos.vocabulary
    assert len(photos.split.query) == 6 and len(photos.split.train) == len(photos.split.database) == 33


def test_common_vocabulary_and_24_labels(tree):
    folder, written = tree
    photos, _ = read(folder, replace(WSHRCA, queries=6, train=20, labels=24))
    assert photos.label_names == tuple(MIR_CONCEPTS) and photos.common.all()
    assert len(photos.split.train) == 20
    common = set(photos.vocabulary)
    expected = {name: tags & common for name, tags in written.tags.items() if tags & common}
    assert dict(zip(photos.names, tag_sets(photos))) == expected
    without, _ = read(folder, replace(SMALL, labelled=True))
    assert "im6.jpg" not in without.names
    with pytest.raises(ValueError, match="24 labels, or 38"):
        read(folder, replace(SMALL, labels=25))


def test_second_reading_is_equal_and_comes_from_the_cache(tree, monkeypatch):
    folder, _ = tree
    first, _ = read(folder)
    monkeypatch.setattr(mirflickr, "_parse", lambda *_: pytest.fail("parsed again"))
    second, _ = read(folder)
    assert first.key == second.key and first.names == second.names


def test_a_changed_file_is_read_again(tree):
    folder, _ = tree
    first, _ = read(folder)
    (folder / "mirflickr/meta/tags/tags1.txt").write_text("new\n")
    second, _ = read(folder)
    assert tag_sets(second)[0] == {"new"} and first.key != second.key
    (folder / "mirflickr/im1.jpg").write_bytes((folder / "mirflickr/im2.jpg").read_bytes())
    assert read(folder)[0].key != second.key


@pytest.mark.parametrize("times", [1, 2])
def test_faults_are_named_every_time_and_left_out(tree, times):
    folder, written = tree
    break_mirflickr(folder)
    for _ in range(times):
        photos, complaints = read(folder)
    expected = [name for name in written.tags if name not in ("im3.jpg", "im7.jpg", "im9.jpg", "im11.jpg")]
    assert list(photos.names) == expected
    assert tag_sets(photos)[expected.index("im5.jpg")] == {"explore", "möwe"}
    said = "\n".join(complaints)
    for part in (
        "not UTF-8, read as Latin-1 (1): tags5.txt line 2",
        "photos without a file of tags (1): tags11.txt",
        "listed and not there (1): im7.jpg",
        "cannot be read (1): im9.jpg",
        "dog.txt: lines that are no number of a photo, left out (1): line",
        "photos that do not exist (1): 99999",
        "files of no known concept, not used (1): dog_r2.txt",
    ):
        assert part in said, part
    assert len(complaints) == 7


def test_strict_makes_faults_and_wrong_counts_errors(tree):
    folder, _ = tree
    with pytest.raises(FolderError, match=r"has 25,000 photos \(1\): found 40"):
        read_mirflickr(folder, SMALL, complaints=Complaints(strict=True))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("mirflickr/doc/common_tags.txt", "common_tags.txt cannot be read"),
        ("mirflickr25k_annotations_v080/sea_r1.txt", "sea_r1.txt cannot be read"),
    ],
)
def test_what_cannot_be_done_without_is_always_an_error(tree, gone, message):
    folder, _ = tree
    (folder / gone).unlink()
    with pytest.raises(FolderError, match=message):
        read(folder)


def test_wrong_folders_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FolderError, match="not a folder"):
        read_mirflickr(tmp_path / "nowhere")
    with pytest.raises(FolderError, match="holds no mirflickr: .*ctrh data mirflickr"):
        read_mirflickr(tmp_path)
    monkeypatch.delenv("CTRH_DATA", raising=False)
    with pytest.raises(FolderError, match="--data DIR"):
        load_photos("mirflickr")


def test_too_few_photos_for_the_protocol(tree):
    with pytest.raises(FolderError, match="'article' cannot take 2000 queries"):
        read(tree[0], ARTICLE)


def test_no_photo_is_left(tree):
    folder, _ = tree
    for path in (folder / "mirflickr").glob("im*.jpg"):
        path.unlink()
    with pytest.raises(FolderError, match=r"no photo is left \(40 listed, .*: complete"):
        read(folder)
    for path in (folder / "mirflickr/meta/tags").iterdir():
        path.write_bytes(b"")
    with pytest.raises(FolderError, match=r"no photo is left \(40 listed, .*: complete"):
        read(folder)


def test_one_sign_in_place_of_many_photos(tree):
    folder, _ = tree
    sign = (folder / "mirflickr/im20.jpg").read_bytes()
    for number in range(20, 32):
        (folder / f"mirflickr/im{number}.jpg").write_bytes(sign)
    photos, complaints = read(folder)
    assert "one and the same picture" in complaints[0] and "(12)" in complaints[0]
    assert not {f"im{number}.jpg" for number in range(20, 32)} & set(photos.names)


def test_registered_by_name_with_a_shared_split(tree, monkeypatch):
    folder, _ = tree
    monkeypatch.setenv("CTRH_DATA", str(folder))
    with pytest.warns(FolderWarning):
        drawn = load_photos("mirflickr", queries=6)
    other, _ = read(folder, replace(SMALL, train=10), seed=5)
    write_split(folder / "splits" / "mirflickr.json", other, "seed 5")
    with pytest.warns(FolderWarning):
        shared = load_photos("mirflickr", queries=6)
    assert np.array_equal(shared.split.query, other.split.query) and len(shared.split.train) == 10
    assert not np.array_equal(shared.split.query, drawn.split.query)
    assert load_photos("mirflickr", queries=6, labels=24).label_names == tuple(MIR_CONCEPTS)
    with pytest.raises(ValueError, match="no protocol is called 'mine': choose one of article, wshrca"):
        load_photos("mirflickr", protocol="mine")


def test_the_cross_modal_protocol_takes_24_labels_and_common_tags(tree):
    folder, written = tree
    photos, _ = read(folder, replace(CROSS_MODAL, queries=6, train=8))
    assert photos.label_names == tuple(sorted(MIR_CONCEPTS)) and photos.common.all()
    assert photos.labels.any(axis=1).all() and all(tag_sets(photos)) and len(photos) < len(written.tags)
    assert (len(photos.split.query), len(photos.split.train)) == (6, 8)
