"""Table 1's methods on data that stand for none of the article's (``article=""``), where the notebooks have nothing to say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from ctrh.paper.launch import say
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, make_run, run_grid
from ctrh.paper.tables import article_table, save_table, score_titles
from ctrh.paper.tasks import InputConfig

# CTRH on other tags than the replaced ones, in rows of their own.
TAUGHT = {"CTRH (user tags)": "user", "CTRH+": "calibrated"}


def runs(profile: Profile, backbone: str) -> list[Run]:
    """Every method, and CTRH on the tags of ``TAUGHT``, at every length and seed, all on the features of the same
    ``backbone``; where that is not the guide's, CTRH too reads the profile's word vectors, so that all are taught by the
    same text."""
    labels = dict.fromkeys(profile.methods) | (TAUGHT if "CTRH" in profile.methods else {})
    planned = []
    for settings, label, bits, seed in product(profile.datasets, labels, profile.bits, profile.seeds):
        method = "CTRH" if label in TAUGHT else label
        run = make_run(profile, settings.data.name, method, bits, seed, labels[label], label=label)
        if backbone != "guide" and run.tags and run.tags.variant != "concepts":
            run = replace(run, tags=replace(run.tags, words=profile.words))
        planned.append(replace(run, inputs=InputConfig(backbone, profile.guide)))
    return planned


def write_tables(profile: Profile) -> None:
    """Table 1 for each backbone of the profile's study: ``table1`` (.csv, .md, .tex), the others with their names."""
    names = " and ".join(settings.data.name for settings in profile.datasets)
    for i, (label, backbone) in enumerate(profile.study.backbones):
        table = article_table(run_grid(runs(profile, backbone)), 1, profile, "label")
        titles = {x: f"{title} of {names}, on features of {label}" for x, title in score_titles(profile).items()}
        file = f"table1_{label.lower()}" if i else "table1"
        say(f"{label}: {save_table(table, file, profile, titles=titles)}")
