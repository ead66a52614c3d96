"""The explorer's data: who asks and what is found, with small pictures and tags, for the page's script.

Photos that ask come out of finished runs, words out of :func:`save_text_queries`. Both are a table with a row for
each photo found: ``dataset``, ``query`` (a photo's index, or the words), ``method``, ``bits``, ``rank`` from 1,
``photo`` (its index), ``distance``, ``relevant``, ``ap`` (the query's, in [0, 1], NaN where it is not known).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.data.photos import Photos
from ctrh.paper.comparisons import nearest, queries_at
from ctrh.paper.outputs import results_dir, save_rows
from ctrh.paper.profiles import DataConfig, Profile
from ctrh.paper.report.pictures import thumbnail
from ctrh.paper.report.results import TEXT_QUERIES
from ctrh.paper.runs import RunResult, make_run, stored
from ctrh.paper.tasks import photos_of, tags_of
from ctrh.store import cache_dir

COLUMNS = ["dataset", "query", "method", "bits", "rank", "photo", "distance", "relevant", "ap"]
QUERIES, FOUND = 7, 10
ASKING_SIDE, FOUND_SIDE = 96, 48  # pixels
JUDGE = "CTRH"


class Explorer(NamedTuple):
    """``data``: an entry a data set for the page's script; ``absent``: (data set, why it is not there)."""

    data: list[dict]
    absent: list[tuple[str, str]]
    training_seconds: float


def explorer(profile: Profile) -> Explorer:
    """What can be explored with what has been computed; nothing is trained for it."""
    texts, wanted = read_text_queries(profile.name), []
    # Naming a run takes its photos' features: hours for large data, so not where no run can be there.
    if any((cache_dir() / "runs").glob("*.npz")):
        wanted = list(product(profile.methods, profile.bits))
    data, absent, seconds = [], [], 0.0
    for settings in profile.datasets:
        name = settings.data.name
        words = texts[texts["dataset"] == name]
        try:
            results = stored(make_run(profile, name, *which, profile.seeds[0]) for which in wanted)
            if results or len(words):
                data.append(_entry(profile, settings.data, results, words))
            else:
                absent.append((name, "no finished run in the cache: the notebooks compute them"))
            seconds += sum(result.fit_seconds for result in results)
        except (ValueError, OSError) as error:  # data that are not on this machine
            absent.append((name, str(error)))
    return Explorer(data, absent, seconds)


def _entry(profile: Profile, data: DataConfig, results: Sequence[RunResult], words: pd.DataFrame) -> dict:
    kinds, asking, photos, rows = [], set(), photos_of(data), set(words["photo"])
    if results:
        judge = max(results, key=lambda result: (result.run.method == JUDGE, result.run.bits))
        queries = chosen_queries(judge)
        rule = (
            f"{len(queries)} query photos at equal steps from the worst to the best average precision of "
            f"{judge.run.method} at {judge.run.bits} bits: hard and easy ones alike."
        )
        found = photo_queries(results, queries)
        kinds.append(kind("photo", found, rule))
        asking = set(found["query"])
        rows |= asking | set(found["photo"])
    if len(words):
        rule = "Words in place of a photo: their code is compared with the photos' codes."
        kinds.append(kind("text", words, rule))
    rows, config = sorted(rows), make_run(profile, data.name, JUDGE, profile.bits[0], profile.seeds[0]).tags
    refined = tags_of(photos, data, config, np.asarray(rows))
    return {"name": data.name, "kinds": kinds, **pictured(photos, refined, rows, asking)}


def chosen_queries(judge: RunResult, count: int = QUERIES) -> list[int]:
    """``count`` queries (positions among them) at equal steps from the worst AP by ``judge`` to the best; each once."""
    return list(dict.fromkeys(queries_at(judge.scores, np.linspace(0, 1, count))))


