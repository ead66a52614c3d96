"""Is it the method, or the tags that teach it? Methods crossed with tags, and retrieval against the noise of the tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from ctrh.methods.registry import METHODS
from ctrh.paper.effects import differences
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run
from ctrh.paper.tables import over_seeds, save_texts
from ctrh.paper.tasks import photos_of, tags_of, variants_of

# The method that all are held against: it knows the pictures' features and nothing else.
UNTAUGHT = "LSH"
# Of the users' tags replaced and their text features by the guide: CTRH's own supervision, for any method.
GUIDED = "replaced, guide's text"
# What CTRH has more than ITQ, step by step: after and before; the first four add up to the fifth.
STEPS = {
    "the guide's words in place of its features": ("ITQ (concepts)", "ITQ"),
    "codes learned from them": ("UHSCM", "ITQ (concepts)"),
    "its tags and text as a teacher": (f"WSHRCA, {GUIDED}", "UHSCM"),
    "CTRH's network and losses": ("CTRH", f"WSHRCA, {GUIDED}"),
    "all together": ("CTRH", "ITQ"),
    "WSHRCA, by CTRH's supervision": (f"WSHRCA, {GUIDED}", "WSHRCA"),
    "CTRH, against the words uncompressed": ("CTRH", "concepts (float)"),
}
# In the noise study: who learns from noisy tags, who is told the clean ones, and who needs none.
LEARNERS, ORACLE, WITHOUT = ("CTRH", "WSHRCA", "WDHT"), "CTRH (clean tags)", ("ITQ", "LSH")
# CTRH's learning rates may be too fast for another method, so the best tags are tried at a share of them, too.
SLOWER = 0.1


def at_equal_rates(profile: Profile, dataset: str, methods: Sequence[str], share: float = 1.0) -> Profile:
    """``profile`` with a ``share`` of CTRH's learning rates on ``dataset`` for all ``methods``: rates chosen
    on poor tags may be too slow for better ones, which would look as if tags did not matter."""
    name = profile.dataset(dataset).data.name
    factors = [factor for *where, factor in profile.rates if where == ["CTRH", name]] or [1.0]
    rates = [(method, name, share * factor) for method in methods for factor in factors]
    return replace(profile, rates=tuple(rates))


def taught_runs(profile: Profile, dataset: str) -> list[Run]:
    """Every method that reads tags on every variant of them, the best at ``SLOWER`` rates too, and ``GUIDED``; and
    ``UNTAUGHT``."""
    methods = [name for name in profile.learners if METHODS[name].needs != "concepts"]
    bits, seed = profile.study.bits, profile.seeds[0]
    variants = variants_of(profile.dataset(dataset).data)
    taught = [(tags, tags, 1.0) for tags in variants] + [(f"{variants[-1]}, slowly", variants[-1], SLOWER)]
    runs = []
    for method in methods:
        for label, tags, share in taught:
            rates = at_equal_rates(profile, dataset, methods, share)
            runs.append(make_run(rates, dataset, method, bits, seed, tags, label=f"{method}, {label}"))
        runs.append(guided_run(profile, dataset, method, seed))
    return [*runs, make_run(profile, dataset, UNTAUGHT, bits, seed)]


def guided_run(profile: Profile, dataset: str, method: str, seed: int) -> Run:
    """``method`` taught as CTRH is, at CTRH's rates."""
    rates = at_equal_rates(profile, dataset, [method])
    settings = default_settings(method, rates, rates.dataset(dataset))
    if hasattr(settings, "heads"):  # those for word vectors need not divide the width of the guide's text
        settings = replace(settings, heads=profile.heads)
    label = f"{method}, {GUIDED}"
    run = make_run(rates, dataset, method, profile.study.bits, seed, "replaced", settings, label)
    return replace(run, tags=replace(run.tags, words=None))


def step_runs(profile: Profile, dataset: str) -> list[Run]:
    """The runs of ``STEPS``, at the length of the studies; most of them are those of Tables 1 and 2."""
    names = {name for pair in STEPS.values() for name in pair if GUIDED not in name}
    runs = [make_run(profile, dataset, name, profile.study.bits, seed) for name in sorted(names) for seed in profile.seeds]
    return runs + [guided_run(profile, dataset, "WSHRCA", seed) for seed in profile.seeds]


