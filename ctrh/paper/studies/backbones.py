"""What the image network is worth, and what it costs: Tables 6 and 7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pandas as pd

from ctrh.backbones import backbone_parts
from ctrh.paper.costs import Candidate, cost
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, default_settings, make_run
from ctrh.paper.tables import article_table
from ctrh.paper.tasks import guide_of

TABLES = (6, 7)
# What stands beside which row of the article; the others are the article's own.
STANDS_FOR = {
    "small-alexnet": "AlexNet",
    "small-resnet": "ResNet-50",
    "small-vit": "ViT-B-16",
    "guide": "CLIP (ViT-B-32)",
}


def backbone_runs(profile: Profile) -> list[Run]:
    """CTRH on each of the study's backbones, for all data sets, lengths and seeds.

    The guide's encoder is frozen in any profile, as in the article; the others train along where the profile's does.
    """
    grid = product(profile.datasets, profile.study.backbones, profile.bits, profile.seeds)
    runs = []
    for dataset, (label, name), bits, seed in grid:
        run = make_run(profile, dataset.data.name, "CTRH", bits, seed, label=label)
        trained = profile.end_to_end and name != "guide"
        run = replace(run, inputs=replace(run.inputs, backbone=name, end_to_end=trained))
        runs.append(run if trained else _on_features(run))
    return runs


def _on_features(run: Run) -> Run:
    """Features are read once, of whole pictures: there is nothing to crop or to decode."""
    train = replace(run.settings.train, augment=False, decoded=False)
    return replace(run, settings=replace(run.settings, train=train))


def mapping(profile: Profile) -> pd.DataFrame:
    """Which network stands beside which row of the article, and what is trained of it; index: the label."""
    runs = {run.label: run for run in backbone_runs(profile)}
    rows = [
        (
            label,
            name,
            STANDS_FOR.get(label, label),
            "trained along" if runs[label].inputs.end_to_end else "frozen",
        )
        for label, name in profile.study.backbones
    ]
    columns = ["label here", "network", "row of the article", "its weights"]
    return pd.DataFrame(rows, columns=columns).set_index("label here")


def named_tables(
    rows: pd.DataFrame, numbers: tuple[int, ...], stands_for: Mapping[str, str], profile: Profile
) -> dict[int, pd.DataFrame]:
    """Tables of the article out of labelled rows, each label beside the article's row that it ``stands_for``."""
    own = {article: label for label, article in stands_for.items() if label in set(rows["label"])}
    tables = {}
    for number in numbers:
        table = article_table(rows.assign(label=rows["label"].replace(stands_for)), number, profile, "label")
        tables[number] = table.replace({table.columns[0]: own})
    return tables


def printed_names(tables: Mapping[int, pd.DataFrame], stands_for: Mapping[str, str]) -> dict[str, str]:
    """ "small-vit" -> "small-vit (published: ViT-B-16)": how tables of :func:`named_tables` say which rows stand beside each
    other, where there are published numbers at all.
    """
    printed = {
        label
        for table in tables.values()
        for label in table.loc[table["published"].notna(), table.columns[0]].unique()
    }
    return {
        label: f"{label} (published: {article})" for label, article in stands_for.items() if label in printed
    }


def backbone_tables(rows: pd.DataFrame, profile: Profile) -> dict[int, pd.DataFrame]:
    """Tables 6 (mAP@all) and 7 (mAP@k) out of the rows of :func:`backbone_runs`."""
    return named_tables(rows, TABLES, STANDS_FOR, profile)


def cost_rows(profile: Profile) -> pd.DataFrame:
    """What each backbone costs: ``backbone``, ``parameters``, ``trained`` (those of them that the study trains), ``width``
    (F), ``megabytes``, ``one_ms`` for a picture alone and ``encode_ms`` for one in a batch of ``ctrh.paper.costs.BATCH``.

    Times are medians, from pixels to the bits of the studies' length, measured once on a machine
    (:func:`ctrh.paper.costs.cost`).
    """
    settings = default_settings("CTRH", profile, profile.datasets[0])
    settings = replace(settings, bits=profile.study.bits)
    text = (2, guide_of(profile.guide).width)  # encoding does not read it
    weights = mapping(profile)["its weights"]
    rows = []
    for label, name in profile.study.backbones:
        found = cost(Candidate("CTRH", settings, name, profile.guide if name == "guide" else None, text))
        module, width, _ = backbone_parts(name, guide_of(profile.guide) if name == "guide" else None)
        parameters = sum(weight.numel() for weight in module.parameters())
        rows.append(
            {
                "backbone": label,
                "parameters": parameters,
                "trained": parameters if weights[label] == "trained along" else 0,
                "width": width,
                "megabytes": sum(weight.nbytes for weight in module.parameters()) / 1e6,
                "one_ms": float(found["time_ms"][0]),
                "encode_ms": float(found["time_batched_ms"][0]),
            }
        )
    return pd.DataFrame(rows)


def against_cost(tables: Mapping[int, pd.DataFrame], costs: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Rows for the picture: mAP@k at the studies' length beside ``encode_ms`` and ``parameters``."""
    table = tables[TABLES[1]]
    return table[table["bits"] == profile.study.bits].merge(costs, on="backbone", validate="many_to_one")


def best_and_faster(against: pd.DataFrame) -> pd.DataFrame:
    """From the rows of :func:`against_cost`: the best network of each data set, and the nearest of the faster ones."""
    rows = []
    for dataset, part in against.groupby("dataset", sort=False):
        best = part.loc[part["mean"].idxmax()]
        row = {
            "data set": dataset,
            "best": best["backbone"],
            "mAP (%)": best["mean"],
            "ms": best["encode_ms"],
        }
        faster = part[part["encode_ms"] < best["encode_ms"]]
        if len(faster):
            rival = faster.loc[faster["mean"].idxmax()]
            row |= {
                "faster": rival["backbone"],
                "points less": best["mean"] - rival["mean"],
                "its ms": rival["encode_ms"],
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("data set")