def photo_queries(results: Sequence[RunResult], queries: Sequence[int], found: int = FOUND) -> pd.DataFrame:
    """What some ``queries`` (positions among them) find in each of ``results``."""
    frames = []
    for result in results:
        run, rows = result.run, nearest(result, queries, found)
        precision = dict(zip(run.task.split.query[result.scores.asked], result.scores.ap_all))
        about = {"dataset": run.data.name, "method": run.method, "bits": run.bits}
        frames.append(rows.assign(**about, ap=rows["query"].map(precision))[COLUMNS])
    return pd.concat(frames, ignore_index=True)


def save_text_queries(rows: pd.DataFrame, profile: str) -> Path:
    """Writes queries of words (``rows`` as the module says, ``ap`` optional) among the results; the page's next build
    shows them. Raises ``ValueError`` for a missing column and ranks other than 1, 2, ..."""
    return save_rows(_checked(rows, "these rows"), TEXT_QUERIES, profile)


def read_text_queries(profile: str) -> pd.DataFrame:
    """The rows that :func:`save_text_queries` left, if any. ``ValueError`` for another file."""
    path = results_dir(profile) / f"{TEXT_QUERIES}.csv"
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    return _checked(pd.read_csv(path, dtype={"query": str}, keep_default_na=False, na_values=[""]), str(path))


def _checked(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    rows = rows if "ap" in rows else rows.assign(ap=np.nan)
    if missing := [column for column in COLUMNS if column not in rows]:
        raise ValueError(f"{what} lack {', '.join(missing)}")
    rankings = rows.groupby(["dataset", "query", "method", "bits"], sort=False)["rank"]
    if not (rows["rank"] == rankings.cumcount() + 1).all():
        raise ValueError(f"{what}: ranks must be 1, 2, ... for each data set, query, method and length")
    return rows[COLUMNS].astype({"relevant": bool})


def kind(name: str, rows: pd.DataFrame, rule: str) -> dict:
    """Queries of one kind ("photo" or "text") and one data set: ``rankings["<method>|<bits>"]`` has for each of
    ``queries`` what it found, or None where it was not asked there."""
    queries = rows["query"].unique().tolist()
    rankings: dict[str, list] = {}
    for (method, bits, query), found in rows.groupby(["method", "bits", "query"], sort=False):
        ap = found["ap"].iloc[0]
        ranking = rankings.setdefault(f"{method}|{bits}", [None] * len(queries))
        ranking[queries.index(query)] = {
            "photos": found["photo"].tolist(),
            "distances": found["distance"].round(3).tolist(),
            "right": found["relevant"].astype(int).tolist(),
            "ap": None if pd.isna(ap) else round(float(ap), 4),
        }
    methods, bits = rows["method"].unique().tolist(), sorted(rows["bits"].unique().tolist())
    about = {"kind": name, "rule": rule, "queries": queries, "methods": methods, "bits": bits}
    return about | {"rankings": rankings}


def pictured(photos: Photos, refined: sp.csr_array, rows: Sequence[int], asking: set[int]) -> dict:
    """The photos ``rows`` by index, those that are ``asking`` larger, with tags before and after refinement as places
    in ``words``; ``true``: a photo's right tags, None where nobody knows. ``refined``: (N, C)."""
    before, after = photos.tags[rows].tolil().rows, refined[rows].tolil().rows  # columns of the vocabulary
    truth = None if photos.truth is None else photos.truth[rows].tolil().rows
    used = sorted({column for tags in (*before, *after) for column in tags})
    place = {column: i for i, column in enumerate(used)}
    pictures = {}
    for i, photo in enumerate(rows):
        true = None if truth is None else sorted({*before[i], *after[i]} & {*truth[i]})
        pictures[int(photo)] = {
            "image": thumbnail(photos.images[photo], ASKING_SIDE if photo in asking else FOUND_SIDE),
            "labels": [] if photos.labels is None else photos.labels[photo].nonzero()[0].tolist(),
            "before": [place[column] for column in before[i]],
            "after": [place[column] for column in after[i]],
            "true": None if true is None else [place[column] for column in true],
        }
    words = [photos.vocabulary[column] for column in used]
    return {"photos": pictures, "words": words, "labels": list(photos.label_names)}
