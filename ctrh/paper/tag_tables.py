"""Rows about tags: what the data sets are like, how good tags are before and after replacement, Figures 1-3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from ctrh.data.photos import Photos
from ctrh.data.scenes.world import CONCEPTS
from ctrh.data.statistics import tag_statistics
from ctrh.guide.clip import Guide
from ctrh.guide.features import image_features
from ctrh.guide.inferred import top_tags
from ctrh.guide.quality import r_precision, tag_quality
from ctrh.guide.refine import best_tags, direct_scores, replaced_tags, scores_of, tags_to_keep
from ctrh.methods.ewsh import nearest, neighbour_votes
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.tasks import TagConfig, mixed_guide_of, photos_of, text_of

# Of MIRFLICKR-25K (Huiskes and Lew, 2008); what its authors do not print is not here.
MIRFLICKR_PUBLISHED = {"photos": 25_000, "tags_per_photo": 8.94, "used_20": 1_386}
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
NEIGHBOURS = 100  # that vote on a photo's tags
PREDICTIONS = ("direct", "removed", "removed, unweighted")
# What is asked of the tags' precision, step by step: tags and prediction before, and after.
STEPS = {
    "users' tags → zero-shot guide": ("user", "user", "zero-shot", "removed"),
    "users' tags → votes of visual neighbours": ("user", "user", "neighbours", "votes"),
    "votes of visual neighbours → zero-shot guide": ("neighbours", "votes", "zero-shot", "removed"),
    "zero-shot → fine-tuned guide": ("zero-shot", "removed", "fine-tuned", "removed"),
    "zero-shot → ensembled guide, Eq. (2)": ("zero-shot", "removed", "ensembled", "removed"),
    "ensembled: class token → Eq. (8), weighted": ("ensembled", "direct", "ensembled", "removed"),
    "ensembled: class token → Eq. (8), unweighted": (
        "ensembled",
        "direct",
        "ensembled",
        "removed, unweighted",
    ),
}
QUALITY = "dataset tags prediction alpha average measure value best tags_per_photo photos".split()


def statistics_rows(photo_sets: Sequence[Photos]) -> pd.DataFrame:
    """One row a data set and statistic: ``dataset``, ``measure``, ``value``, ``published``; MirFlickr's last."""
    rows = []
    for photos in photo_sets:
        rows += [(photos.name, *item, np.nan) for item in asdict(tag_statistics(photos)).items()]
    rows += [("MIRFLICKR-25K", measure, np.nan, value) for measure, value in MIRFLICKR_PUBLISHED.items()]
    return pd.DataFrame(rows, columns=["dataset", "measure", "value", "published"])


def statistics_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as text, a line a statistic; every column says whether it was measured or published."""
    columns = {}
    for dataset, group in rows.groupby("dataset", sort=False):
        for kind, source in (("value", "measured here"), ("published", "published")):
            known = group.dropna(subset=kind).set_index("measure")[kind]
            if len(known):
                columns[f"{dataset} ({source})"] = known
    table = pd.DataFrame(columns).reindex(STATISTICS)
    table.loc[[name for name, title in STATISTICS.items() if "%" in title]] *= 100
    text = table.map(lambda x: "–" if np.isnan(x) else f"{x:,.0f}" if x == round(x) else f"{x:,.2f}")
    return text.rename(index=STATISTICS).rename_axis("")


def frequency_rows(photos: Photos) -> pd.DataFrame:
    """How many photos carry the word of each rank: ``dataset``, ``rank``, ``tag``, ``photos``."""
    counts = np.bincount(photos.tags.indices, minlength=len(photos.vocabulary))
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    ranks, tags = np.arange(1, len(order) + 1), np.asarray(photos.vocabulary, dtype=object)[order]
    return pd.DataFrame({"dataset": photos.name, "rank": ranks, "tag": tags, "photos": counts[order]})


def zero_shot_rows(guide: Guide, photo_sets: Sequence[Photos]) -> pd.DataFrame:
    """R-precision over the concept words on the drawn sets: by the class token, by the mean token, and by chance (its
    expected value). No row where no set is drawn."""
    columns = ["scenes", "guide", "photos", "words", "scored", "r_precision"]
    drawn = [photos for photos in photo_sets if photos.truth is not None]
    text, rows = guide.text_features(CONCEPTS), []
    for photos in drawn:
        truth = concept_truth(photos)
        features = image_features(guide, photos.images)
        true = sp.csr_array(truth, dtype=np.int64).sum(axis=1)
        precision = {
            "class token": r_precision(direct_scores(features.class_token, text), truth),
            "mean token": r_precision(direct_scores(features.mean_token, text), truth),
            "chance": float(true[true > 0].mean() / len(CONCEPTS)),
        }
        rows += [(photos.name, guide.name, len(photos), len(CONCEPTS), *item) for item in precision.items()]
    return pd.DataFrame(rows, columns=columns)


def concept_truth(photos: Photos) -> sp.csr_array:
    """(N, len(CONCEPTS)) bool: the concept words that are true of drawn ``photos``."""
    dense = photos.truth.toarray()
    column = {word: i for i, word in enumerate(photos.vocabulary)}
    never = np.zeros(len(photos), dtype=bool)
    columns = [dense[:, column[word]] if word in column else never for word in CONCEPTS]
    return sp.csr_array(np.column_stack(columns))


def tag_config(profile: Profile, settings: DatasetSettings, alpha: float | None = None) -> TagConfig:
    """Tags replaced as ``profile`` does it; ``alpha`` in place of the data set's own in Eq. (2)."""
    refine = settings.refine if alpha is None else replace(settings.refine, alpha=alpha)
    return TagConfig("replaced", profile.guide, profile.finetune, refine)


