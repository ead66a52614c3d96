"""What each part is worth: Tables 4 and 5, and one part at a time taken from the full model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

import pandas as pd

from ctrh.losses import LossConfig
from ctrh.paper.effects import effects
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.tables import article_table

VARIANTS = ("Baseline", "TR", "TR+TW", "CTRH")
TABLES = (4, 5)
# The full model less one thing; two of them are rows of Tables 4 and 5 under another name.
WITHOUT = {
    "without TR": "the users' tags teach",
    "without TW (and TB)": "all tags of a photo weigh the same; Eq. (18) judges TW's scores, so it goes along",
    "without TB": "λ4 = 0",
    "without removal": "tags by the class token's cosine, without Eq. (4)-(8)",
    "zero-shot guide": "α = 0 in Eq. (2)",
    "fine-tuned guide": "α = 1 in Eq. (2)",
}


def variant_runs(profile: Profile) -> list[Run]:
    """Tables 4 and 5: ``VARIANTS`` on all data sets, lengths and seeds."""
    grid = product(profile.datasets, VARIANTS, profile.bits, profile.seeds)
    return [variant(profile, each.data.name, label, bits, seed) for each, label, bits, seed in grid]


def without_runs(profile: Profile) -> list[Run]:
    """The full model and ``WITHOUT``, at the studies' one length."""
    grid = product(profile.datasets, ("CTRH", *WITHOUT), profile.seeds)
    return [variant(profile, each.data.name, label, profile.study.bits, seed) for each, label, seed in grid]


def variant(profile: Profile, dataset: str, label: str, bits: int, seed: int) -> Run:
    """The run of one of ``VARIANTS`` or ``WITHOUT``; ``ValueError`` for another label."""
    full = default_settings("CTRH", profile, profile.dataset(dataset))
    plain = replace(full, tag_weighting=False)
    unbalanced = replace(full, losses=with_tag_balance(full.losses, 0.0))
    recipes = {
        "Baseline": ("user", plain, {}),
        "TR": ("replaced", plain, {}),
        "TR+TW": ("replaced", unbalanced, {}),
        "CTRH": ("replaced", full, {}),
        "without TR": ("user", full, {}),
        "without TW (and TB)": ("replaced", plain, {}),
        "without TB": ("replaced", unbalanced, {}),
        "without removal": ("replaced", full, {"remove_redundant": False}),
        "zero-shot guide": ("replaced", full, {"alpha": 0.0}),
        "fine-tuned guide": ("replaced", full, {"alpha": 1.0}),
    }
    if label not in recipes:
        raise ValueError(f"no variant is called {label!r}: choose one of {', '.join(recipes)}")
    tags, settings, refinement = recipes[label]
    run = make_run(profile, dataset, "CTRH", bits, seed, tags, settings, label)
    return with_refinement(run, **refinement)


def with_tag_balance(losses: LossConfig, weight: float) -> LossConfig:
    """``losses`` with another λ4 in Eq. (19)."""
    return replace(losses, weights=(*losses.weights[:3], weight))


def with_refinement(run: Run, **changes: object) -> Run:
    """``run`` on tags that are replaced with other settings of :class:`ctrh.guide.refine.RefineConfig`."""
    return replace(run, tags=replace(run.tags, refine=replace(run.tags.refine, **changes)))


def ablation_tables(rows: pd.DataFrame, profile: Profile) -> dict[int, pd.DataFrame]:
    """Tables 4 (mAP@k) and 5 (mAP@all) out of the rows of :func:`variant_runs`."""
    return {number: article_table(rows, number, profile, "label") for number in TABLES}


def steps(table: pd.DataFrame, column: str = "mean") -> pd.DataFrame:
    """What each row of Table 4 or 5 adds to the row before: a line per data set and step, a column per length, points.

    ``column``: "mean" for what was measured, "published" for the article's numbers.
    """
    cells = table.pivot(index=["dataset", "bits"], columns="variant", values=column)
    added = {
        (dataset, step): cells.loc[dataset, step] - cells.loc[dataset, before]
        for dataset in table["dataset"].unique()
        for before, step in pairwise(VARIANTS)
    }
    return pd.DataFrame(added).T.rename_axis(index=["dataset", "step to"])


def step_effects(results: Sequence[RunResult]) -> pd.DataFrame:
    """:func:`ctrh.paper.effects.effects` of each row of Tables 4 and 5 over the row before."""
    frames = []
    for before, step in pairwise(VARIANTS):
        frames.append(effects([each for each in results if each.run.label in (before, step)], before))
    return pd.concat(frames, ignore_index=True)
