"""How much hangs on three numbers: Figure 9, mAP@k over α, ε and λ4 at one code length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from ctrh.guide.quality import tag_quality
from ctrh.paper.effects import collapses, effects
from ctrh.paper.profiles import DatasetSettings, Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.studies.ablation import with_refinement, with_tag_balance
from ctrh.paper.tables import over_seeds
from ctrh.paper.tag_tables import tag_config
from ctrh.paper.tasks import photos_of, tags_of

PARAMETERS = {"α": "share of fine-tuned weights, (2)", "ε": "margin of (16)", "λ4": "weight of (18)"}


def values_of(profile: Profile) -> dict[str, tuple[float, ...]]:
    """The values that each of ``PARAMETERS`` takes, ascending: those of the study, and the article's of every data set,
    which the others are compared with."""
    study = profile.study
    own = [chosen_values(dataset) for dataset in profile.datasets]
    tried = dict(zip(PARAMETERS, (study.alphas, study.margins, study.tag_balances), strict=True))
    return {name: tuple(sorted({*values, *(each[name] for each in own)})) for name, values in tried.items()}


def chosen_values(dataset: DatasetSettings) -> dict[str, float]:
    """The values that the article sets for a data set."""
    losses = dataset.losses
    return dict(zip(PARAMETERS, (dataset.refine.alpha, losses.margin, losses.weights[3]), strict=True))


def sensitivity_runs(profile: Profile) -> list[Run]:
    """CTRH with one parameter changed at a time, labelled "ε = 0.7", on all data sets and seeds."""
    return [
        changed(profile, dataset.data.name, parameter, value, seed)
        for dataset in profile.datasets
        for parameter, values in values_of(profile).items()
        for value, seed in product(values, profile.seeds)
    ]


def changed(profile: Profile, dataset: str, parameter: str, value: float, seed: int) -> Run:
    """The profile's CTRH at the studies' length, with ``value`` for one of ``PARAMETERS``."""
    settings = default_settings("CTRH", profile, profile.dataset(dataset))
    if parameter == "ε":
        settings = replace(settings, losses=replace(settings.losses, margin=value))
    elif parameter == "λ4":
        settings = replace(settings, losses=with_tag_balance(settings.losses, value))
    elif parameter != "α":
        raise ValueError(f"no parameter is called {parameter!r}: choose one of {', '.join(PARAMETERS)}")
    label = _label(parameter, value)
    run = make_run(profile, dataset, "CTRH", profile.study.bits, seed, settings=settings, label=label)
    return with_refinement(run, alpha=value) if parameter == "α" else run


def figure9(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """The points of Figure 9: ``parameter``, ``value``, ``dataset``, ``bits``, ``metric``, ``mean``, ``low``, ``high``,
    ``seeds``, ``chosen`` (the article's value) and ``collapsed``, in how many runs the codes did.

    The article draws these curves and prints none of their numbers.
    """
    rows = pd.concat([result.rows() for result in results], ignore_index=True)
    table = over_seeds(rows[rows["metric"] == f"map_{profile.top}"], ["label", "dataset", "bits", "metric"])
    parts = table["label"].str.split(" = ", expand=True)
    table = table.assign(parameter=parts[0], value=parts[1].astype(float))
    lost = collapses(results)
    own = [
        chosen_values(profile.dataset(row.dataset))[row.parameter] == row.value for row in table.itertuples()
    ]
    count = [lost.get((row.dataset, row.bits, row.label), 0) for row in table.itertuples()]
    first = ["parameter", "value", "dataset", "bits", "metric", "mean", "low", "high", "seeds"]
    return table[first].assign(chosen=own, collapsed=count)


def best_values(results: Sequence[RunResult], profile: Profile) -> pd.DataFrame:
    """For each data set and parameter the value with the best mAP@k beside the article's.

    Columns ``dataset``, ``parameter``, ``best``, ``article``, and how far the best is ahead of the article's:
    ``difference``, ``low``, ``high`` in points, ``verdict`` as :func:`ctrh.paper.effects.effects` has it.
    """
    lines = []
    for dataset in profile.datasets:
        for parameter, own in chosen_values(dataset).items():
            mine = [
                result
                for result in results
                if result.run.data == dataset.data and result.run.label.startswith(f"{parameter} = ")
            ]
            rows = effects(mine, _label(parameter, own))
            ahead = rows[rows["metric"] == f"map_{profile.top}"].sort_values("difference").iloc[-1]
            line = {"dataset": dataset.data.name, "parameter": parameter, "best": own, "article": own}
            same = {"difference": 0.0, "low": 0.0, "high": 0.0, "verdict": "the same"}
            if ahead["difference"] > 0:
                same = {name: ahead[name] for name in same} | {"best": float(ahead["label"].split(" = ")[1])}
            lines.append(line | same)
    return pd.DataFrame(lines)


def tag_quality_rows(profile: Profile) -> pd.DataFrame:
    """What α does to the tags: ``dataset``, ``alpha``, ``precision`` of the replaced tags over the training photos, pooled,
    in percent. Empty where the truth is not known.
    """
    rows = []
    for dataset, alpha in product(profile.datasets, profile.study.alphas):
        photos = photos_of(dataset.data)
        if photos.truth is None:
            continue
        train = photos.split.train
        given = tags_of(photos, dataset.data, tag_config(profile, dataset, alpha))[train]
        quality = tag_quality(given, photos.truth[train])
        rows.append((dataset.data.name, alpha, 100 * quality.precision_micro))
    return pd.DataFrame(rows, columns=["dataset", "alpha", "precision"])


def _label(parameter: str, value: float) -> str:
    return f"{parameter} = {value:g}"
