"""What the image network is worth, and what it costs: Tables 6 and 7."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pandas as pd

from ctrh.backbones import backbone_parts
from ctrh.paper.costs import Candidate, cost
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, default_settings, make_run
from ctrh.paper.tasks import guide_of

TABLES = (6, 7)
# What stands beside which row of the article; the others are the article's own.
STANDS_FOR = {"small-alexnet": "AlexNet", "small-resnet": "ResNet-50", "small-vit": "ViT-B-16"}
STANDS_FOR["guide"] = "CLIP (ViT-B-32)"


def backbone_runs(profile: Profile) -> list[Run]:
    """CTRH on each of the study's backbones; the guide's encoder is frozen in any profile, as in the article,
    and the others train along where the profile's does."""
    grid = product(profile.datasets, profile.study.backbones, profile.bits, profile.seeds)
    runs = []
    for dataset, (label, name), bits, seed in grid:
        run = make_run(profile, dataset.data.name, "CTRH", bits, seed, label=label)
        trained = profile.end_to_end and name != "guide"
        run = replace(run, inputs=replace(run.inputs, backbone=name, end_to_end=trained))
        if not trained:  # features are read once, of whole pictures: there is nothing to crop or to decode
            train = replace(run.settings.train, augment=False, decoded=False)
            run = replace(run, settings=replace(run.settings, train=train))
        runs.append(run)
    return runs


def mapping(profile: Profile) -> pd.DataFrame:
    """Which network stands beside which row of the article, and what is trained of it; index: the label."""
    trained = {run.label: run.inputs.end_to_end for run in backbone_runs(profile)}
    rows = []
    for label, name in profile.study.backbones:
        weights = "trained along" if trained[label] else "frozen"
        rows.append((label, name, STANDS_FOR.get(label, label), weights))
    columns = ["label here", "network", "row of the article", "its weights"]
    return pd.DataFrame(rows, columns=columns).set_index("label here")


def cost_rows(profile: Profile) -> pd.DataFrame:
    """What each backbone costs; ``one_ms``: a picture alone, ``encode_ms``: one in a batch, pixels to bits."""
    settings = replace(default_settings("CTRH", profile, profile.datasets[0]), bits=profile.study.bits)
    guide = guide_of(profile.guide)
    text = (2, guide.width)  # encoding does not read it
    rows = []
    for label, about in mapping(profile).iterrows():
        name, frozen = about["network"], about["its weights"] == "frozen"
        found = cost(Candidate("CTRH", settings, name, profile.guide if name == "guide" else None, text))
        module, width, _ = backbone_parts(name, guide if name == "guide" else None)
        weights = list(module.parameters())
        count, megabytes = sum(x.numel() for x in weights), sum(x.nbytes for x in weights) / 1e6
        times = float(found["time_ms"][0]), float(found["time_batched_ms"][0])
        rows.append((label, count, 0 if frozen else count, width, megabytes, *times))
    columns = ["backbone", "parameters", "trained", "width", "megabytes", "one_ms", "encode_ms"]
    return pd.DataFrame(rows, columns=columns)