def configs_by_guide(profile: Profile, settings: DatasetSettings) -> dict[str, TagConfig]:
    """The three sets of weights that Figure 2 compares: α = 0, α = 1, and the data set's own α."""
    return {name: tag_config(profile, settings, alpha) for name, alpha in zip(KINDS[1:], (0.0, 1.0, None))}


def quality_rows(profile: Profile, settings: DatasetSettings) -> pd.DataFrame:
    """How good the users' tags and those that replace them are, by their visual neighbours' votes (the reference) or a
    guide, over the training photos: columns ``QUALITY``, ``best``: the precision of an oracle that gives every photo as many tags. Empty where the
    truth is not known."""
    photos = photos_of(settings.data)
    if photos.truth is None:
        return pd.DataFrame(columns=QUALITY)
    train = photos.split.train
    truth, counts = photos.truth[train], tags_to_keep(photos.tags[train], photos.common)
    judged = {("user", "user", np.nan): tag_quality(photos.tags[train], truth)}
    for kind, config in configs_by_guide(profile, settings).items():
        features = image_features(mixed_guide_of(settings.data, config), photos.images, train)
        if kind == "zero-shot":
            alike = nearest(torch.from_numpy(features.class_token), NEIGHBOURS)
            votes, by_chance = neighbour_votes(photos.tags[train], alike)
            voted = best_tags(votes.toarray() - by_chance, counts)
            judged["neighbours", "votes", np.nan] = tag_quality(voted, truth)
        text = text_of(photos, settings.data, config)
        for prediction in PREDICTIONS:
            weighted = prediction != "removed, unweighted"
            scoring = replace(config.refine, remove_redundant=prediction != "direct", weighted=weighted)
            given = replaced_tags(features, text, counts, scoring)
            judged[kind, prediction, config.refine.alpha] = tag_quality(given, truth)
    rows = []
    for about, quality in judged.items():
        values = asdict(quality)
        for average, measure in product(("micro", "photo"), ("precision", "recall", "f1")):
            best = values[f"best_precision_{average}"] if measure == "precision" else np.nan
            numbers = values[f"{measure}_{average}"], best, quality.tags_per_photo, len(train)
            rows.append((photos.name, *about, average, measure, *numbers))
    return pd.DataFrame(rows, columns=QUALITY)


def quality_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows of :func:`quality_rows` in percent, a line each for data set, tags and prediction."""
    keys, pooled = ["dataset", "tags", "prediction"], rows[rows["average"] == "micro"]
    table = pooled.pivot_table("value", keys, "measure", sort=False)[["precision", "recall", "f1"]]
    best = pooled[pooled["measure"] == "precision"].set_index(keys)["best"]
    table.insert(1, "best possible precision", best)
    table["precision, % of the best possible"] = table["precision"] / best
    return 100 * table.rename_axis(columns=None)


def step_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What each of ``STEPS`` does to the pooled precision of :func:`quality_rows`, in percent, as shown."""
    chosen = rows[(rows["average"] == "micro") & (rows["measure"] == "precision")]
    values = chosen.set_index(["dataset", "tags", "prediction"])["value"].astype(float)
    precision, lines = (100 * values).round(1), []
    for dataset, (step, ends) in product(chosen["dataset"].unique(), STEPS.items()):
        before, after = precision[(dataset, *ends[:2])], precision[(dataset, *ends[2:])]
        change = round(after - before, 1)
        verdict = "higher" if change > 0 else "lower" if change < 0 else "equal"
        lines.append((dataset, step, before, after, change, verdict))
    return pd.DataFrame(lines, columns=["data set", "step", "before", "after", "points", "verdict"])


