"""Cross-modal runs: codes for photos and texts by one method, scored in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.data.vocabulary import tag_matrix
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.methods.registry import CROSS_MODAL
from ctrh.paper.cross_modal.pairs import FeatureConfig, Pairs, load_pairs
from ctrh.paper.keys import code_key, versions
from ctrh.paper.profiles import CrossData
from ctrh.paper.runs import SCORING, Run, average_precisions, named, part, trained
from ctrh.paper.tasks import photos_of
from ctrh.retrieval.codes import pack, unpack
from ctrh.retrieval.metrics import OURS, Convention, Scores, evaluate
from ctrh.store import cache_dir, content_key

DIRECTIONS = {"i2t": ("image", "text"), "t2i": ("text", "image")}  # who asks, and what is found


@dataclass(frozen=True)
class CrossRun:
    """``label``: the name in rows, no content; ``ctrh``: whose codes are used, its tags by ``reading``."""

    data: CrossData
    method: str
    bits: int
    seed: int
    features: FeatureConfig
    ks: tuple[int, ...]
    label: str
    settings: FJSPHConfig | None = None
    ctrh: Run | None = None
    reading: str = ""
    convention: Convention = OURS

    @property
    def task(self) -> Pairs:
        return load_pairs(self.data, self.features)

    @property
    def key(self) -> str:
        """Names the result: the run, its data by content, the code and the libraries."""
        taught = self.ctrh.key if self.ctrh else ""
        code = code_key(CROSS_MODAL[self.method].__module__, *SCORING)
        return content_key(replace(self, label="", ctrh=None), taught, self.task.key, code, versions())

    def __str__(self) -> str:
        return f"{self.label}, {self.data.name}, {self.bits} bits, seed {self.seed}"

    def compute(self, pairs: Pairs) -> dict[str, np.ndarray]:
        """What is stored of it."""
        codes, history = learn(self, pairs)
        arrays = named("codes", {side: pack(codes[side]) for side in codes}) | named("history", history)
        for direction in DIRECTIONS:
            arrays |= named(direction, vars(scored(codes, pairs, direction, pairs.split.database, self.convention, self.ks)))
        return arrays

    def result(self, key: str, arrays: Mapping[str, np.ndarray]) -> CrossResult:
        """What :meth:`compute` has left."""
        codes = {side: unpack(packed, self.bits) for side, packed in part("codes", arrays).items()}
        scores = {direction: Scores(**part(direction, arrays)) for direction in DIRECTIONS}
        return CrossResult(self, codes, scores, pd.DataFrame(part("history", arrays)))


def learn(run: CrossRun, pairs: Pairs) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Codes for "image" and "text" of all pairs, (Q+M, K) bool, and the "words" that ask, (W, K); records."""
    method, train, history = CROSS_MODAL[run.method], pairs.split.train, pd.DataFrame()
    image, text, words = pairs.image, pairs.text, pairs.word_text
    if method.needs == "tags":
        task, photos = run.ctrh.task, photos_of(run.data.data)
        tags, taught = photos.tags, pairs.photos[train]  # what users wrote: replaced tags have seen the photo
        hasher = method(trained(run.ctrh), run.reading).fit(task.inputs(taught), tags[taught])
        image, text = task.inputs(pairs.photos), tags[pairs.photos]
        words = tag_matrix([[word] for word in pairs.words], photos.vocabulary)
    elif method.needs == "labels":
        hasher = method(run.settings)
        history = hasher.fit(image[train], text[train], pairs.labels[train], cache_dir() / "checkpoints")
    else:
        hasher = method(run.bits, run.seed).fit(image[train], text[train])
    # Some methods refuse to encode nothing.
    asking = hasher.encode_text(words) if words.shape[0] else np.empty((0, run.bits), dtype=bool)
    return {"image": hasher.encode(image), "text": hasher.encode_text(text), "words": asking}, history


def scored(codes: Mapping[str, np.ndarray], pairs: Pairs, direction: str, database: np.ndarray, convention: Convention, ks=()) -> Scores:
    """The queries of one modality against the rows ``database`` of the other."""
    (asks, found), query = DIRECTIONS[direction], pairs.split.query
    relevance = pairs.labels[query], pairs.labels[database]
    options = {"ks": ks, "ns": (1,), "convention": convention, "threads": 1}
    return evaluate(codes[asks][query], codes[found][database], *relevance, **options)


class View(NamedTuple):
    """One direction of a result, as comparisons and effects take results."""

    run: CrossRun
    scores: Scores
    query_codes: np.ndarray
    database_codes: np.ndarray


class CrossResult(NamedTuple):
    """``codes`` as of :func:`learn`, ``scores`` by direction, ``history``: records per epoch."""

    run: CrossRun
    codes: dict[str, np.ndarray]
    scores: dict[str, Scores]
    history: pd.DataFrame

    def view(self, direction: str) -> View:
        asks, found = DIRECTIONS[direction]
        split, scores = self.run.task.split, self.scores[direction]
        return View(self.run, scores, self.codes[asks][split.query], self.codes[found][split.database])

    def rows(self, unseen: bool = False) -> pd.DataFrame:
        """One row a direction and metric: ``value`` in percent, the mean of ``ap`` (Q,); with ``unseen`` mAP@all
        alone, "map_unseen", over the part of the database whose labels no method was shown."""
        run, pairs, rows = self.run, self.run.task, []
        about = {"dataset": run.data.name, "method": run.label, "bits": run.bits, "seed": run.seed}
        for direction, scores in self.scores.items():
            metrics = average_precisions(scores)
            if unseen:
                metrics = {"map_unseen": scored(self.codes, pairs, direction, pairs.unseen, run.convention).ap_all}
            for metric, ap in metrics.items():
                values = {"metric": metric, "value": 100 * ap.mean(), "ap": 100 * ap}
                rows.append({**about, "direction": direction, **values})
        return pd.DataFrame(rows)
