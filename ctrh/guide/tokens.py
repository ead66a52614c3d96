"""Texts as CLIP's text encoders read them, without PyTorch, which open_clip's own tokenizer imports."""

from __future__ import annotations

import gzip
import html
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice, pairwise
from pathlib import Path

import ftfy
import numpy as np
import regex

TEMPLATE = "A photo of a {}"
MERGES = 48_894  # of CLIP's vocabulary, the most frequent ones first
SPECIAL = 512 + 2  # tokens that are no merge: every byte, inside and at the end of a word, and the two of a text
END = "</w>"  # of the last piece of a word
WORDS = regex.compile(
    r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


def fill(template: str, text: str) -> str:
    """``text`` at the ``{}`` of ``template``; ``ValueError`` when there is not exactly one."""
    before, mark, after = template.partition("{}")
    if not mark or "{}" in after:
        raise ValueError(f"the template needs exactly one {{}}, got {template!r}")
    return before + text + after


class Tokenizer:
    """CLIP's byte-pair encoding with its ``merges`` most frequent merges, for a text encoder that reads ``context`` tokens.

    Sennrich, Haddow and Birch 2016; the merges are those of the file that comes with open_clip.
    """

    def __init__(self, merges: int = MERGES, context: int = 77) -> None:
        package = Path(find_spec("open_clip").submodule_search_locations[0])
        with gzip.open(package / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8") as file:
            pairs = [tuple(line.split()) for line in islice(file, 1, merges + 1)]
        # Every byte is a letter: printable ones are themselves, the others follow from 256 on.
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in printable]
        self.letters = {byte: chr(byte) for byte in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
        letters = list(self.letters.values())
        pieces = [*letters, *(letter + END for letter in letters), *map("".join, pairs)]
        self.encoder = {piece: i for i, piece in enumerate([*pieces, "<start_of_text>", "<end_of_text>"])}
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.vocab_size, self.context = len(self.encoder), context

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(B, context) int64, with zeros behind; of a longer text the end is left out."""
        rows = np.zeros((len(texts), self.context), dtype=np.int64)
        for row, text in zip(rows, texts):
            tokens = self.encode(text)[: self.context - 2]
            row[: len(tokens) + 2] = [self.vocab_size - 2, *tokens, self.vocab_size - 1]
        return rows

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, however many."""
        clean = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()
        return [self.encoder[piece] for word in WORDS.findall(clean) for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if word in self.encoder and word.startswith("<"):
            return [word]
        letters = [self.letters[byte] for byte in word.encode("utf-8")]
        parts = [*letters[:-1], letters[-1] + END]
        while pairs := [pair for pair in pairwise(parts) if pair in self.ranks]:
            first, second = min(pairs, key=self.ranks.__getitem__)
            merged, i = [], 0
            while i < len(parts):
                both = parts[i : i + 2] == [first, second]
                merged.append(first + second if both else parts[i])
                i += 2 if both else 1
            parts = merged
        return parts
