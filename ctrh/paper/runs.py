"""Runs: one method on one data set, named by all it depends on; finished ones are read back, missing ones computed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ctrh.methods.deep import DeepHasher
from ctrh.methods.registry import METHODS, estimator
from ctrh.paper.grid import FOLDER, AnyRun, alone, compute_missing, read
from ctrh.paper.keys import code_key, versions
from ctrh.paper.profiles import DataConfig, DatasetSettings, Profile
from ctrh.paper.tasks import HashingTask, InputConfig, TagConfig, hashing_task
from ctrh.retrieval.codes import code_statistics, pack, unpack
from ctrh.retrieval.metrics import OURS, Convention, Scores, evaluate
from ctrh.store import cache_dir, content_key, intact, stored_path
from ctrh.training import TrainingDiverged

# What scores the codes of every run.
SCORING = ("ctrh.retrieval.codes", "ctrh.retrieval.metrics")


@dataclass(frozen=True)
class Run:
    """One training and its evaluation. ``label`` names it in rows (a variant of an ablation), and is not content.

    ``settings``: the method's configuration. It and ``tags`` are None for methods that use neither; ``top``: the k of mAP@k.
    ``convention``: of the scores.
    """

    profile: str
    data: DataConfig
    method: str
    bits: int
    seed: int
    inputs: InputConfig
    tags: TagConfig | None
    settings: Any
    top: int
    label: str = ""
    convention: Convention = OURS

    @property
    def task(self) -> HashingTask:
        return hashing_task(self.data, self.inputs, self.tags)

    @property
    def key(self) -> str:
        """Names the result: the run, its data and weights by content, the code and the libraries."""
        code = code_key(METHODS[self.method].__module__, *SCORING)
        same = {} if METHODS[self.method].binary else {"bits": 0, "seed": 0}  # vectors have neither
        return content_key(replace(self, label="", **same), self.task.key, code, versions())

    def __str__(self) -> str:
        tags = f" on {self.tags.variant} tags" if self.tags else ""
        return f"{self.label or self.method}{tags}, {self.data.name}, {self.bits} bits, seed {self.seed}"

    def compute(self, task: HashingTask) -> dict[str, np.ndarray]:
        """What is stored of it."""
        split = task.split
        began = time.perf_counter()
        encode, history = learn(self, task)
        fitted = time.perf_counter()
        # In one go: random codes of queries and database must not be the same draws.
        codes = encode(task.inputs(np.concatenate([split.query, split.database])))
        encoded = time.perf_counter()
        query, database = codes[: len(split.query)], codes[len(split.query) :]
        relevance = task.labels[split.query], task.labels[split.database]
        scores = evaluate(query, database, *relevance, ks=(self.top,), convention=self.convention, threads=1)
        return {
            **({"query_codes": pack(query), "database_codes": pack(database)} if query.dtype == bool else {}),
            **named("score", vars(scores)),
            **named("history", history),
            "fit_seconds": np.float64(fitted - began),
            "encode_seconds": np.float64(encoded - fitted),
            "about": np.asarray(json.dumps({"run": asdict(self), "versions": versions()})),
        }

    def result(self, key: str, arrays: Mapping[str, np.ndarray]) -> RunResult:
        """What :meth:`compute` has left."""
        kinds = ("query_codes", "database_codes")
        codes = {kind: unpack(arrays[kind], self.bits) if kind in arrays else None for kind in kinds}
        return RunResult(
            run=self,
            key=key,
            **codes,
            scores=Scores(**part("score", arrays)),
            history=pd.DataFrame(part("history", arrays)),
            fit_seconds=float(arrays["fit_seconds"]),
            encode_seconds=float(arrays["encode_seconds"]),
        )


def named(prefix: str, columns: Mapping[str, Any] | pd.DataFrame) -> dict[str, np.ndarray]:
    """``columns`` as arrays called "prefix.column", to be stored."""
    return {
        f"{prefix}.{name}": np.asarray(column.tolist() if isinstance(column, pd.Series) else column)
        for name, column in columns.items()
    }


def part(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What :func:`named` has stored under ``prefix``."""
    start = prefix + "."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


# What encodes inputs to (N, K) bool.
Encode = Callable[[np.ndarray], np.ndarray]


def learn(run: Run, task: HashingTask) -> tuple[Encode, pd.DataFrame]:
    """What the run's method has learned from the task's training photos, and its records."""
    if not issubclass(METHODS[run.method], DeepHasher):
        features = task.inputs(task.split.train)
        return estimator(run.method, run.bits, run.seed).fit(features).transform, pd.DataFrame()
    hasher, history = _trained(run, task)
    return hasher.encode, history


def _trained(run: Run, task: HashingTask) -> tuple[DeepHasher, pd.DataFrame]:
    hasher = METHODS[run.method](run.settings, task.backbone)
    rows = task.split.train
    folder = cache_dir() / "checkpoints"
    return hasher, hasher.fit(task.inputs(rows), task.tags[rows], task.text, folder)


def default_settings(method: str, profile: Profile, dataset: DatasetSettings) -> Any:
    """The configuration of a method that learns from tags, with the budget of ``profile``."""
    train = profile.train_of(method, dataset.data.name)
    attention = {"heads": profile.heads, "ffn_ratio": profile.ffn_ratio}
    return METHODS[method].default_config(train, dataset.losses, **attention)


