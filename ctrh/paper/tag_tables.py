"""Rows about tags: what the data sets are like, how good tags are before and after replacement, Figures 1-3."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.data.images import ArrayImages
from ctrh.data.photos import Images, Photos
from ctrh.data.scenes.compose import Mix, concept_matrix
from ctrh.data.scenes.gallery import DrawnImages, compose_all
from ctrh.data.scenes.world import CONCEPTS
from ctrh.data.statistics import tag_statistics
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.inferred import top_tags
from ctrh.guide.quality import TagQuality, r_precision, tag_quality
from ctrh.guide.refine import direct_scores, replaced_tags, scores_of, tags_to_keep
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.tasks import TagConfig, mixed_guide_of, photos_of, text_of
from ctrh.store import cached_arrays, content_key

# Of MIRFLICKR-25K (Huiskes and Lew, 2008); what its authors do not print is not here.
MIRFLICKR_PUBLISHED = {"photos": 25_000, "tags_per_photo": 8.94, "used_20": 1_386}
HELD_OUT_SEED = 1002  # of the scenes by which the small guide was judged while it learned from those of 1001
STATISTICS = {
    "photos": "photos",
    "untagged": "photos without a tag",
    "tags_per_photo": "tags a photo, mean",
    "median_tags": "tags a photo, median",
    "vocabulary": "vocabulary (words used)",
    "used_20": "words that 20 photos or more carry",
    "common": "common words, T_common",
    "common_share_of_words": "common words, % of the vocabulary",
    "common_share_of_uses": "common words, % of all uses",
    "rarest_half": "rarer half of the vocabulary, % of all uses",
    "most_used": "most used word, % of photos",
}
KINDS = ("user", "zero-shot", "fine-tuned", "ensembled")
MEASURES = ("precision", "recall", "f1")
PREDICTIONS = ("direct", "removed", "removed, unweighted")
QUALITY = "dataset tags prediction alpha average measure value best tags_per_photo photos".split()


def statistics_rows(photo_sets: Sequence[Photos]) -> pd.DataFrame:
    """One row a data set and statistic: ``dataset``, ``measure``, ``value``, ``published``; MirFlickr's last."""
    rows = [
        {"dataset": photos.name, "measure": measure, "value": value}
        for photos in photo_sets
        for measure, value in asdict(tag_statistics(photos)).items()
    ]
    printed = [
        {"dataset": "MIRFLICKR-25K", "measure": measure, "published": value}
        for measure, value in MIRFLICKR_PUBLISHED.items()
    ]
    return pd.DataFrame([*rows, *printed], columns=["dataset", "measure", "value", "published"])


