"""Searching by words in a second: what `export` has made of the guide's text encoder and CTRH's tag side, without PyTorch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ctrh.app.model_folder import WORDS, read_photos
from ctrh.app.queries import Chance, text_results
from ctrh.guide.tokens import TEMPLATE, Tokenizer, fill
from ctrh.retrieval.codes import unpack

CODES_AT_ONCE = 8192


@dataclass(frozen=True)
class WordSearch:
    """``session``: tokens (1, L) int64 and codes (N, K) float32 -> scores (N,); ``codes``: (N, K) bool, of the photos
    ``names`` in ``folder``."""

    session: onnxruntime.InferenceSession
    tokenizer: Tokenizer
    codes: np.ndarray
    names: tuple[str, ...]
    chance: Chance
    folder: Path

    def search_text(self, text: str, k: int = 10) -> list[tuple[str, float, bool]]:
        """As :meth:`ctrh.app.photo_search.PhotoSearch.search_text`."""
        found = zip(*text_results(text, self.text_scores, self.chance, k), strict=True)
        return [(self.names[row], float(score), bool(chance)) for row, score, chance in found]

    def text_scores(self, phrases: Sequence[str]) -> np.ndarray:
        """(P, N): cos(v, r) of each phrase and photo."""
        sentences = [fill(TEMPLATE, phrase) for phrase in phrases]
        if any(len(self.tokenizer.encode(each)) > self.tokenizer.context - 2 for each in sentences):
            warnings.warn("the text is longer than the guide reads: its end makes no difference", stacklevel=2)
        distinct, inverse = np.unique(self.codes, axis=0, return_inverse=True)
        scores = [self.scores(self.tokenizer([each]), distinct) for each in sentences]
        return np.stack(scores)[:, inverse.reshape(-1)]

    def scores(self, tokens: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """cos(v, r): (1, L) int64 and (N, K) bool -> (N,) float32."""
        parts = [codes[i : i + CODES_AT_ONCE].astype(np.float32) for i in range(0, len(codes), CODES_AT_ONCE)]
        return np.concatenate([self.session.run(None, {"tokens": tokens, "codes": part})[0] for part in parts])


def load_words(path: Path, config: Mapping[str, Any]) -> WordSearch:
    """Reads a model's folder, whose ``config`` :func:`ctrh.app.model_folder.read_config` has read."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # for one text, others would only wait
    session = onnxruntime.InferenceSession(path / WORDS, options, providers=["CPUExecutionProvider"])
    about, parts = read_photos(path, config)
    reads = json.loads(session.get_modelmeta().custom_metadata_map["tokenizer"])
    names, folder = tuple(about["photos"]), Path(about["folder"])
    codes = unpack(parts["codes"], about["bits"])
    return WordSearch(session, Tokenizer(**reads), codes, names, Chance.of(about, parts), folder)