def make_run(
    profile: Profile,
    dataset: str,
    method: str,
    bits: int,
    seed: int = 0,
    tags: str | None = None,
    settings: Any = None,
    label: str = "",
) -> Run:
    """The run that ``profile`` prescribes. ``settings``: of the method, in place of the profile's; ``bits``
    and ``seed`` are put into them. ``tags``: a variant in place of that which the method needs
    (:class:`ctrh.methods.method.Method`); one that needs the guide's class tokens alone sees none.
    """
    if method not in METHODS:
        raise ValueError(f"no method is called {method!r}: choose one of {', '.join(METHODS)}")
    chosen = profile.dataset(dataset)
    common = {"profile": profile.name, "data": chosen.data, "method": method, "bits": bits, "seed": seed}
    common |= {"top": profile.top, "label": label, "convention": profile.convention}
    needs = METHODS[method].needs
    if not issubclass(METHODS[method], DeepHasher):
        inputs = InputConfig("guide" if needs == "features" else needs, profile.guide)
        return Run(**common, inputs=inputs, tags=None, settings=None)
    settings = settings or default_settings(method, profile, chosen)
    words = profile.words if needs == "words" else None
    refine = replace(chosen.refine, alpha=0.0) if needs == "concepts" else chosen.refine
    variant = tags or {"words": "user", "guide": "replaced"}.get(needs, needs)
    return Run(
        **common,
        inputs=InputConfig(profile.backbone, profile.guide, profile.end_to_end),
        tags=TagConfig(variant, profile.guide, profile.finetune, refine, words),
        settings=replace(settings, bits=bits, train=replace(settings.train, seed=seed)),
    )


@dataclass(frozen=True)
class RunResult:
    """What a run left: codes of queries (Q, K) and database (M, K), bool (None of a method that gives none), scores,
    records per epoch, seconds."""

    run: Run
    key: str
    query_codes: np.ndarray | None
    database_codes: np.ndarray | None
    scores: Scores
    history: pd.DataFrame
    fit_seconds: float
    encode_seconds: float

    def rows(self) -> pd.DataFrame:
        """One row a metric; mAP in percent, ``encode_ms`` per image. ``note`` says when codes have collapsed; ``ap``:
        the (Q,) percents whose mean a mAP is, None for other metrics."""
        health = None if self.database_codes is None else code_statistics(self.database_codes)
        images = len(self.scores.relevant) + self.scores.curve_ranks[-1]
        ap = average_precisions(self.scores)
        metrics = {name: 100 * values.mean() for name, values in ap.items()}
        if health:
            metrics |= {"unique_codes": health.unique, "constant_bits": health.constant_bits}
            metrics |= {"bit_correlation": health.mean_correlation}
        metrics |= {
            "fit_seconds": self.fit_seconds,
            "encode_ms": 1000 * self.encode_seconds / images,
        }
        run = self.run
        about = {
            "profile": run.profile,
            "dataset": run.data.name,
            "method": run.method,
            "tags": run.tags.variant if run.tags else "",
            "label": run.label or run.method,
            "bits": run.bits,
            "seed": run.seed,
        }
        rows = [
            {**about, "metric": name, "value": value, "ap": 100 * ap[name] if name in ap else None}
            for name, value in metrics.items()
        ]
        return pd.DataFrame(rows).assign(note="collapsed" if health and health.collapsed else "", run=self.key)


def average_precisions(scores: Scores) -> dict[str, np.ndarray]:
    """ "map_all" and "map_k" -> (Q,) in [0, 1], of which they are the means."""
    return {"map_all": scores.ap_all, **{f"map_{k}": ap for k, ap in zip(scores.ks, scores.ap_at)}}


def run_grid(runs: Iterable[Run], jobs: int | None = None) -> pd.DataFrame:
    """The rows of all ``runs``, in their order; see :func:`results`."""
    return pd.concat([result.rows() for result in results(runs, jobs)], ignore_index=True)


def results(runs: Iterable[AnyRun], jobs: int | None = None) -> list[Any]:
    """The :class:`RunResult` (or what else ``run.result`` gives) of finished runs and, computed, of the missing ones,
    as :func:`compute_missing` does.

    Raises the first :class:`TrainingDiverged`, once all other runs are finished.
    """
    found = attempts(runs, jobs)
    for result in found:
        if isinstance(result, TrainingDiverged):
            raise result
    return found


def attempts(runs: Iterable[AnyRun], jobs: int | None = None) -> list[Any]:
    """As :func:`results`, with the error in the place of a run that diverged."""
    keyed = [(run, run.key) for run in runs]
    compute_missing({key: run for run, key in keyed}, jobs)
    return [read(run, key) for run, key in keyed]


def stored(runs: Iterable[AnyRun]) -> list[Any]:
    """The results of those of ``runs`` that are finished; nothing is computed."""
    keyed = [(run, run.key) for run in runs]
    finished = [read(run, key) for run, key in keyed if intact(stored_path(FOLDER, key))]
    return [result for result in finished if not isinstance(result, TrainingDiverged)]


def trained(run: Run) -> DeepHasher:
    """The network behind a run on tags: out of its last checkpoint where that is left, else trained once more."""
    if not issubclass(METHODS[run.method], DeepHasher):
        raise ValueError(f"{run.method} trains no network")
    with alone():
        return _trained(run, run.task)[0]
