"""Beyond the article: CTRH+ is CTRH on calibrated tags (:mod:`ctrh.guide.calibrate`), beside its parts and its rivals."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from ctrh.guide.features import image_features
from ctrh.guide.quality import tag_quality
from ctrh.guide.refine import direct_scores
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, make_run
from ctrh.paper.tables import over_seeds
from ctrh.paper.tasks import calibration_of, guide_of, photos_of, tags_of
from ctrh.paper.teachers import at_rate

PLUS = "CTRH+"
# Label -> the tags that teach CTRH; the first three are on the curves over noise.
TAUGHT = {
    "user tags": "user",
    "CTRH": "replaced",
    PLUS: "calibrated",
    "probable words": "probable",
    "users' probable words": "users' probable",
}
CURVE = ("user tags", "CTRH", PLUS)
RIVALS = ("MGRN", "WSHRCA")
DEPTHS = (10, 50, 200, 1000)


def beyond_runs(profile: Profile) -> list[Run]:
    """CTRH on all variants of ``TAUGHT``, and ``RIVALS``, on all data sets, lengths and seeds."""
    runs = []
    for settings, bits, seed in product(profile.datasets, profile.bits, profile.seeds):
        where = settings.data.name, bits, seed
        runs += [_taught(profile, *where, label) for label in TAUGHT]
        runs += [make_run(profile, where[0], rival, bits, seed) for rival in RIVALS if rival in profile.methods]
    return runs


def noise_runs(profile: Profile) -> list[Run]:
    """``CURVE`` at every rate of noise, with the zero-shot guide, on the scenes among the data sets."""
    rates = product(_drawn(profile), profile.study.noise_rates, CURVE, profile.seeds)
    bits = profile.study.bits
    return [_taught(at_rate(profile, name, rate), name, bits, seed, label) for name, rate, label, seed in rates]


def _taught(profile: Profile, dataset: str, bits: int, seed: int, label: str) -> Run:
    return make_run(profile, dataset, "CTRH", bits, seed, TAUGHT[label], label=label)


def _drawn(profile: Profile) -> list[str]:
    return [settings.data.name for settings in profile.datasets if photos_of(settings.data).truth is not None]


def quality_rows(profile: Profile) -> pd.DataFrame:
    """The training photos' tags of ``TAUGHT``: how many a photo, and in percent how many are right and found where that is
    known."""
    rows = []
    for settings in profile.datasets:
        photos = photos_of(settings.data)
        train = photos.split.train
        for label in TAUGHT:
            run = _taught(profile, photos.name, profile.study.bits, profile.seeds[0], label)
            tags = tags_of(photos, run.data, run.tags)[train]
            row = {"dataset": photos.name, "tags": label, "a photo": tags.nnz / len(train)}
            if photos.truth is not None:
                quality = tag_quality(tags, photos.truth[train])
                row |= {"precision": 100 * quality.precision_micro, "recall": 100 * quality.recall_micro}
            rows.append(row)
    return pd.DataFrame(rows)


def word_rows(profile: Profile, dataset: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Every word: ``shift`` d'_c, who sees it, how many ``mentions``; and in numbers how far the guide is trusted."""
    run = _taught(profile, dataset, profile.study.bits, profile.seeds[0], PLUS)
    photos = photos_of(run.data)
    train = photos.split.train
    began = time.perf_counter()
    found = calibration_of(photos, run.data, run.tags, train)
    seconds = time.perf_counter() - began
    rows = pd.DataFrame({"word": photos.vocabulary, "mentions": photos.tags[train].sum(axis=0), "shift": found.shift})
    rows = rows.assign(by_guide=found.by_guide, by_neighbours=found.by_neighbours)
    about = {"words": len(rows), "seen": int(found.by_guide.sum()), "by neighbours": int(found.by_neighbours.sum())}
    return rows, {**about, "trust": found.trust, "reliability": found.reliability, "seconds": seconds}


def calibration_rows(profile: Profile, dataset: str) -> pd.DataFrame:
    """Of the training photos' words that are given a probability of each tenth: their mean probability and the share that is
    true, and how many they are. For photos whose truth is known."""
    run = _taught(profile, dataset, profile.study.bits, profile.seeds[0], PLUS)
    photos = photos_of(run.data)
    train = photos.split.train
    given = calibration_of(photos, run.data, run.tags, train).probability
    pairs = given.nonzero()
    p, true = given.toarray()[pairs], photos.truth[train].toarray()[pairs]
    rows = pd.DataFrame({"bin": np.digitize(p, np.linspace(0.1, 0.9, 9)), "probability": p, "true": true})
    rows = rows.groupby("bin").agg(probability=("probability", "mean"), true=("true", "mean"), words=("true", "size"))
    return rows.assign(dataset=dataset).reset_index(drop=True)


def noise_rows(results: Sequence[RunResult]) -> pd.DataFrame:
    """mAP@all of :func:`noise_runs` by rate, in percent."""
    frames = [result.rows().assign(rate=1.0 if result.run.data.noise is None else result.run.data.noise) for result in results]
    rows = pd.concat(frames)
    return over_seeds(rows[rows["metric"] == "map_all"], ["label", "dataset", "rate", "bits", "metric"])


def reranked_rows(profile: Profile, result: RunResult, depths: Sequence[int] = DEPTHS) -> pd.DataFrame:
    """``result``'s Hamming shortlists of each of ``depths``, put in order by the cosine of the guide's class tokens: mean
    precision of the first ten, in percent, and milliseconds a query. Depth 0: by Hamming distance alone."""
    photos = photos_of(result.run.data)
    queries, database = photos.relevant()
    tokens = image_features(guide_of(profile.guide), photos.images).class_token
    asked, stored = tokens[photos.split.query], tokens[photos.split.database]
    cosine = direct_scores(asked, stored)
    distance = (result.query_codes[:, None] != result.database_codes[None]).sum(axis=2)
    relevant, rows = (queries.astype(int) @ database.T.astype(int)) > 0, []
    for depth in (0, *depths):
        began = time.perf_counter()
        order = np.argsort(distance, axis=1, kind="stable")[:, : max(depth, 10)]
        if depth:
            nearest = np.take_along_axis(cosine, order, axis=1)
            order = np.take_along_axis(order, np.argsort(-nearest, axis=1, kind="stable"), axis=1)
        seconds = time.perf_counter() - began
        hits = np.take_along_axis(relevant, order[:, :10], axis=1).mean()
        rows.append({"dataset": photos.name, "shortlist": depth, "P@10": 100 * hits, "ms": 1000 * seconds / len(asked)})
    return pd.DataFrame(rows)
