"""MS COCO's layout: sentences, objects, both years, what is missing, damaged or out of place."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from flickr_fixtures import picture

from ctrh.data.coco import CLASSES, CROSS_MODAL, _words, coco, read_coco
from ctrh.data.registry import load_photos
from ctrh.data.tables import FolderError, FolderWarning
from ctrh.guide.finetune import captions

SMALL = replace(CROSS_MODAL, queries=3, train=5, photos=None)
NAMES = ["person", "dog", "traffic light", "cat", *(f"thing {number}" for number in range(CLASSES - 4))]
# Classes have gaps in their numbers, as in the official files.
NUMBERS = {name: 2 * place + 1 for place, name in enumerate(NAMES)}
PLAIN = {"info": {"year": 2017}, "licenses": [{"id": 1}]}


def write_coco(folder, year="2017", photos=14):
    """``photos`` in two parts; number 20 has no object, 30 no sentence, 40 a crowd. Returns what was written."""
    written = {}
    for part, numbers in (
        ("train", range(10, 10 * photos - 30, 10)),
        ("val", range(10 * photos - 30, 10 * photos + 10, 10)),
    ):
        prefix = f"COCO_{part}{year}_" if year == "2014" else ""
        images, sentences, objects = [], [], []
        for number in reversed(numbers):
            name = f"{prefix}{number:012d}.jpg"
            picture(folder / f"{part}{year}" / name, number, {number}, size=(40, 30))
            images.append({"id": number, "file_name": name, "width": 40, "height": 30, "license": 1})
            labels = [] if number == 20 else [NAMES[number // 10 % 4], "thing 1"]
            texts = (
                []
                if number == 30
                else [f"A {labels[0] if labels else 'wall'}  on the Grass.\n", "Two of them, 7 pm"]
            )
            # The later sentence stands first in the file.
            sentences += [
                {"id": 1000 * number + k, "image_id": number, "caption": text}
                for k, text in reversed(list(enumerate(texts)))
            ]
            objects += [
                {"id": 100 * number + k, "image_id": number, "category_id": NUMBERS[label], "iscrowd": int(number == 40), "area": 9.5, "bbox": [1, 2, 3, 4],
                 "segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]}
                for k, label in enumerate([*labels, *labels])
            ]  # fmt: skip
            written[f"{part}{year}/{name}"] = (set(labels), texts)
        categories = [{"id": NUMBERS[name], "name": name, "supercategory": "all"} for name in NAMES]
        write(folder, f"captions_{part}{year}", {**PLAIN, "images": images, "annotations": sentences})
        write(
            folder,
            f"instances_{part}{year}",
            {**PLAIN, "images": images, "annotations": objects, "categories": categories},
        )
    return written


def path_of(folder, name):
    return folder / "annotations" / f"{name}.json"


def write(folder, name, content):
    path_of(folder, name).parent.mkdir(parents=True, exist_ok=True)
    path_of(folder, name).write_text(json.dumps(content))


def change(folder, name, edit):
    content = json.loads(path_of(folder, name).read_text())
    edit(content)
    write(folder, name, content)


@pytest.fixture
def folder(tmp_path):
    write_coco(tmp_path)
    return tmp_path


@pytest.mark.parametrize("year", ["2017", "2014"])
def test_photos_are_what_was_written(tmp_path, year):
    written = write_coco(tmp_path, year)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photos = read_coco(tmp_path, SMALL)
    kept = sorted(name for name, (labels, texts) in written.items() if labels and texts)
    assert list(photos.names) == kept and len(kept) == len(written) - 2
    assert photos.label_names == tuple(sorted(NAMES)) and photos.labels.shape == (len(kept), 80)
    for row, name in enumerate(photos.names):
        labels, texts = written[name]
        assert {photos.label_names[c] for c in photos.labels[row].nonzero()[0]} == labels
        assert photos.texts[row] == " ".join(" ".join(texts).split())
        words = {photos.vocabulary[c] for c in photos.tags[[row]].indices}
        assert words == {word for text in texts for word in _words(text)}
    assert photos.images[0].size == (40, 30) and photos.name == "coco"
    split = photos.split
    assert (len(split.query), len(split.train), len(split.database)) == (3, 5, len(kept) - 3)


def test_words_leave_grammar_and_numbers_out():
    assert _words("A man, who is 7 feet tall, and his café-dog's x") == ["man", "feet", "tall", "café", "dog"]


def test_the_first_sentence_alone(folder):
    photos = read_coco(folder, SMALL, sentences="first")
    assert all(text.endswith("on the Grass.") and text.startswith("A ") for text in photos.texts)
    with pytest.raises(ValueError, match="sentences must be one of all, first"):
        read_coco(folder, SMALL, sentences="longest")


def test_sentences_are_what_a_guide_is_tuned_with(folder):
    photos = read_coco(folder, SMALL)
    rows, texts = captions(photos, np.array([4, 1]))
    assert rows.tolist() == [4, 1] and texts == [photos.texts[4], photos.texts[1]]
    silent = replace(photos, texts=("", *photos.texts[1:]))
    assert captions(silent, np.array([0, 1]))[0].tolist() == [1]
    assert silent.key != photos.key
    with pytest.raises(ValueError, match="texts has shape"):
        replace(photos, texts=photos.texts[1:])


def test_photos_without_objects_stay_where_the_protocol_lets_them(folder):
    photos = read_coco(folder, replace(SMALL, labelled=False))
    row = photos.names.index("train2017/000000000020.jpg")
    assert not photos.labels[row].any() and photos.texts[row].startswith("A wall")


def test_missing_and_damaged_pictures_are_left_out_and_named(folder):
    (folder / "train2017" / "000000000010.jpg").unlink()
    (folder / "val2017" / "000000000110.jpg").write_bytes(b"no picture")
    with pytest.warns(FolderWarning) as told:
        photos = read_coco(folder, SMALL)
    assert not {"train2017/000000000010.jpg", "val2017/000000000110.jpg"} & set(photos.names)
    messages = "\n".join(str(each.message) for each in told)
    assert "train2017/000000000010.jpg" in messages and "val2017/000000000110.jpg" in messages
    assert photos.texts[photos.names.index("train2017/000000000040.jpg")].startswith("A person")
    with pytest.raises(FolderError, match="000000000010.jpg"):
        read_coco(folder, SMALL, strict=True)


def test_annotations_of_unknown_photos_are_named(folder):
    change(
        folder,
        "captions_train2017",
        lambda c: c["annotations"].append({"id": 1, "image_id": 999, "caption": "x"}),
    )
    change(
        folder, "instances_val2017", lambda c: c["annotations"].append({"image_id": 998, "category_id": 1})
    )
    with pytest.warns(FolderWarning) as told:
        read_coco(folder, SMALL)
    messages = "\n".join(str(each.message) for each in told)
    assert "999" in messages and "998" in messages


def test_fewer_classes_than_official_are_told(folder):
    for part in ("train", "val"):
        change(folder, f"instances_{part}2017", lambda c: c["categories"].pop())
    with pytest.warns(FolderWarning, match=r"has 80 classes .*found 79"):
        read_coco(folder, SMALL)


def no_names(content):
    for each in content["images"]:
        del each["file_name"]


def leads_out(content):
    content["images"][0]["file_name"] = "../secret.jpg"


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("captions_train2017", lambda c: c.pop("annotations"), "no proper list 'annotations'"),
        ("captions_val2017", no_names, "no proper list 'images'"),
        ("captions_val2017", leads_out, "leads out of its folder"),
        ("instances_train2017", lambda c: c["annotations"].append({"id": 3}), "no proper list 'annotations'"),
        ("instances_train2017", lambda c: c["annotations"].append({"category_id": 3}), "damaged"),
        (
            "instances_val2017",
            lambda c: c["annotations"][0].update(category_id=7_000),
            "damaged|without a name",
        ),
    ],
)
def test_damaged_annotations_are_refused_by_name(folder, name, edit, message):
    change(folder, name, edit)
    with pytest.raises(FolderError, match=message) as refused:
        read_coco(folder, SMALL)
    assert "annotations" in str(refused.value)


def test_missing_files_are_refused_with_the_remedy(folder):
    path_of(folder, "instances_val2017").write_text("{")
    with pytest.raises(FolderError, match="instances_val2017.json is damaged.*get train2017.zip"):
        read_coco(folder, SMALL)
    path_of(folder, "instances_val2017").unlink()
    with pytest.raises(FolderError, match="instances_val2017.json cannot be read.*get train2017.zip"):
        read_coco(folder, SMALL)
    path_of(folder, "captions_train2017").unlink()
    with pytest.raises(FolderError, match=r"no captions_train2017.json \(nor one of 2014\)"):
        read_coco(folder, SMALL)
    with pytest.raises(FolderError, match="holds no annotations"):
        read_coco(folder / "train2017", SMALL)


def test_too_few_photos_for_the_protocol(folder):
    with (
        pytest.raises(FolderError, match="cannot take 5000 queries"),
        pytest.warns(FolderWarning, match="122,218"),
    ):
        read_coco(folder)


def test_it_is_a_data_set_by_name(folder, monkeypatch):
    monkeypatch.setenv("CTRH_DATA", str(folder))
    with pytest.warns(FolderWarning, match="122,218"):
        found = load_photos("coco", queries=2, train=4)
        again = coco(queries=2, train=4)
    assert found.name == "coco" and len(found.split.query) == 2 and again.key == found.key


def test_a_second_reading_parses_nothing(folder, monkeypatch):
    first = read_coco(folder, SMALL)
    monkeypatch.setattr("ctrh.data.coco._read_json", lambda *_, **__: pytest.fail("parsed again"))
    again = read_coco(folder, SMALL)
    assert again.key == first.key and again.texts == first.texts
