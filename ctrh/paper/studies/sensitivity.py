"""How much hangs on three numbers: Figure 9, mAP@k over α, ε and λ4 at one code length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from ctrh.paper.effects import collapses, effects
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.studies.ablation import with_refinement, with_tag_balance
from ctrh.paper.tables import over_seeds

PARAMETERS = {"α": "share of fine-tuned weights, (2)", "ε": "margin of (16)", "λ4": "weight of (18)"}


def values_of(profile: Profile) -> dict[str, tuple[float, ...]]:
    """The values of each of ``PARAMETERS``, ascending: the study's, and the article's of all data sets."""
    study = profile.study
    values = {}
    for parameter, tried in zip(PARAMETERS, (study.alphas, study.margins, study.tag_balances), strict=True):
        chosen = {chosen_values(dataset)[parameter] for dataset in profile.datasets}
        values[parameter] = tuple(sorted({*tried, *chosen}))
    return values


def chosen_values(dataset: DatasetSettings) -> dict[str, float]:
    """The values that the article sets for a data set."""
    losses = dataset.losses
    return dict(zip(PARAMETERS, (dataset.refine.alpha, losses.margin, losses.weights[3]), strict=True))


def sensitivity_runs(profile: Profile) -> list[Run]:
    """CTRH at the studies' length with one parameter changed at a time, labelled "ε = 0.7"."""
    runs = []
    for dataset in profile.datasets:
        full = default_settings("CTRH", profile, dataset)
        for parameter, values in values_of(profile).items():
            for value, seed in product(values, profile.seeds):
                losses = {"ε": replace(full.losses, margin=value), "λ4": with_tag_balance(full.losses, value)}
                settings = replace(full, losses=losses.get(parameter, full.losses))
                where = (dataset.data.name, "CTRH", profile.study.bits, seed)
                run = make_run(profile, *where, settings=settings, label=f"{parameter} = {value:g}")
                runs.append(with_refinement(run, alpha=value) if parameter == "α" else run)
    return runs


def figure9(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """Figure 9: mean and interval, whether the value is the article's (``chosen``), how many runs
    ``collapsed``. The article draws these curves and prints none of their numbers."""
    rows = pd.concat([result.rows() for result in results], ignore_index=True)
    table = over_seeds(rows[rows["metric"] == f"map_{profile.top}"], ["label", "dataset", "bits", "metric"])
    labels, counts = table["label"].str.split(" = ", expand=True), collapses(results)
    table = table.assign(parameter=labels[0], value=labels[1].astype(float))
    article = {dataset.data.name: chosen_values(dataset) for dataset in profile.datasets}
    table["chosen"] = [article[row.dataset][row.parameter] == row.value for row in table.itertuples()]
    table["collapsed"] = [counts[row.dataset, row.bits, row.label] for row in table.itertuples()]
    return table[["parameter", "value", *table.columns[1:-4], "chosen", "collapsed"]]


def best_values(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """For each data set and parameter the ``best`` value by mAP@k, and how far it beats the ``article``'s."""
    rows = []
    for dataset in profile.datasets:
        mine = [result for result in results if result.run.data == dataset.data]
        for parameter, value in chosen_values(dataset).items():
            panel = [result for result in mine if result.run.label.startswith(f"{parameter} = ")]
            others = effects(panel, f"{parameter} = {value:g}")
            others = others[others["metric"] == f"map_{profile.top}"]
            best = others.loc[others["difference"].idxmax()]
            row = {"dataset": dataset.data.name, "parameter": parameter, "best": value, "article": value}
            row |= {"difference": 0.0, "low": 0.0, "high": 0.0, "verdict": "the same"}
            if best["difference"] > 0:
                row["best"] = float(best["label"].split(" = ")[1])
                row |= best[["difference", "low", "high", "verdict"]].to_dict()
            rows.append(row)
    return pd.DataFrame(rows)