def step_rows(results: Sequence[RunResult]) -> pd.DataFrame:
    """What each of ``STEPS`` is worth: its difference in mAP@all, of :func:`step_runs`, behind ``step``."""
    parts = [differences(results, *pair).assign(step=step) for step, pair in STEPS.items()]
    rows = pd.concat(parts, ignore_index=True).query("metric == 'map_all'").reset_index(drop=True)
    return rows[["step", *rows.columns.drop("step")]]


def taught_rows(results: Sequence[RunResult]) -> pd.DataFrame:
    """mAP@all of :func:`taught_runs` less that of ``UNTAUGHT``, with ``method`` and ``tags`` apart."""
    rows = differences(results, None, UNTAUGHT).query("metric == 'map_all'").reset_index(drop=True)
    scores = {result.run.label: 100 * result.scores.map_all for result in results}
    names = rows["method"].str.split(", ", n=1, expand=True)
    return rows.assign(method=names[0], tags=names[1], map_all=rows["method"].map(scores))


def noise_runs(profile: Profile, dataset: str) -> list[Run]:
    """Every learner at every noise rate and seed, the oracle and those without tags. The guide is the
    zero-shot one: one fine-tuned on the tags would have to be trained anew for every rate."""
    runs, bits = [], profile.study.bits
    for rate in profile.study.noise_rates:
        noisy = at_rate(profile, dataset, rate)
        runs += [make_run(noisy, dataset, name, bits, seed) for name in LEARNERS for seed in profile.seeds]
    usual = at_rate(profile, dataset, 1.0)
    for seed in profile.seeds:
        runs.append(make_run(usual, dataset, "CTRH", bits, seed, tags="clean", label=ORACLE))
        runs += [make_run(usual, dataset, name, bits, seed) for name in WITHOUT]
    return runs


def at_rate(profile: Profile, dataset: str, rate: float) -> Profile:
    """``profile`` with ``dataset`` at noise ``rate``, the zero-shot guide, and CTRH's learning rates for all."""
    settings = profile.dataset(dataset)
    # At rate 1 it is the data set as it is, so that runs of other studies serve here, too.
    data = replace(settings.data, noise=None if rate == 1 else rate)
    changed = replace(settings, data=data, refine=replace(settings.refine, alpha=0.0))
    others = tuple(changed if other is settings else other for other in profile.datasets)
    return at_equal_rates(replace(profile, datasets=others), dataset, LEARNERS)


def noise_rows(results: Iterable[RunResult]) -> pd.DataFrame:
    """mAP@all by noise rate; the oracle and those without tags stand at rate 1."""
    rates = [(result, result.run.data.noise) for result in results]
    rows = pd.concat([result.rows().assign(rate=1.0 if rate is None else rate) for result, rate in rates])
    return over_seeds(rows[rows["metric"] == "map_all"], ["label", "dataset", "rate", "bits", "metric"])


def tag_rows(profile: Profile, dataset: str) -> pd.DataFrame:
    """How many of the training photos' tags are right at each rate, in percent: "user" and "replaced"."""
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
    """Writes ``noise``.md and .tex from :func:`noise_rows` and :func:`tag_rows`; the Markdown."""
    titles = {"map_all": "mAP@all", "right_tags": "tags that are right"}
    halves = (rows["high"] - rows["low"]) / 2
    spans = (" ± " + halves.map("{:.2f}".format)).where(halves > 0, "")
    texts = rows.assign(what=rows["metric"].map(titles), text=rows["mean"].map("{:.2f}".format) + spans)
    frame = texts.pivot_table("text", ["what", "label"], "rate", aggfunc="first", sort=False, fill_value="")
    frame = frame.sort_index(axis=1).rename_axis(["", "method or tags"])
    frame.columns = pd.MultiIndex.from_tuples([("measured, %", f"rate {rate:g}") for rate in frame.columns])
    where = f"{rows['dataset'].iloc[0]}, {profile.study.bits} bits, profile {profile.name}, zero-shot guide (α = 0)"
    caption = f"mAP@all against the noise rate of the tags (1: the data set as it is). {where}."
    return save_texts("noise", profile, {caption: frame})