def statistics_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as text, a line a statistic; every column says whether it was measured or published."""
    columns = {}
    for dataset, part in rows.groupby("dataset", sort=False):
        for kind, source in (("value", "measured here"), ("published", "published")):
            known = part.dropna(subset=kind).set_index("measure")[kind]
            if len(known):
                columns[f"{dataset} ({source})"] = known
    table = pd.DataFrame(columns).reindex(STATISTICS)
    percent = [name for name in STATISTICS if "%" in STATISTICS[name]]
    table.loc[percent] *= 100
    return table.map(_number).rename(index=STATISTICS).rename_axis("")


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def frequency_rows(photos: Photos) -> pd.DataFrame:
    """How many photos carry the word of each rank: ``dataset``, ``rank``, ``tag``, ``photos``."""
    counts = np.bincount(photos.tags.indices, minlength=len(photos.vocabulary))
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return pd.DataFrame(
        {
            "dataset": photos.name,
            "rank": np.arange(1, len(order) + 1),
            "tag": np.asarray(photos.vocabulary, dtype=object)[order],
            "photos": counts[order],
        }
    )


def zero_shot_trials(guide: Guide, photo_sets: Sequence[Photos]) -> pd.DataFrame:
    """:func:`zero_shot_rows` of scenes that were held out and of the drawn ones of ``photo_sets``; no row without any."""
    drawn = [photos for photos in photo_sets if photos.truth is not None]
    trials = {"held out": held_out_scenes()} if drawn else {}
    trials |= {photos.name: (photos.images, concept_truth(photos)) for photos in drawn}
    columns = pd.DataFrame(columns=["scenes", "guide", "photos", "words", "scored", "r_precision"])
    rows = [zero_shot_rows(guide, name, *trial) for name, trial in trials.items()]
    return pd.concat(rows) if rows else columns


def zero_shot_rows(guide: Guide, name: str, images: Images, truth: sp.csr_array) -> pd.DataFrame:
    """R-precision over the concept words: for each photo as many best words as are true of it.

    truth: (N, len(CONCEPTS)) bool. ``scored``: by the class token, by the mean token, and by chance (its expected
    value).
    """
    text = guide.text_features(CONCEPTS)
    features = image_features(guide, images)
    true = sp.csr_array(truth, dtype=np.int64).sum(axis=1)
    values = {
        "class token": r_precision(direct_scores(features.class_token, text), truth),
        "mean token": r_precision(direct_scores(features.mean_token, text), truth),
        "chance": float(true[true > 0].mean() / len(CONCEPTS)),
    }
    about = {"scenes": name, "guide": guide.name, "photos": len(images), "words": len(CONCEPTS)}
    return pd.DataFrame(
        [{**about, "scored": scored, "r_precision": value} for scored, value in values.items()]
    )


def held_out_scenes(count: int = 500) -> tuple[ArrayImages, sp.csr_array]:
    """Scenes as the small guide was trained on, of a seed that it was not, and their concept words (N, W) bool."""
    pixels = DrawnImages("corpus", HELD_OUT_SEED, count, Mix()).pixels
    scenes = compose_all(HELD_OUT_SEED, count, Mix())
    images = ArrayImages(pixels, content_key("held out", HELD_OUT_SEED, count))
    return images, sp.csr_array(concept_matrix(scenes))


def concept_truth(photos: Photos) -> sp.csr_array:
    """(N, len(CONCEPTS)) bool: the concept words that are true of drawn ``photos``; false for words never used."""
    dense = photos.truth.toarray()
    place = {word: column for column, word in enumerate(photos.vocabulary)}
    missing = np.zeros(len(photos), dtype=bool)
    columns = [dense[:, place[word]] if word in place else missing for word in CONCEPTS]
    return sp.csr_array(np.column_stack(columns))


def tag_config(profile: Profile, settings: DatasetSettings, alpha: float | None = None) -> TagConfig:
    """Tags replaced as ``profile`` does it; ``alpha`` in place of the data set's own in Eq. (2)."""
    refine = settings.refine if alpha is None else replace(settings.refine, alpha=alpha)
    return TagConfig("replaced", profile.guide, profile.finetune, refine)


def configs_by_guide(profile: Profile, settings: DatasetSettings) -> dict[str, TagConfig]:
    """The three sets of weights that Figure 2 compares: α = 0, α = 1, and the data set's own α."""
    alphas = (0.0, 1.0, settings.refine.alpha)
    return {name: tag_config(profile, settings, alpha) for name, alpha in zip(KINDS[1:], alphas)}


def quality_rows(profile: Profile, settings: DatasetSettings) -> pd.DataFrame:
    """How good the users' tags are and those that replace them, over the training photos.

    Columns ``QUALITY``: ``tags`` (one of ``KINDS``), ``prediction`` ("user" or one of
    ``PREDICTIONS``), ``average`` ("micro": all tags pooled, "photo": mean over photos), ``measure``, ``value`` and,
    for precision, ``best``: what an oracle reaches that gives every photo as many tags. Empty where the truth is
    not known.
    """
    photos = photos_of(settings.data)
    if photos.truth is None:
        return pd.DataFrame(columns=QUALITY)
    rows = photos.split.train
    about = {"dataset": photos.name, "photos": len(rows)}
    judged = [
        {**about, "tags": "user", "prediction": "user", "alpha": np.nan, **row}
        for row in _measures(tag_quality(photos.tags[rows], photos.truth[rows]))
    ]
    for name, config in configs_by_guide(profile, settings).items():
        for prediction in PREDICTIONS:
            quality = _replaced_quality(photos, settings, config, prediction)
            kind = {"tags": name, "prediction": prediction, "alpha": config.refine.alpha}
            judged += [{**about, **kind, **row} for row in _measures(quality)]
    return pd.DataFrame(judged, columns=QUALITY)