def photos_to_show(photos: Photos, count: int, least: int = 5, most: int = 7) -> np.ndarray:
    """The first training photos that keep ``least`` to ``most`` tags (Eq. 3): no choice by result."""
    kept = tags_to_keep(photos.tags, photos.common)[photos.split.train]
    return photos.split.train[(kept >= least) & (kept <= most)][:count]


def inference_rows(
    profile: Profile,
    settings: DatasetSettings,
    indices: Sequence[int],
    configs: Mapping[str, TagConfig] | None = None,
) -> pd.DataFrame:
    """Figure 2: the tags of a few photos from "user", from ``configs`` (K_i tags each, best first; default: the three
    weights) and "truth": the true concept words and what else of those is true, or the labels."""
    photos, indices = photos_of(settings.data), np.asarray(indices)
    counts = tags_to_keep(photos.tags, photos.common)[indices]
    frames = [_listed(photos.tags, photos.vocabulary, indices, "user")]
    for source, config in (configs or configs_by_guide(profile, settings)).items():
        guide = mixed_guide_of(settings.data, config)
        features = image_features(guide, photos.images, indices)
        scores = scores_of(*features, text_of(photos, settings.data, config), config.refine)
        best = top_tags(scores, photos.vocabulary, int(counts.max(initial=0)), guide.scale)
        best = best[best["rank"].to_numpy() <= counts[best["row"]]]
        frames.append(
            best.assign(photo=indices[best["row"]], source=source)[["photo", "source", "rank", "tag"]]
        )
    known = photos.truth is not None
    truth = (concept_truth(photos), CONCEPTS) if known else (photos.labels, photos.label_names)
    listed = with_right(photos, pd.concat(frames, ignore_index=True))
    if known:  # names and looks count as right, too: those that somebody gives join the concepts
        frames = [_listed(*truth, indices, "truth"), listed[listed["right"]].assign(source="truth")]
        shown = pd.concat(frames).drop_duplicates(["photo", "tag"])
        shown = shown.assign(rank=shown.groupby("photo").cumcount() + 1, right=True)
    else:
        shown = _listed(*truth, indices, "truth").assign(right=True)
    return pd.concat([listed, shown], ignore_index=True)


def _listed(tags: sp.csr_array | np.ndarray, words: Sequence[str], indices: np.ndarray, source: str):
    """Given tags in the order of ``words``, as rows of :func:`inference_rows`."""
    rows = []
    for photo in indices:
        columns = sorted(sp.csr_array(tags)[[photo]].indices)
        rows += [(photo, source, rank, words[column]) for rank, column in enumerate(columns, 1)]
    return pd.DataFrame(rows, columns=["photo", "source", "rank", "tag"])


def with_right(photos: Photos, rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with ``right``: whether ``tag`` is true of ``photo``; True where nobody knows."""
    if photos.truth is None:
        return rows.assign(right=True)
    column = {word: i for i, word in enumerate(photos.vocabulary)}
    pairs = zip(rows["photo"], rows["tag"])
    return rows.assign(right=[bool(photos.truth[i, column[tag]]) for i, tag in pairs])


def exchange_rows(photos: Photos, replaced: sp.csr_array, count: int = 10) -> pd.DataFrame:
    """The words that replacement takes away and brings most often, over the training photos; ``right``: on
    how many of the ``photos`` the word is true (NaN where nobody knows)."""
    rows = photos.split.train
    before, after = (sp.csr_array(tags[rows], dtype=np.int64) for tags in (photos.tags, replaced))
    vocabulary, frames = np.asarray(photos.vocabulary, dtype=object), []
    for change, difference in (("taken away", before - after), ("brought", after - before)):
        moved = sp.csr_array(difference > 0)
        times = np.asarray(moved.sum(axis=0)).ravel()
        words = np.argsort(-times, kind="stable")[: min(count, np.count_nonzero(times))]
        true = np.full(len(photos.vocabulary), np.nan)
        if photos.truth is not None:
            true = np.asarray(moved.multiply(photos.truth[rows]).sum(axis=0)).ravel()
        frame = pd.DataFrame({"tag": vocabulary[words], "photos": times[words], "right": true[words]})
        frames.append(frame.assign(dataset=photos.name, change=change))
    return pd.concat(frames, ignore_index=True)[["dataset", "change", "tag", "photos", "right"]]
