"""Retrieval against the noise of the tags: the same drawn photos, tagged by more or less careless users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, make_run
from ctrh.paper.tables import over_seeds, save_texts, to_latex, to_markdown
from ctrh.paper.tasks import photos_of, tags_of
from ctrh.paper.teachers import at_equal_rates

# Who learns from noisy tags; who is told the clean ones, whatever the users write; and who needs none.
LEARNERS = ("CTRH", "WSHRCA", "WDHT")
ORACLE = "CTRH (clean tags)"
UNTAUGHT = ("ITQ", "LSH")


def noise_runs(profile: Profile, dataset: str) -> list[Run]:
    """Every learner at every noise rate and seed, the oracle and those without tags, at the length of the studies.

    The guide is the zero-shot one (α = 0): one that is fine-tuned on the tags would have to be trained anew for every
    rate. Raises ``ValueError`` for real photos when a run is asked for its task.
    """
    runs, bits = [], profile.study.bits
    for rate in profile.study.noise_rates:
        noisy = at_rate(profile, dataset, rate)
        runs += [make_run(noisy, dataset, name, bits, seed) for name in LEARNERS for seed in profile.seeds]
    usual = at_rate(profile, dataset, 1.0)
    for seed in profile.seeds:
        runs.append(make_run(usual, dataset, "CTRH", bits, seed, tags="clean", label=ORACLE))
        runs += [make_run(usual, dataset, name, bits, seed) for name in UNTAUGHT]
    return runs


def at_rate(profile: Profile, dataset: str, rate: float) -> Profile:
    """``profile`` with the tags of ``dataset`` at ``rate``, the zero-shot guide, and CTRH's learning rates for all."""
    settings = profile.dataset(dataset)
    # At rate 1 it is the data set as it is, so that runs of other studies serve here, too.
    data = replace(settings.data, noise=None if rate == 1 else rate)
    changed = replace(settings, data=data, refine=replace(settings.refine, alpha=0.0))
    others = tuple(changed if each is settings else each for each in profile.datasets)
    return at_equal_rates(replace(profile, datasets=others), dataset, LEARNERS)


def noise_rows(results: Iterable[RunResult]) -> pd.DataFrame:
    """mAP@all by rate: ``label``, ``dataset``, ``rate``, ``bits``, ``metric``, ``mean``, ``low``, ``high``, ``seeds``.

    The oracle and those without tags stand at rate 1; the users' tags are nothing to them.
    """
    frames = []
    for result in results:
        noise = result.run.data.noise
        frames.append(result.rows().assign(rate=1.0 if noise is None else noise))
    rows = pd.concat(frames, ignore_index=True)
    return over_seeds(rows[rows["metric"] == "map_all"], ["label", "dataset", "rate", "bits", "metric"])


def tag_rows(profile: Profile, dataset: str) -> pd.DataFrame:
    """How many of the training photos' tags are right at each rate, in percent: rows as those of :func:`noise_rows`,
    ``metric`` "right_tags", ``label`` "user" or "replaced", without bounds.
    """
    rows = []
    for rate in profile.study.noise_rates:
        run = make_run(at_rate(profile, dataset, rate), dataset, "CTRH", profile.study.bits)
        photos = photos_of(run.data)
        train = photos.split.train
        for label, tags in (("user", photos.tags), ("replaced", tags_of(photos, run.data, run.tags))):
            right = tags[train].multiply(photos.truth[train]).sum() / tags[train].sum()
            rows.append({"label": label, "dataset": photos.name, "rate": rate, "mean": 100 * right})
    return pd.DataFrame(rows).assign(metric="right_tags")


def save_noise_table(rows: pd.DataFrame, profile: Profile) -> str:
    """Writes ``noise``.md and .tex from the rows of :func:`noise_rows` and :func:`tag_rows`; the Markdown."""
    titles = {"map_all": "mAP@all", "right_tags": "tags that are right"}
    texts = rows.assign(
        what=rows["metric"].map(titles),
        column=[("measured, %", f"rate {rate:g}") for rate in rows["rate"]],
        text=[
            f"{row.mean:.2f}" + (f" ± {(row.high - row.low) / 2:.2f}" if row.high > row.low else "")
            for row in rows.itertuples()
        ],
    )
    frame = texts.pivot_table(
        index=["what", "label"], columns="column", values="text", aggfunc="first", sort=False
    )
    order = [("measured, %", f"rate {rate:g}") for rate in sorted(rows["rate"].unique())]
    frame = frame[order].fillna("").rename_axis(["", "method or tags"])
    frame.columns = pd.MultiIndex.from_tuples(order)
    where = f"{rows['dataset'].iloc[0]}, {profile.study.bits} bits, profile {profile.name}, zero-shot guide (α = 0)"
    caption = f"mAP@all against the noise rate of the tags (1: the data set as it is). {where}."
    markdown = f"{caption}\n\n{to_markdown(frame)}"
    save_texts("noise", profile, markdown, to_latex(frame, caption))
    return markdown


def noise_in_words(rows: pd.DataFrame) -> str:
    """What the rows of :func:`noise_rows` say: what noise costs each learner, until when it is worth learning from tags,
    who is first at each rate, and how far from the oracle, as a list in Markdown."""
    learned = rows[rows["label"].isin(LEARNERS)]
    table = learned.pivot_table(index="rate", columns="label", values="mean", sort=False).sort_index()
    oracle = rows.loc[rows["label"] == ORACLE, "mean"].iloc[0]
    first, last = table.iloc[0], table.iloc[-1]
    lines = [
        f"- **{label}** goes from {first[label]:.1f} at rate {table.index[0]:g} to {last[label]:.1f} at rate "
        f"{table.index[-1]:g} ({last[label] - first[label]:+.1f} points)."
        for label in table
    ]
    for other in rows.loc[rows["label"].isin(UNTAUGHT), "label"].unique():
        level = rows.loc[rows["label"] == other, "mean"].iloc[0]
        above = [
            f"{label} at {', '.join(f'{rate:g}' for rate in table.index[table[label] > level]) or 'none'}"
            for label in table
        ]
        lines.append(
            f"- Above {other} ({level:.1f}), which needs no tags, at these rates: {'; '.join(above)}."
        )
    best = table.idxmax(axis=1)
    leads = ", ".join(f"{best[rate]} at {rate:g}" for rate in table.index)
    gaps = ", ".join(f"{oracle - table.loc[rate].max():+.1f} at {rate:g}" for rate in table.index)
    steady = (first - last).idxmin()
    return "\n".join(
        [
            *lines,
            f"- Highest: {leads}. Noise costs **{steady}** least.",
            f"- What clean tags would add to the highest of them, in points: {gaps}.",
        ]
    )