def _replaced_quality(
    photos: Photos, settings: DatasetSettings, config: TagConfig, prediction: str
) -> TagQuality:
    guide, rows = mixed_guide_of(settings.data, config), photos.split.train
    scoring = replace(
        config.refine,
        remove_redundant=prediction != "direct",
        weighted=prediction != "removed, unweighted",
    )

    def compute() -> dict[str, np.ndarray]:
        features = image_features(guide, photos.images, rows)
        counts = tags_to_keep(photos.tags[rows], photos.common)
        given = replaced_tags(features, text_of(photos, settings.data, config), counts, scoring)
        return {
            name: np.float64(value) for name, value in asdict(tag_quality(given, photos.truth[rows])).items()
        }

    key = content_key("1", photos.key, photos.truth, guide.key, scoring)
    return TagQuality(
        **{name: float(value) for name, value in cached_arrays("tag-quality", key, compute).items()}
    )


def _measures(quality: TagQuality) -> list[dict[str, object]]:
    values = asdict(quality)
    return [
        {
            "average": average,
            "measure": measure,
            "value": values[f"{measure}_{average}"],
            "best": values[f"best_precision_{average}"] if measure == "precision" else np.nan,
            "tags_per_photo": quality.tags_per_photo,
        }
        for average in ("micro", "photo")
        for measure in MEASURES
    ]


def quality_table(rows: pd.DataFrame, average: str = "micro") -> pd.DataFrame:
    """The rows of :func:`quality_rows` in percent, a line each for data set, tags and prediction."""
    keys = ["dataset", "tags", "prediction"]
    chosen = rows[rows["average"] == average]
    table = chosen.pivot_table(index=keys, columns="measure", values="value", sort=False)[list(MEASURES)]
    best = chosen[chosen["measure"] == "precision"].set_index(keys)["best"]
    table.insert(1, "best possible precision", best)
    table["precision, % of the best possible"] = table["precision"] / best
    return 100 * table.rename_axis(columns=None)


def precision_of(rows: pd.DataFrame, dataset: str, tags: str, prediction: str = "removed") -> pd.Series:
    """The one row of micro precision for these tags (``prediction`` is "user" for the users' own), in percent."""
    same = (rows["dataset"] == dataset) & (rows["tags"] == tags) & (rows["average"] == "micro")
    same &= (rows["prediction"] == ("user" if tags == "user" else prediction)) & (
        rows["measure"] == "precision"
    )
    if same.sum() != 1:
        raise ValueError(f"{same.sum()} rows for {dataset}, {tags}, {prediction}, expected one")
    row = rows[same].iloc[0]
    return pd.Series({"value": 100 * row["value"], "best": 100 * row["best"]})


def change_in_words(before: float, after: float, digits: int = 1) -> str:
    """ "raises by 3.2 points", "lowers by ..." or "does not change", as the rounded numbers have it."""
    change = round(after, digits) - round(before, digits)
    if round(change, digits) == 0:
        return "does not change it"
    return f"{'raises' if change > 0 else 'lowers'} it by {abs(change):.{digits}f} points"


def photos_to_show(photos: Photos, count: int, least: int = 5, most: int = 7) -> np.ndarray:
    """The first ``count`` training photos that keep ``least`` to ``most`` tags (Eq. 3): a rule, not a choice by result."""
    kept = tags_to_keep(photos.tags, photos.common)[photos.split.train]
    return photos.split.train[(kept >= least) & (kept <= most)][:count]


def caption(photos: Photos, index: int, width: int = 24) -> str:
    """The user's tags of one photo in lines of about ``width`` letters; "(no tags)" where there are none."""
    words = [photos.vocabulary[column] for column in sorted(photos.tags[[index]].indices)]
    return textwrap.fill(", ".join(words) or "(no tags)", width, break_long_words=False)


