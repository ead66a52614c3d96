"""Table 1's methods on data that stand for none of the article's (``article=""``).

The notebooks tell of the article's tables and have nothing to say here, and no published number stands beside these.
"""

from __future__ import annotations

from dataclasses import replace

from ctrh.paper.launch import say
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, make_run, run_grid
from ctrh.paper.tables import article_table, save_table, score_titles
from ctrh.paper.tasks import InputConfig


def runs(profile: Profile, backbone: str) -> list[Run]:
    """Every method at every length and seed, all on the features of the same ``backbone``."""
    planned = [
        make_run(profile, settings.data.name, method, bits, seed)
        for settings in profile.datasets
        for method in profile.methods
        for bits in profile.bits
        for seed in profile.seeds
    ]
    return [replace(run, inputs=InputConfig(backbone, profile.guide)) for run in planned]


def write_tables(profile: Profile) -> None:
    """Table 1 for each backbone of the profile's study: table1.csv, .md and .tex of the first, the others under its
    name and theirs. Raises ``ValueError`` or ``FileNotFoundError`` where data or weights are missing."""
    names = " and ".join(settings.data.name for settings in profile.datasets)
    for i, (label, backbone) in enumerate(profile.study.backbones):
        table = article_table(run_grid(runs(profile, backbone)), 1, profile)
        titles = {
            metric: f"{title} of {names}, on features of {label}"
            for metric, title in score_titles(profile).items()
        }
        path = save_table(table, f"table1_{backbone}" if i else "table1", profile, titles=titles)
        say(f"{label}: {path}")
