"""How settings are chosen: for every method by the same trials, on training photos, by tags; never on the queries.

What is tried is one number, by how much the published learning rates are multiplied (their ratios stay): the profile's
batches and epochs are not the article's, so its rates cannot fit, and each method deserves its own. Codes are learned
on four fifths of the training photos, and the other fifth asks (:mod:`ctrh.data.validation`). Two photos are relevant
to each other when the zero-shot guide gives them the same tag (Eq. 3-8), one of those that it gives most often; what
the users themselves wrote is shown beside it, but says little about pictures. CTRH learns from the zero-shot guide's
tags in these trials, since a guide that was fine-tuned on all training photos would know those that ask.

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

from ctrh.data.validation import judging_words
from ctrh.guide.refine import ZERO_SHOT
from ctrh.paper.profiles import RATES, Profile
from ctrh.paper.runs import Run, RunResult, attempts, make_run
from ctrh.paper.tasks import TagConfig, photos_of, tags_of
from ctrh.retrieval.metrics import evaluate
from ctrh.store import replacing
from ctrh.training import TrainingDiverged


def trial_runs(profile: Profile) -> dict[tuple[str, str, float], Run]:
    """(method, data set, factor) -> the run that tries it, at the length of the studies, with the first seed."""
    held_out, runs = [], {}
    for settings in profile.datasets:
        data, refine = replace(settings.data, validation=True), replace(settings.refine, alpha=0.0)
        held_out.append(replace(settings, data=data, refine=refine))
    names = [settings.data.name for settings in held_out]
    for method, name, factor in product(profile.learners, names, profile.study.factors):
        tried = replace(profile, datasets=tuple(held_out), rates=((method, name, factor),))
        which = name, method, profile.study.bits, profile.seeds[0]
        runs[method, name, factor] = make_run(tried, *which, label=f"{method} at rates x{factor:g}")
    return runs


def trial_rows(profile: Profile, jobs: int | None = None) -> pd.DataFrame:
    """One row a trial: mAP@all in percent by the guide's tags (``validation``) and ``by_users``; ``best`` of
    its method and data set (of equal ones the smaller factor); a training that diverged has no mAP."""
    runs, rows = trial_runs(profile), []
    for (method, name, factor), result in zip(runs, attempts(runs.values(), jobs), strict=True):
        row = {"dataset": name, "method": method, "factor": factor}
        if isinstance(result, TrainingDiverged):
            row |= {"validation": np.nan, "by_users": np.nan, "note": "diverged"}
        else:
            row |= {"validation": 100 * _judged(profile, result), "by_users": 100 * result.scores.map_all}
            row["note"] = result.rows()["note"].iloc[0]
        rows.append(row)
    trials = pd.DataFrame(rows)
    best = trials.groupby(["dataset", "method"])["validation"].idxmax()
    rates = {(method, dataset): factor for method, dataset, factor in profile.rates}
    used = [rates.get((row.method, row.dataset), 1.0) == row.factor for row in trials.itertuples()]
    return trials.assign(best=trials.index.isin(best), used=used)


def _judged(profile: Profile, result: RunResult) -> float:
    """mAP@all by the zero-shot guide's tags, however many photos have one: labels are such words, sky and
    people. A judge without them prefers codes that learned nothing (docs/reproduction_notes.md)."""
    data = result.run.data
    photos = photos_of(data)
    asked = np.union1d(photos.split.query, photos.split.database)
    tags = tags_of(photos, data, TagConfig("replaced", profile.guide, profile.finetune, ZERO_SHOT), asked)
    relevance = tags[:, judging_words(tags, photos.split.database, most=1.0)].toarray()
    query, database = relevance[photos.split.query], relevance[photos.split.database]
    return evaluate(result.query_codes, result.database_codes, query, database).map_all


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
    print(trials.to_string())