def inference_rows(
    profile: Profile,
    settings: DatasetSettings,
    indices: Sequence[int],
    configs: Mapping[str, TagConfig] | None = None,
) -> pd.DataFrame:
    """Figure 2: the tags of a few photos from every source: ``photo``, ``source``, ``rank``, ``tag``, ``right``.

    Sources: "user", then those of ``configs`` (default: "zero-shot", "fine-tuned", "ensembled"; K_i tags each, best
    first) and "truth": the true concept words, or the labels where the true tags are not known. ``right`` counts
    names in other languages too.
    """
    photos, indices = photos_of(settings.data), np.asarray(indices)
    counts = tags_to_keep(photos.tags, photos.common)[indices]
    frames = [_listed(photos.tags, photos.vocabulary, indices, "user")]
    for source, config in (configs or configs_by_guide(profile, settings)).items():
        guide = mixed_guide_of(settings.data, config)
        features = image_features(guide, photos.images, indices)
        scores = scores_of(*features, text_of(photos, settings.data, config), config.refine)
        best = top_tags(scores, photos.vocabulary, int(counts.max(initial=0)), guide.scale)
        best = best[best["rank"].to_numpy() <= counts[best["row"]]]
        best = best.assign(photo=indices[best["row"]], source=source)
        frames.append(best[["photo", "source", "rank", "tag"]])
    if photos.truth is None:
        frames.append(_listed(photos.labels, photos.label_names, indices, "truth"))
    else:
        frames.append(_listed(concept_truth(photos), CONCEPTS, indices, "truth"))
    return with_right(photos, pd.concat(frames, ignore_index=True))


def _listed(
    tags: sp.csr_array | np.ndarray, words: Sequence[str], indices: np.ndarray, source: str
) -> pd.DataFrame:
    """Given tags in the order of ``words``, as rows of :func:`inference_rows`."""
    chosen = sp.csr_array(tags)[indices]
    rows = [
        (photo, source, rank, words[column])
        for photo, start, end in zip(indices, chosen.indptr, chosen.indptr[1:])
        for rank, column in enumerate(sorted(chosen.indices[start:end]), 1)
    ]
    return pd.DataFrame(rows, columns=["photo", "source", "rank", "tag"])


def with_right(photos: Photos, rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` (``photo``, ``tag``) with ``right``: whether the tag is true of the photo; True where nobody knows."""
    if photos.truth is None:
        return rows.assign(right=True)
    column = {word: place for place, word in enumerate(photos.vocabulary)}
    pairs = zip(rows["photo"], rows["tag"])
    # A concept word that no user ever wrote is listed as truth only.
    right = [tag not in column or bool(photos.truth[photo, column[tag]]) for photo, tag in pairs]
    return rows.assign(right=right)


def chips(rows: pd.DataFrame, photo: int, source: str, most: int = 5) -> list[tuple[str, bool]]:
    """The first tags of one photo and source of :func:`inference_rows`, as Figure 1 takes them."""
    mine = rows[(rows["photo"] == photo) & (rows["source"] == source)].head(most)
    return list(zip(mine["tag"], mine["right"].astype(bool)))


def exchange_rows(photos: Photos, replaced: sp.csr_array, count: int = 10) -> pd.DataFrame:
    """The words that replacement takes away and brings most often, over the training photos.

    ``change`` ("taken away", "brought"), ``tag``, ``photos``; ``right``: on how many of these photos the word is
    true (NaN where nobody knows).
    """
    rows = photos.split.train
    before, after = (sp.csr_array(tags[rows], dtype=np.int64) for tags in (photos.tags, replaced))
    frames = []
    for change, difference in (("taken away", before - after), ("brought", after - before)):
        moved = sp.csr_array(difference > 0)
        times = np.asarray(moved.sum(axis=0)).ravel()
        words = np.argsort(-times, kind="stable")[:count]
        words = words[times[words] > 0]
        true = np.full(len(photos.vocabulary), np.nan)
        if photos.truth is not None:
            true = np.asarray(moved.multiply(photos.truth[rows]).sum(axis=0)).ravel()
        frames.append(
            pd.DataFrame(
                {
                    "dataset": photos.name,
                    "change": change,
                    "tag": np.asarray(photos.vocabulary, dtype=object)[words],
                    "photos": times[words],
                    "right": true[words],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def printed_form_bytes(photos: int, tokens: int, words: int, width: int) -> int:
    """Memory of one (N, 1+P, C, D) float32 array of Eq. (4)."""
    return 4 * photos * tokens * words * width
