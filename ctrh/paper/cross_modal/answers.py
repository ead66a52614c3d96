"""What is found: photos for single words, texts for photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ctrh.data.photos import Photos
from ctrh.paper.comparisons import queries_at
from ctrh.paper.cross_modal.runs import METHODS, CrossResult
from ctrh.paper.tasks import photos_of
from ctrh.retrieval.codes import pack
from ctrh.retrieval.metrics import Scores, evaluate
from ctrh.retrieval.search import HammingIndex


def asking_words(photos: Photos) -> list[str]:
    """The labels that are also words of the vocabulary: a photo is right for a word when it has the label."""
    known = set(photos.vocabulary)
    return [name for name in photos.label_names if name in known]


def word_answers(result: CrossResult, words: Sequence[str], count: int = 10) -> tuple[pd.DataFrame, Scores]:
    """Each of ``words`` (labels, see :func:`asking_words`) asks for photos of the database, and how well it fares.

    Rows as the report's explorer wants them (:mod:`ctrh.paper.report.explorer`): ``dataset``, ``query``, ``method``,
    ``bits``, ``rank`` from 1, ``photo`` (index in the data set), ``distance``, ``relevant``, ``ap``.
    """
    run, pairs, photos = result.run, result.run.task, photos_of(result.run.data.data)
    codes = METHODS[run.method](run, pairs).of_words(words)
    database = pairs.split.database
    asked = np.eye(len(photos.label_names), dtype=bool)[[photos.label_names.index(word) for word in words]]
    scores = evaluate(
        codes, result.codes["image"][database], asked, pairs.labels[database], ks=run.ks, ns=(count,)
    )
    distances, rows = _nearest(codes, result.codes["image"][database], count)
    lines, ranks = np.indices(rows.shape)
    found = database[rows]
    frame = pd.DataFrame(
        {
            "dataset": run.data.name,
            "query": np.asarray(words, dtype=object)[lines].ravel(),
            "method": run.label or run.method,
            "bits": run.bits,
            "rank": ranks.ravel() + 1,
            "photo": pairs.photos[found].ravel(),
            "distance": distances.ravel(),
            "relevant": (asked[:, None] & pairs.labels[found]).any(axis=2).ravel(),
            "ap": scores.ap_all[lines].ravel(),
        }
    )
    return frame, scores


def word_table(results: Sequence[CrossResult], words: Sequence[str]) -> pd.DataFrame:
    """How well single words find photos, in the mean over ``words``: one row a result, mAP in percent."""
    rows = []
    for result in results:
        scores = word_answers(result, words)[1]
        about = {"dataset": result.run.data.name, "method": result.run.label or result.run.method}
        values = {"map_all": scores.map_all, **{f"map_{k}": value for k, value in scores.map_at.items()}}
        rows += [
            {**about, "bits": result.run.bits, "seed": result.run.seed, "metric": name, "value": 100 * value}
            for name, value in values.items()
        ]
    return pd.DataFrame(rows)


def text_answers(result: CrossResult, shares: Sequence[float], count: int = 5) -> pd.DataFrame:
    """The texts nearest to some query photos: those at ``shares`` of the way from the worst AP to the best.

    Rows: ``query`` and ``photo`` (whose text it is), indices in the data set, ``rank`` from 1, ``distance``,
    ``relevant``, ``text``: its words, or its caption where somebody wrote one.
    """
    pairs, photos = result.run.task, photos_of(result.run.data.data)
    chosen = pairs.split.query[queries_at(result.scores["i2t"], shares)]
    database = pairs.split.database
    distances, rows = _nearest(result.codes["image"][chosen], result.codes["text"][database], count)
    lines, ranks = np.indices(rows.shape)
    found = database[rows]
    return pd.DataFrame(
        {
            "query": pairs.photos[chosen][lines].ravel(),
            "rank": ranks.ravel() + 1,
            "photo": pairs.photos[found].ravel(),
            "distance": distances.ravel(),
            "relevant": (pairs.labels[chosen][:, None] & pairs.labels[found]).any(axis=2).ravel(),
            "text": [written(photos, photo) for photo in pairs.photos[found].ravel()],
        }
    )


def written(photos: Photos, index: int) -> str:
    """What is written to a photo: its caption, or its tags in the order of the vocabulary."""
    if photos.texts is not None:
        return photos.texts[index]
    return ", ".join(photos.vocabulary[word] for word in np.sort(photos.tags[[index]].indices))


def _nearest(queries: np.ndarray, database: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows of the ``count`` nearest, of equal distance the earlier: (Q, K), (M, K) bool -> (Q, count)."""
    return HammingIndex(pack(database), database.shape[1]).search(pack(queries), count)
