"""Words for photos without tags, with the probabilities that the network itself gives."""

import pytest
import torch
from conftest import failed
from PIL import Image

from ctrh.app.cli import main
from ctrh.data.folder import read_folder
from ctrh.guide.clip import load_guide


@pytest.fixture
def some_untagged(folder):
    rows = (folder / "tags.csv").read_text().splitlines()
    (folder / "tags.csv").write_text("\n".join(rows[:11]))
    return folder


def printed(capsys):
    lines = [line.split(": ") for line in capsys.readouterr().out.splitlines()]
    return {name: [word.rsplit(" ", 1) for word in words.split(", ")] if words else [] for name, words in lines}


def test_probabilities_are_those_of_the_network(some_untagged, weights, capsys, tmp_path):
    (tmp_path / "words.txt").write_text("Sea\nold house, dog\nsea\n")
    command = ["tag", str(some_untagged), "--pretrained", str(weights), "--words", str(tmp_path / "words.txt")]
    assert main([*command, "--out", str(tmp_path / "out.csv")]) == 0
    found = printed(capsys)
    assert list(found) == ["10.png", "11.png"]
    guide = load_guide("small", weights)
    words = ["sea", "old house", "dog"]
    for name, chosen in found.items():
        pixels = guide.preprocess(Image.open(some_untagged / "images" / name).convert("RGB"))[None]
        with torch.no_grad():
            image, text, scale = guide.model(pixels, guide.tokenizer([f"A photo of a {word}" for word in words]))
        expected = dict(zip(words, (scale * image @ text.T).softmax(dim=1)[0].tolist()))
        assert [word for word, _ in chosen] == sorted(words, key=lambda word: -expected[word])
        assert [float(share) for _, share in chosen] == pytest.approx(sorted(expected.values(), reverse=True), abs=0.006)
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[0] == "image,tags" and len(rows) == 3
    (some_untagged / "tags.csv").write_text("\n".join(rows))
    assert len(read_folder(some_untagged, least=1).vocabulary) == 3


def test_number_threshold_and_the_folders_own_words(some_untagged, weights, capsys):
    command = ["tag", str(some_untagged), "--pretrained", str(weights)]
    assert main([*command, "-k", "2"]) == 0
    found = printed(capsys)
    assert {len(chosen) for chosen in found.values()} == {2}
    assert {word for chosen in found.values() for word, _ in chosen} <= {"red", "green", "blue", "colour", "photo"}
    assert main([*command, "--all", "--threshold", "0.2"]) == 0
    everything = printed(capsys)
    assert len(everything) == 12 and all(float(share) >= 0.195 for row in everything.values() for _, share in row)
    assert main([*command, "--threshold", "1"]) == 0
    assert printed(capsys) == {"10.png": [], "11.png": []}


def test_nothing_to_choose_from_and_nothing_to_do(folder, weights, capsys, monkeypatch):
    assert main(["tag", str(folder), "--pretrained", str(weights)]) == 0
    assert "every photo in" in capsys.readouterr().err
    (folder / "tags.csv").unlink()
    assert "give --words FILE" in failed(capsys, main(["tag", str(folder), "--pretrained", str(weights)]))
    monkeypatch.setattr("ctrh.app.commands.tag.pyexiv2", None)
    assert "give --words FILE" in failed(capsys, main(["tag", str(folder), "--pretrained", str(weights)]))
