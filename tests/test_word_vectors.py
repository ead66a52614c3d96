"""Word vectors: trained on tags, or out of a file in word2vec's format; found whole, in parts, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from gensim.models import KeyedVectors

from ctrh.data.vocabulary import tag_matrix
from ctrh.guide import word_vectors as module
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.refine import RefineConfig
from ctrh.guide.word_vectors import (
    SentenceVectors,
    StoredVectors,
    TrainedVectors,
    spellings,
    tag_lists,
    word_vectors,
)
from ctrh.paper import tasks
from ctrh.paper.profiles import DataConfig, GuideConfig
from ctrh.paper.tasks import InputConfig, TagConfig, hashing_task

CONFIG = TrainedVectors(width=12, epochs=3)
WORDS = ("dog", "New York", "red-car", "photo booth", "sunset", "qwzx", "nasa")


@pytest.fixture
def photos(tiny_photos):
    """Words come in two groups that never meet; "qwzx" is on no training photo."""
    generator = np.random.default_rng(0)
    groups = WORDS[:3], WORDS[3:5] + WORDS[6:]
    lists = [list(generator.choice(groups[i % 2], 2, replace=False)) for i in range(20)]
    queries = set(tiny_photos.split.query)
    lists = [[*tags, "qwzx"] if i in queries else tags for i, tags in enumerate(lists)]
    return replace(
        tiny_photos, tags=tag_matrix(lists, WORDS), vocabulary=WORDS, common=np.ones(7, bool), truth=None
    )


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A file of five words in word2vec's binary format."""
    vectors = KeyedVectors(4)
    words = ["dog", "New_York", "car", "photo", "NASA"]
    vectors.add_vectors(words, np.arange(20, dtype=np.float32).reshape(5, 4) + 1)
    path = tmp_path / "vectors.bin"
    vectors.save_word2vec_format(path, binary=True)
    monkeypatch.setenv("CTRH_WORD2VEC", str(tmp_path))
    return StoredVectors("vectors.bin")


def test_tags_of_training_photos_have_vectors_and_their_mean_is_taken_off(photos):
    found = word_vectors(photos, CONFIG)
    assert found.vectors.shape == (7, 12) and found.vectors.dtype == np.float32
    assert found.found.tolist() == ["whole"] * 5 + ["missing", "whole"]
    assert not found.vectors[5].any()
    np.testing.assert_allclose(found.vectors[found.known].mean(axis=0), 0, atol=1e-6)


def test_words_of_the_same_photos_come_to_be_near(photos):
    vectors = word_vectors(photos, replace(CONFIG, epochs=200)).vectors
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosine = unit @ unit.T
    first, second = [0, 1, 2], [3, 4, 6]
    assert cosine[np.ix_(first, first)].min() > cosine[np.ix_(first, second)].max()


def test_trained_once_and_again_for_other_tags_or_settings(photos, monkeypatch):
    trainings = []
    train = module._trained
    monkeypatch.setattr(module, "_trained", lambda *given: trainings.append(given) or train(*given))
    first = word_vectors(photos, CONFIG)
    np.testing.assert_array_equal(word_vectors(photos, CONFIG).vectors, first.vectors)
    assert len(trainings) == 1
    word_vectors(photos, replace(CONFIG, seed=1))
    word_vectors(photos.with_tags(photos.tags[::-1]), CONFIG)
    assert len(trainings) == 3


