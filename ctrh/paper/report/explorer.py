"""The explorer's data: what :mod:`ctrh.paper.report.queries` says was found, with small pictures and tags, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.data.photos import Photos
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.report.pictures import thumbnail
from ctrh.paper.report.queries import chosen_queries, photo_queries, read_text_queries
from ctrh.paper.runs import make_run, stored
from ctrh.paper.tasks import photos_of, tags_of
from ctrh.store import cache_dir

# Pixels: photos that ask are shown larger than those that are found.
ASKING, FOUND = 112, 64
JUDGE = "CTRH"


@dataclass(frozen=True)
class Explorer:
    """``data``: for the page's script, one entry a data set; ``absent``: (data set, why it is not there);
    ``training_seconds``: what the runs behind it took.
    """

    data: list[dict]
    absent: tuple[tuple[str, str], ...]
    training_seconds: float


def explorer(profile: Profile) -> Explorer:
    """What can be explored with what has been computed; nothing is trained for it."""
    words = read_text_queries(profile.name)
    data, absent, seconds = [], [], 0.0
    for settings in profile.datasets:
        name = settings.data.name
        try:
            entry, spent = _of_dataset(profile, settings, words[words["dataset"] == name])
        except (ValueError, OSError) as error:  # data that are not on this machine
            absent.append((name, str(error)))
            continue
        seconds += spent
        if entry:
            data.append(entry)
        else:
            absent.append((name, "no finished run in the cache: the notebooks compute them"))
    return Explorer(data, tuple(absent), seconds)


def _of_dataset(
    profile: Profile, settings: DatasetSettings, words: pd.DataFrame
) -> tuple[dict | None, float]:
    name, seed = settings.data.name, profile.seeds[0]
    # Naming a run takes its photos' features: hours for large data, so not where no run can be there.
    any_run = any((cache_dir() / "runs").glob("*.npz"))
    wanted = [(method, bits) for method in profile.methods for bits in profile.bits] if any_run else []
    results = stored(make_run(profile, name, method, bits, seed) for method, bits in wanted)
    kinds = []
    if results:
        judge = max(results, key=lambda result: (result.run.method == JUDGE, result.run.bits)).run
        queries = chosen_queries(next(result for result in results if result.run is judge))
        rule = (
            f"{len(queries)} query photos at equal steps from the worst to the best average precision of "
            f"{judge.method} at {judge.bits} bits: hard and easy ones alike."
        )
        kinds.append(kind("photo", photo_queries(results, queries), rule))
    if len(words):
        kinds.append(
            kind("text", words, "Words in place of a photo: their code is compared with the photos' codes.")
        )
    if not kinds:
        return None, 0.0
    photos = photos_of(settings.data)
    config = make_run(profile, name, JUDGE, profile.bits[0], seed).tags
    refined = tags_of(photos, settings.data, config, np.asarray(spoken_of(kinds)))
    stands_for = settings.article if settings.article != name else ""
    about = {"name": name, "standsFor": stands_for, "kinds": kinds}
    return {**about, **pictured(photos, refined, kinds)}, sum(result.fit_seconds for result in results)


def kind(name: str, rows: pd.DataFrame, rule: str) -> dict:
    """Rows of one kind of query ("photo" or "text") and one data set, for the page's script.

    ``rankings["<method>|<bits>"]`` has an entry for each of ``queries``: ``photos``, ``distances``, ``right`` (1 or 0)
    and ``ap``, or None where this query was not asked there.
    """
    queries = list(dict.fromkeys(rows["query"]))
    place = {query: number for number, query in enumerate(queries)}
    rankings: dict[str, list] = {}
    for (method, bits, query), part in rows.groupby(["method", "bits", "query"], sort=False):
        ap = part["ap"].iloc[0]
        rankings.setdefault(f"{method}|{bits}", [None] * len(queries))[place[query]] = {
            "photos": part["photo"].tolist(),
            "distances": np.round(part["distance"], 3).tolist(),
            "right": part["relevant"].astype(int).tolist(),
            "ap": None if pd.isna(ap) else round(float(ap), 4),
        }
    return {
        "kind": name,
        "rule": rule,
        "queries": queries,
        "methods": list(dict.fromkeys(rows["method"])),
        "bits": sorted(set(rows["bits"].tolist())),
        "rankings": rankings,
    }


def asking_photos(kinds: Sequence[dict]) -> set[int]:
    """The photos among the queries of ``kinds``."""
    return {photo for each in kinds if each["kind"] == "photo" for photo in each["queries"]}


def spoken_of(kinds: Sequence[dict]) -> list[int]:
    """The photos that ask or are found in ``kinds``, ascending."""
    lists = (one for each in kinds for many in each["rankings"].values() for one in many if one)
    return sorted(asking_photos(kinds) | {photo for one in lists for photo in one["photos"]})


def pictured(photos: Photos, refined: sp.csr_array, kinds: Sequence[dict]) -> dict:
    """The photos that ``kinds`` speak of, each once, by index: picture, labels, tags before and after refinement.

    refined: (N, C). Tags are places in ``words``, labels in ``labels``; ``true``: those of a photo's tags that are
    right, None where nobody knows.
    """
    asking = asking_photos(kinds)
    used: dict[int, int] = {}  # column of the vocabulary -> place in ``words``

    def listed(tags: sp.csr_array, photo: int) -> list[int]:
        return [used.setdefault(int(column), len(used)) for column in np.sort(tags[[photo]].indices)]

    pictures = {}
    for photo in spoken_of(kinds):
        before, after = listed(photos.tags, photo), listed(refined, photo)
        true = None
        if photos.truth is not None:
            right = set(photos.truth[[photo]].indices.tolist())
            columns = {place: column for column, place in used.items()}
            true = sorted(place for place in {*before, *after} if columns[place] in right)
        labels = [] if photos.labels is None else photos.labels[photo].nonzero()[0]
        pictures[int(photo)] = {
            "image": thumbnail(photos.images[photo], ASKING if photo in asking else FOUND),
            "labels": [int(label) for label in labels],
            "before": before,
            "after": after,
            "true": true,
        }
    words = [photos.vocabulary[column] for column in used]
    return {"photos": pictures, "words": words, "labels": list(photos.label_names)}
