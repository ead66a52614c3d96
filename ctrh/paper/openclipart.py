"""Table 1's methods on drawings with the tags of the people who drew them (:mod:`ctrh.data.openclipart`).

The article has no such data: its notebooks, which tell of its tables, have nothing to say here, and no number of its
own stands beside these. Relevant is what shares a subject; the subjects are the packages' folders.
"""

from __future__ import annotations

from dataclasses import replace

from ctrh.paper.launch import say
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, make_run, run_grid
from ctrh.paper.tables import article_table, save_table, score_titles
from ctrh.paper.tasks import InputConfig

DATA = "openclipart"


def runs(profile: Profile, backbone: str) -> list[Run]:
    """Every method of Table 1 at every length and seed, all on the features of the same ``backbone``."""
    planned = [
        make_run(profile, DATA, method, bits, seed)
        for method in profile.methods
        for bits in profile.bits
        for seed in profile.seeds
    ]
    return [replace(run, inputs=InputConfig(backbone, profile.guide)) for run in planned]


def write_tables(profile: Profile) -> None:
    """Table 1 for each backbone of the profile's study: table1.csv, .md and .tex of the first, the others under its
    name and theirs. Raises ``ValueError`` or ``FileNotFoundError`` where data or weights are missing."""
    for place, (label, backbone) in enumerate(profile.study.backbones):
        table = article_table(run_grid(runs(profile, backbone)), 1, profile)
        titles = {
            metric: f"{title} of openclipart, on features of {label}"
            for metric, title in score_titles(profile).items()
        }
        path = save_table(table, "table1" if place == 0 else f"table1_{backbone}", profile, titles=titles)
        say(f"{label}: {path}")