@pytest.mark.slow
def test_no_hash_seed_changes_a_vector(tmp_path):
    code = (
        "import hashlib; from ctrh.guide.word_vectors import _trained, TrainedVectors; "
        "words = [f'w{i}' for i in range(30)]; "
        "lists = [[words[(i * j) % 30] for j in range(1, 6)] for i in range(40)]; "
        "rows = _trained(lists, words, TrainedVectors(width=12, epochs=2)); "
        "print(hashlib.sha256(rows['vectors'].tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_stored_words_are_found_whole_or_in_parts(photos, stored):
    found = word_vectors(photos, stored)
    assert dict(zip(WORDS, found.found.tolist(), strict=True)) == {
        "dog": "whole",
        "New York": "whole",
        "red-car": "parts",
        "photo booth": "parts",
        "sunset": "missing",
        "qwzx": "missing",
        "nasa": "whole",
    }
    assert found.summary() == {"whole": 3, "parts": 2, "missing": 2}
    expected = [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
        [13, 14, 15, 16],
        [0] * 4,
        [0] * 4,
        [17, 18, 19, 20],
    ]
    np.testing.assert_array_equal(found.vectors, expected)


def test_they_are_looked_for_among_other_weights_too(photos, stored, tmp_path, monkeypatch):
    monkeypatch.delenv("CTRH_WORD2VEC")
    monkeypatch.setenv("CTRH_WEIGHTS", str(tmp_path))
    assert stored.find() == tmp_path / "vectors.bin"


def test_parts_are_averaged(photos, stored):
    both = replace(photos, vocabulary=("dog car", *WORDS[1:]))
    np.testing.assert_array_equal(word_vectors(both, stored).vectors[0], [5, 6, 7, 8])


def test_spellings():
    assert list(spellings("new york")) == ["new york", "new_york", "New_York", "NEW_YORK"]


def test_a_missing_or_broken_file_is_named_with_the_remedy(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_WORD2VEC", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"GoogleNews.*--weights DIR, or set CTRH_WORD2VEC"):
        word_vectors(photos, StoredVectors())
    monkeypatch.setenv("CTRH_WORD2VEC", str(tmp_path / "broken.bin"))
    for content in (b"", b"not vectors", b"3 4\ndog \x00\x00"):
        (tmp_path / "broken.bin").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.bin is not a whole file"):
            word_vectors(photos, StoredVectors())


def test_tag_lists_are_the_rows():
    tags = sp.csr_array([[1, 0, 1], [0, 0, 0]], dtype=bool)
    assert tag_lists(tags, ("a", "b", "c")) == [["a", "c"], []]


def test_a_problem_has_no_tag_without_a_vector(photos, stored, monkeypatch):
    photos = replace(photos, labels=np.ones((20, 1), dtype=bool), label_names=("thing",))
    monkeypatch.setattr(tasks, "photos_of", lambda data: photos)
    monkeypatch.setattr(tasks, "guide_of", lambda config: pytest.fail("no guide is needed"))
    monkeypatch.setattr(tasks, "_backbone", lambda inputs: None)
    monkeypatch.setattr(tasks, "backbone_features", lambda images, backbone: np.ones((20, 3), np.float32))
    hashing_task.cache_clear()
    tags = TagConfig("user", GuideConfig(), FinetuneConfig(), RefineConfig(), stored)
    task = hashing_task(DataConfig("tiny"), InputConfig("small-alexnet", GuideConfig()), tags)
    hashing_task.cache_clear()
    known = word_vectors(photos, stored).known
    np.testing.assert_array_equal(task.tags.toarray(), photos.tags.toarray() * known)
    np.testing.assert_array_equal(task.text, word_vectors(photos, stored).vectors)


def test_sentence_vectors_come_from_the_package_once(tiny_photos, tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path))
    asked = []

    class Encoder:
        def encode(self, words, **options):
            asked.append((len(words), options["normalize_embeddings"]))
            return np.eye(len(words), 4, dtype=np.float32)

    package = SimpleNamespace(load_model=lambda device: Encoder())
    monkeypatch.setitem(sys.modules, "a_package", package)
    for _ in range(2):
        found = word_vectors(tiny_photos, SentenceVectors("a-package"))
    assert asked == [(len(tiny_photos.vocabulary), True)] and found.known.all()
    np.testing.assert_array_equal(found.vectors, np.eye(len(tiny_photos.vocabulary), 4))
    with pytest.raises(ModuleNotFoundError, match="pip install no-such-package"):
        word_vectors(tiny_photos, SentenceVectors("no-such-package"))
