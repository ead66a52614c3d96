"""What each part is worth: Tables 4 and 5, and one part at a time taken from the full model."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from ctrh.losses import LossConfig
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, default_settings, make_run

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
    return [variant(profile, dataset.data.name, label, bits, seed) for dataset, label, bits, seed in grid]


def without_runs(profile: Profile) -> list[Run]:
    """The full model and ``WITHOUT``, at the studies' one length."""
    grid, bits = product(profile.datasets, ("CTRH", *WITHOUT), profile.seeds), profile.study.bits
    return [variant(profile, dataset.data.name, label, bits, seed) for dataset, label, seed in grid]


def variant(profile: Profile, dataset: str, label: str, bits: int, seed: int) -> Run:
    """The run of one of ``VARIANTS`` or ``WITHOUT``."""
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
    tags, settings, refinement = recipes[label]
    run = make_run(profile, dataset, "CTRH", bits, seed, tags, settings, label)
    return with_refinement(run, **refinement)


def with_tag_balance(losses: LossConfig, weight: float) -> LossConfig:
    """``losses`` with another λ4 in Eq. (19)."""
    return replace(losses, weights=(*losses.weights[:3], weight))


def with_refinement(run: Run, **changes: object) -> Run:
    """``run`` on tags that are replaced with other settings of :class:`ctrh.guide.refine.RefineConfig`."""
    return replace(run, tags=replace(run.tags, refine=replace(run.tags.refine, **changes)))
