"""The measured numbers that claims rest on, out of the runs of all tables and of Figure 9."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd

from ctrh.paper.claims import Cell, Estimate
from ctrh.paper.costs import ALEXNET
from ctrh.paper.effects import precisions
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, make_run, results
from ctrh.paper.studies import ablation, backbones, guides, sensitivity


def comparison_runs(profile: Profile) -> list[Run]:
    """Tables 1 and 2: the profile's methods on all data sets, lengths and seeds."""
    grid = product(profile.datasets, profile.methods, profile.bits, profile.seeds)
    return [make_run(profile, each.data.name, method, bits, seed) for each, method, bits, seed in grid]


def runs_of_studies(profile: Profile) -> dict[str, tuple[list[Run], Mapping[str, str]]]:
    """The runs that claims rest on, by study, and what their labels stand for in the article."""
    return {
        "comparison": (comparison_runs(profile), {}),
        "ablation": (ablation.variant_runs(profile), {}),
        "sensitivity": (sensitivity.sensitivity_runs(profile), {}),
        "backbones": (backbones.backbone_runs(profile), backbones.STANDS_FOR),
        "guides": (guides.guide_runs(profile), guides.STANDS_FOR),
    }


def measured_cells(profile: Profile) -> dict[Cell, np.ndarray]:
    """Every score of the profile's runs, (S, Q) percent of seeds and queries, by the article's names.

    Finished runs are read back, missing ones computed.
    """
    article = {each.data.name: each.article for each in profile.datasets}
    metrics = {f"map_{profile.top}": "map_5000"}
    cells = {}
    for study, (runs, stands_for) in runs_of_studies(profile).items():
        for (dataset, bits, metric, label), seeds in precisions(results(runs)).items():
            name, score = stands_for.get(label, label), metrics.get(metric, metric)
            cell = Cell(study, name, article[dataset], bits, score)
            cells[cell] = np.stack([seeds[seed] for seed in sorted(seeds)])
    return cells


def cost_cells(rows: pd.DataFrame, profile: Profile) -> dict[Cell, Estimate]:
    """The times and sizes of Table 3 (:func:`ctrh.paper.costs.cost_rows`): of the AlexNet networks, as the article's.

    A number without bounds is exact.
    """
    article = {each.data.name: each.article for each in profile.datasets}
    alexnet = rows[rows["backbone"] == "alexnet"]
    cells = {}
    for row in alexnet.assign(metric=alexnet["metric"].str.removeprefix(ALEXNET)).itertuples():
        low, high = (row.mean if np.isnan(bound) else bound for bound in (row.low, row.high))
        cells[Cell("cost", row.method, article[row.dataset], row.bits, row.metric)] = Estimate(
            row.mean, low, high
        )
    return cells
