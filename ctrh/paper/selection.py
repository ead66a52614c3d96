"""How settings are chosen: for every method by the same trials, on training photos, by their users' words; never on the
queries.

What is tried is one number, by how much the published learning rates are multiplied (their ratios stay): the profile's
batches and epochs are not the article's, so its rates cannot fit, and each method deserves its own. Codes are learned
on four fifths of the training photos, and the other fifth asks (:mod:`ctrh.data.validation`), with each seed another.

What the judge may see: the codes, and the tags that users wrote, of training photos. No label, no guide, no picture
and no network; nor does it compare methods, so one that learns from users' tags gains nothing by it. The guide's tags,
CTRH's own teachers, say nothing here. CTRH learns from the zero-shot guide's tags in these trials, since a guide that
was fine-tuned on all training photos would have read the tags that judge. How far the judge can be trusted is shown by
labels of the photos that ask (:func:`checked_rows`), which choose no rate.

``python -m ctrh.paper.selection --profile demo`` runs the trials and writes the best factors to ``profiles/rates.csv``.
A method without a line there trains at the rates of the profile as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ctrh.paper.profiles import RATES, Profile
from ctrh.paper.runs import Run, attempts, make_run
from ctrh.paper.tasks import photos_of
from ctrh.retrieval.metrics import evaluate
from ctrh.store import replacing
from ctrh.training import TrainingDiverged


def trial_runs(profile: Profile) -> dict[tuple[str, str, float, int], Run]:
    """(method, data set, factor, seed) -> the run that tries it, at the length of the studies. Every seed of the profile
    also draws the photos that ask anew."""
    runs = {}
    for seed in profile.seeds:
        held_out = tuple(
            replace(
                settings,
                data=replace(settings.data, validation=seed),
                refine=replace(settings.refine, alpha=0.0),
            )
            for settings in profile.datasets
        )
        names = [settings.data.name for settings in held_out]
        for method, name, factor in product(profile.learners, names, profile.study.factors):
            tried = replace(profile, datasets=held_out, rates=((method, name, factor),))
            label = f"{method} at rates x{factor:g}"
            runs[method, name, factor, seed] = make_run(
                tried, name, method, profile.study.bits, seed, label=label
            )
    return runs


def trial_rows(profile: Profile, jobs: int | None = None) -> pd.DataFrame:
    """One row for each method, data set and factor: ``validation``, the mean :func:`agreement` over seeds in percent,
    and ``by_labels``, mAP@all in percent by labels of the same photos (NaN without), which only
    :func:`checked_rows` reads; ``best`` of its method and data set by ``validation`` (of equal ones the smaller
    factor). A factor with which a training diverges has neither."""
    runs, rows = trial_runs(profile), []
    for (method, name, factor, _), result in zip(runs, attempts(runs.values(), jobs), strict=True):
        row = {"dataset": name, "method": method, "factor": factor}
        if isinstance(result, TrainingDiverged):
            rows.append(row | {"validation": np.nan, "by_labels": np.nan, "note": "diverged"})
            continue
        data, codes = result.run.data, (result.query_codes, result.database_codes)
        photos, labels = photos_of(data), photos_of(replace(data, validation=None)).labels
        row["validation"] = 100 * agreement(*codes, *photos.relevant())
        truth = [] if labels is None else [labels[photos.split.query], labels[photos.split.database]]
        row["by_labels"] = 100 * evaluate(*codes, *truth).map_all if truth else np.nan
        rows.append(row | {"note": result.rows()["note"].iloc[0]})
    tried = pd.DataFrame(rows).groupby(["dataset", "method", "factor"], sort=False)
    trials = tried[["validation", "by_labels"]].agg(lambda column: column.mean(skipna=False))
    trials = trials.assign(note=tried["note"].max()).reset_index()
    best = trials.groupby(["dataset", "method"])["validation"].idxmax()
    rates = {(method, dataset): factor for method, dataset, factor in profile.rates}
    used = [rates.get((row.method, row.dataset), 1.0) == row.factor for row in trials.itertuples()]
    return trials.assign(best=trials.index.isin(best), used=used)


def agreement(
    query_codes: np.ndarray, database_codes: np.ndarray, query_words: np.ndarray, database_words: np.ndarray
) -> float:
    """Codes (Q, K) and (M, K), words (Q, W) and (M, W), all bool -> the mean over queries i of the correlation, over
    the database j, of the codes' similarity with Σ_w (y_iw − p_w)(y_jw − p_w) / √(p_w(1 − p_w)); y is 1 where a photo
    carries the word w, p_w its share of the database. 0 for a query whose codes are all equally far.

    Words written by chance are as often on similar photos as on others: they add noise, but favour no codes.
    """
    share = database_words.mean(axis=0)
    scale = np.sqrt(np.maximum(share * (1 - share), 1 / len(database_words)))
    told = ((query_words - share) / scale) @ (database_words - share).T
    # In float64, where whole numbers of bits are exact.
    similar = (2.0 * query_codes - 1) @ (2.0 * database_codes - 1).T
    told, similar = (x - x.mean(axis=1, keepdims=True) for x in (told, similar))
    norms = np.linalg.norm(told, axis=1) * np.linalg.norm(similar, axis=1)
    return float(((told * similar).sum(axis=1) / np.where(norms > 1e-9, norms, np.inf)).mean())


def checked_rows(trials: pd.DataFrame) -> pd.DataFrame:
    """How well the judge orders the trials *within* a method, one row for each data set and method: Spearman's
    ``correlation`` of ``validation`` with ``by_labels``, the latter at the ``chosen`` and at the ``best`` factor, and
    the points ``lost``. It chooses nothing."""
    rows = []
    for (name, method), part in trials.groupby(["dataset", "method"], sort=False):
        chosen, best = part.loc[part["best"], "by_labels"].item(), part["by_labels"].max()
        correlation = part["validation"].corr(part["by_labels"], "spearman")
        row = {"dataset": name, "method": method, "correlation": correlation}
        rows.append(row | {"chosen": chosen, "best": best, "lost": best - chosen})
    return pd.DataFrame(rows)


def write_rates(profile: str, trials: pd.DataFrame, path: Path = RATES) -> None:
    """Replaces the lines of ``profile`` by the best factors of ``trials``, as :func:`trial_rows` gives them."""
    rates = pd.read_csv(path)
    chosen = trials.loc[trials["best"], ["method", "dataset", "factor"]].assign(profile=profile)
    rates = pd.concat([rates[rates["profile"] != profile], chosen[rates.columns]])
    with replacing(path) as temporary:
        rates.to_csv(temporary, index=False, float_format="%g", lineterminator="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Chooses the learning rates of methods by trials.")
    parser.add_argument("--profile", default="demo", help="a name, or a Python file (default: demo)")
    profile = Profile.named(parser.parse_args().profile)
    trials = trial_rows(profile)
    write_rates(profile.name, trials)
    print(trials.to_string(), checked_rows(trials).round(2).to_string(), sep="\n\n")
