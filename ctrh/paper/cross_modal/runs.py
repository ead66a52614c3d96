"""Cross-modal runs: codes for photos and texts by one method, scored in both directions; computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from ctrh.data.vocabulary import tag_matrix
from ctrh.methods.cross_modal import CrossModalITQ, TagSide
from ctrh.methods.fjsph import FJSPH, FJSPHConfig
from ctrh.methods.random import RandomCodes
from ctrh.paper.cross_modal.pairs import FeatureConfig, Pairs, load_pairs, word_texts
from ctrh.paper.grid import compute_missing
from ctrh.paper.keys import code_key, versions
from ctrh.paper.profiles import CrossData
from ctrh.paper.runs import SCORING, Run, average_precisions, trained
from ctrh.paper.tasks import photos_of
from ctrh.retrieval.codes import code_statistics, pack, unpack
from ctrh.retrieval.metrics import Scores, evaluate
from ctrh.store import cache_dir, cached_arrays, content_key

# Who asks, and what is found.
DIRECTIONS = {"i2t": ("image", "text"), "t2i": ("text", "image")}
FOLDER = "cross-runs"
SOURCES = ("ctrh.methods.cross_modal", "ctrh.methods.fjsph", "ctrh.methods.random")


@dataclass(frozen=True)
class CrossRun:
    """``settings``: of FJSPH; ``ctrh``: the CTRH whose codes are used, with the ``reading`` of its tag side. ``label``
    names the run in rows and is not content.
    """

    data: CrossData
    method: str
    bits: int
    seed: int
    features: FeatureConfig
    ks: tuple[int, ...]
    settings: FJSPHConfig | None = None
    ctrh: Run | None = None
    reading: str = ""
    label: str = ""

    folder = FOLDER

    @property
    def task(self) -> Pairs:
        return load_pairs(self.data, self.features)

    @property
    def key(self) -> str:
        """Names the result: the run, its data by content, the code and the libraries."""
        taught = self.ctrh.key if self.ctrh else ""
        bare = replace(self, label="", ctrh=None)
        return content_key(bare, taught, self.task.key, code_key(*SOURCES, *SCORING), versions())

    def compute(self, pairs: Pairs) -> dict[str, np.ndarray]:
        """What is stored of it."""
        return _compute(self, pairs)

    def __str__(self) -> str:
        return f"{self.label or self.method}, {self.data.name}, {self.bits} bits, seed {self.seed}"


class Learned(NamedTuple):
    """What a method made of the training pairs: codes of all pairs, (Q+M, K) bool, its records, and ``of_words``: codes
    of single words as texts, (W, K) bool.
    """

    image: np.ndarray
    text: np.ndarray
    history: pd.DataFrame
    of_words: Callable[[Sequence[str]], np.ndarray]


def _random(run: CrossRun, pairs: Pairs) -> Learned:
    draw = RandomCodes(run.bits, run.seed).transform
    coins = draw(np.empty((2 * len(pairs.image), 0)))
    return Learned(*np.split(coins, 2), pd.DataFrame(), draw)


def _itq(run: CrossRun, pairs: Pairs) -> Learned:
    train = pairs.split.train
    hasher = CrossModalITQ(run.bits, run.seed).fit(pairs.image[train], pairs.text[train])
    return _on_features(run, pairs, hasher, pd.DataFrame())


def _fjsph(run: CrossRun, pairs: Pairs) -> Learned:
    train = pairs.split.train
    hasher = FJSPH(run.settings)
    folder = cache_dir() / "checkpoints"
    history = hasher.fit(pairs.image[train], pairs.text[train], pairs.labels[train], folder)
    return _on_features(run, pairs, hasher, history)


def _on_features(
    run: CrossRun, pairs: Pairs, hasher: FJSPH | CrossModalITQ, history: pd.DataFrame
) -> Learned:
    return Learned(
        hasher.encode(pairs.image),
        hasher.encode_text(pairs.text),
        history,
        lambda words: hasher.encode_text(word_texts(run.data, run.features, words)),
    )


def _ctrh(run: CrossRun, pairs: Pairs) -> Learned:
    hasher, task, photos = trained(run.ctrh), run.ctrh.task, photos_of(run.data.data)
    written = photos.tags  # what users wrote: CTRH's replaced tags have seen the photo
    taught = pairs.photos[pairs.split.train]
    side = TagSide(hasher, run.reading).fit(task.inputs(taught), written[taught])
    return Learned(
        hasher.encode(task.inputs(pairs.photos)),
        side.encode_text(written[pairs.photos]),
        pd.DataFrame(),
        lambda words: side.encode_text(tag_matrix([[word] for word in words], photos.vocabulary)),
    )


# Each learns from the training pairs.
METHODS: dict[str, Callable[[CrossRun, Pairs], Learned]] = {
    "random": _random,
    "ITQ": _itq,
    "CTRH": _ctrh,
    "FJSPH": _fjsph,
}


class View(NamedTuple):
    """One direction of a result, as :func:`ctrh.paper.comparisons.differences` takes results."""

    run: CrossRun
    scores: Scores


@dataclass(frozen=True)
class CrossResult:
    """``codes``: of "image" and "text", (Q+M, K) bool, queries first; ``scores`` by direction."""

    run: CrossRun
    codes: dict[str, np.ndarray]
    scores: dict[str, Scores]
    history: pd.DataFrame

    def view(self, direction: str) -> View:
        return View(self.run, self.scores[direction])

    def rows(self) -> pd.DataFrame:
        """One row a direction and metric, mAP in percent. ``note`` says when codes have collapsed."""
        run = self.run
        about = {
            "dataset": run.data.name,
            "method": run.label or run.method,
            "bits": run.bits,
            "seed": run.seed,
        }
        collapsed = any(code_statistics(codes).collapsed for codes in self.codes.values())
        rows = []
        for direction, scores in self.scores.items():
            rows += [
                {**about, "direction": direction, "metric": name, "value": 100 * ap.mean(), "ap": 100 * ap}
                for name, ap in average_precisions(scores).items()
            ]
        return pd.DataFrame(rows).assign(note="collapsed" if collapsed else "")

    def on_unseen(self) -> pd.DataFrame:
        """As ``rows``, mAP@all alone, over the part of the database whose labels no method was shown."""
        pairs, rows = self.run.task, self.rows()
        ap = {
            direction: average_precisions(scored(self.codes, pairs, pairs.unseen, direction, ()))["map_all"]
            for direction in DIRECTIONS
        }
        kept = rows[rows["metric"] == "map_all"].drop(columns="ap")
        kept = kept.assign(ap=kept["direction"].map(ap), metric="map_unseen")
        return kept.assign(value=100 * kept["ap"].map(np.mean), ap=100 * kept["ap"])


def scored(
    codes: dict[str, np.ndarray], pairs: Pairs, database: np.ndarray, direction: str, ks: tuple[int, ...]
) -> Scores:
    """The queries of one modality against the rows ``database`` of the other."""
    asks, found = DIRECTIONS[direction]
    query = pairs.split.query
    relevance = pairs.labels[query], pairs.labels[database]
    return evaluate(codes[asks][query], codes[found][database], *relevance, ks=ks, ns=(1,), threads=1)


def results(runs: Iterable[CrossRun], jobs: int | None = None) -> list[CrossResult]:
    """Reads back finished runs and computes the missing ones."""
    runs = list(runs)
    keys = [run.key for run in runs]
    compute_missing(dict(zip(keys, runs, strict=True)), jobs)
    return [_read(run, key) for run, key in zip(runs, keys, strict=True)]


def _compute(run: CrossRun, pairs: Pairs) -> dict[str, np.ndarray]:
    learned = METHODS[run.method](run, pairs)
    codes, history = {"image": learned.image, "text": learned.text}, learned.history
    scores = {
        f"{direction}.{name}": value
        for direction in DIRECTIONS
        for name, value in vars(scored(codes, pairs, pairs.split.database, direction, run.ks)).items()
    }
    records = {f"history.{name}": np.asarray(history[name].tolist()) for name in history}
    return {**{side: pack(each) for side, each in codes.items()}, **scores, **records}


def _read(run: CrossRun, key: str) -> CrossResult:
    arrays = cached_arrays(FOLDER, key, lambda: run.compute(run.task))

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

    return CrossResult(
        run=run,
        codes={side: unpack(arrays[side], run.bits) for side in ("image", "text")},
        scores={direction: Scores(**part(f"{direction}.")) for direction in DIRECTIONS},
        history=pd.DataFrame(part("history.")),
    )
