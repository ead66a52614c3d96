"""The reader of NUS-WIDE, on a small tree of its layout, beside what the tree was written from."""

import shutil
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from flickr_fixtures import NUS_CONCEPTS, break_nuswide, write_nuswide

from ctrh.data import nuswide
from ctrh.data.nuswide import ARTICLE, CROSS_MODAL, PROTOCOLS, WSHRCA, read_nuswide
from ctrh.data.protocol import choose
from ctrh.data.registry import load_photos
from ctrh.data.tables import Complaints, FolderError, FolderWarning

SMALL = replace(ARTICLE, queries=6, train=20, photos=None)


def read(folder, protocol=SMALL, **options):
    """The photos and the complaints, those about the sizes of the official data left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos, _ = read_nuswide(folder, protocol, **options)
    return photos, [str(each.message) for each in caught if "NUS-WIDE has" not in str(each.message)]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuswide")
    return folder, write_nuswide(folder)


@pytest.fixture
def tree(tmp_path, original):
    """A copy that a test may break, and what it was written from."""
    folder, written = original
    return shutil.copytree(folder, tmp_path / "nuswide"), written


def by_name(photos, matrix, columns):
    rows = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return {name: {columns[c] for c in np.flatnonzero(row)} for name, row in zip(photos.names, rows)}


def most_frequent(written, count):
    """Counted by hand; of equally frequent ones the first by name."""
    counts = Counter(label for labels in written.labels.values() for label in labels)
    return sorted(sorted(NUS_CONCEPTS, key=lambda name: (-counts[name], name))[:count])


def test_there_are_81_concepts():
    assert len(set(NUS_CONCEPTS)) == 81


def test_21_concepts_in_the_article_s_protocol(tree):
    folder, written = tree
    chosen = choose(PROTOCOLS, "article", queries=6, train=10, labels=21)
    photos, complaints = read(folder, chosen)
    assert complaints == [] and list(photos.label_names) == most_frequent(written, 21)
    assert choose(PROTOCOLS, "article", labels=10) == PROTOCOLS["article"]  # which knows its number of photos


def test_article_protocol(tree):
    folder, written = tree
    photos, complaints = read(folder)
    assert complaints == []
    top = most_frequent(written, 10)
    vocabulary = {
        *NUS_CONCEPTS,
        *"explore nikon 2008 geotagged aplusphoto dsc0012 blueribbonwinner möwe 花 nyc".split(),
    }
    common = {*NUS_CONCEPTS[:30], "explore", "nikon"}
    expected = {
        name: tags & vocabulary
        for name, tags in written.tags.items()
        if tags & common and written.labels[name] & set(top)
    }
    assert list(photos.label_names) == top
    assert by_name(photos, photos.tags, photos.vocabulary) == expected
    assert list(photos.names) == [name for name in written.tags if name in expected]
    labels = by_name(photos, photos.labels, photos.label_names)
    assert labels == {name: written.labels[name] & set(top) for name in expected}
    assert {word for word, yes in zip(photos.vocabulary, photos.common) if yes} == common
    assert (len(photos.split.query), len(photos.split.train)) == (6, 20)


def test_photos_listed_twice_keep_their_own_lines(tree):
    folder, written = tree
    photos, _ = read(folder)
    names = [name for name in photos.names if "_2124494108" in name]
    assert len(names) == 2
    tags = by_name(photos, photos.tags, photos.vocabulary)
    assert [tags[name] for name in names] == [written.tags[name] & set(photos.vocabulary) for name in names]


def test_wshrca_protocol(tree):
    folder, written = tree
    photos, _ = read(folder, replace(WSHRCA, queries=6, train=30))
    assert list(photos.label_names) == most_frequent(written, 21)
    assert any(written.tags[name] == {"geotagged"} for name in photos.names)
    with pytest.raises(ValueError, match="has 81 concepts here, not 82"):
        read(folder, replace(SMALL, labels=82))


def test_faults_are_named_and_left_out(tree):
    folder, _ = tree
    whole, _ = read(folder)
    gone = sorted(
        path.relative_to(folder / "Flickr").as_posix() for path in (folder / "Flickr").rglob("*.jpg")
    )[:2]
    break_nuswide(folder)
    for _ in range(2):
        photos, complaints = read(folder)
    assert set(whole.names) - set(photos.names) == set(gone) & set(whole.names)
    said = "\n".join(complaints)
    assert "All_Tags.txt: lines that are not UTF-8, read as Latin-1 (1): line 11" in said
    assert "All_Tags.txt: blank lines (1): line 2" in said
    assert "lines of photos that Imagelist.txt does not list (1): 99" in said
    assert f"listed and not there (1): {gone[0]}" in said
    assert f"cannot be read (1): {gone[1]}: not a picture" in said
    tenth = [name for name in photos.names if "/0010_" in name]
    assert all(by_name(photos, photos.tags, photos.vocabulary)[name] == {"explore", "möwe"} for name in tenth)


@pytest.mark.filterwarnings("ignore:.*NUS-WIDE has")
def test_wrong_counts_are_told_and_strict_refuses(tree):
    folder, _ = tree
    with pytest.warns(FolderWarning, match="should leave: 181,365"):
        read_nuswide(folder, replace(SMALL, photos=181_365))
    with pytest.raises(FolderError, match=r"has 269,648 lines here \(1\): found 48"):
        read_nuswide(folder, SMALL, complaints=Complaints(strict=True))


def test_labels_never_slip_to_other_photos(tree):
    folder, _ = tree
    path = folder / "Groundtruth" / "AllLabels" / "Labels_sky.txt"
    values = path.read_text().split()
    path.write_text("\n".join(values[:-1]))
    with pytest.raises(FolderError, match="Labels_sky.txt has 47 lines, Imagelist.txt lists 48"):
        read(folder)
    path.write_text("\n".join([*values[:5], "-1130179", *values[6:]]))
    with pytest.raises(FolderError, match="Labels_sky.txt: entry 6 is '-1130179'"):
        read(folder)
    path.write_text("\n".join([*values[:5], "10", *values[6:]]))
    with pytest.raises(FolderError, match="entry 6 is '10'"):
        read(folder)


def test_names_that_lead_out_are_refused(tree):
    folder, _ = tree
    path = folder / "ImageList" / "Imagelist.txt"
    path.write_bytes(path.read_bytes().replace(b"airport\\", b"..\\..\\", 1))
    with pytest.raises(FolderError, match="is no name such as actor"):
        read(folder)


def test_what_is_absent_is_listed(tree):
    folder, _ = tree
    (folder / "NUS_WID_Tags" / "All_Tags.txt").unlink()
    (folder / "Groundtruth" / "AllLabels" / "Labels_zebra.txt").unlink()
    with pytest.raises(
        FolderError, match=r"lacks .*All_Tags.txt, .*Labels_zebra.txt: python -m ctrh data nuswide"
    ):
        read(folder)


def test_second_reading_comes_from_the_cache(tree, monkeypatch):
    folder, _ = tree
    first, _ = read(folder)
    monkeypatch.setattr(nuswide, "_Parser", lambda *_: pytest.fail("parsed again"))
    assert read(folder)[0].key == first.key


def test_registered_by_name(tree, monkeypatch):
    monkeypatch.setenv("CTRH_DATA", str(tree[0].parent))
    with pytest.warns(FolderWarning):
        photos = load_photos("nuswide", queries=6, train=20)
    assert photos.name == "nuswide" and len(photos.split.train) == 20


def test_the_cross_modal_protocol_takes_21_concepts_and_common_tags(tree):
    folder, _ = tree
    photos, _ = read(folder, replace(CROSS_MODAL, queries=6, train=8))
    assert len(photos.label_names) == 21 and photos.common.all()
    assert photos.labels.any(axis=1).all() and (photos.tags.sum(axis=1) > 0).all()
