"""Is it the method, or the tags that teach it? Every deep method on the users', the replaced and the clean tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from ctrh.paper.comparisons import STANDS, differences
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run, RunResult, default_settings, make_run, results
from ctrh.paper.tasks import variants_of

# The method that all are held against: it knows the pictures' features and nothing else.
UNTAUGHT = "LSH"
# Of CTRH's learning rates, which may be too fast for another method.
SLOWER = {"a third": 1 / 3, "a tenth": 1 / 10}


def at_equal_rates(profile: Profile, dataset: str, methods: Sequence[str]) -> Profile:
    """``profile`` with CTRH's learning rates for all ``methods`` on ``dataset``.

    Where tags say little, it does not matter much which rates trials choose on them, and these may be too slow to learn
    from better tags: that would look as if tags did not matter.
    """
    name = profile.dataset(dataset).data.name
    factors = [factor for method, where, factor in profile.rates if (method, where) == ("CTRH", name)]
    return replace(profile, rates=tuple((method, name, factor) for method in methods for factor in factors))


def taught_runs(profile: Profile, dataset: str) -> list[Run]:
    """Every deep method of the profile on every variant of the tags, labelled "method, variant tags", and ``UNTAUGHT``: at
    the length of the studies, with the first seed."""
    methods = profile.learners
    equal, bits, seed = at_equal_rates(profile, dataset, methods), profile.study.bits, profile.seeds[0]
    variants = variants_of(profile.dataset(dataset).data)
    taught = [
        make_run(equal, dataset, method, bits, seed, tags, label=f"{method}, {tags} tags")
        for method in methods
        for tags in variants
    ]
    return [*taught, make_run(profile, dataset, UNTAUGHT, bits, seed)]


def taught_rows(results: Iterable[RunResult]) -> pd.DataFrame:
    """mAP@all of the runs of :func:`taught_runs` of one data set less that of ``UNTAUGHT``: rows of
    :func:`ctrh.paper.comparisons.differences` with ``method`` and ``tags`` apart, and ``map_all`` itself."""
    results = list(results)
    frames = []
    for result in results:
        run = result.run
        if run.method != UNTAUGHT:
            row = differences(results, run.label, UNTAUGHT).query("metric == 'map_all'")
            about = {"method": run.method, "tags": run.tags.variant, "map_all": 100 * result.scores.map_all}
            frames.append(row.assign(**about))
    return pd.concat(frames, ignore_index=True)


def taught_in_words(rows: pd.DataFrame) -> str:
    """For each kind of tags, which methods are better than ``UNTAUGHT`` and which two are first; what better tags are worth;
    and what is left of CTRH's lead when all have the same tags: a list in Markdown."""
    dataset = rows["dataset"].iloc[0]
    lines = []
    for tags, part in rows.groupby("tags", sort=False):
        ahead = list(part.loc[part["verdict"] == "better", "method"])
        told = ", ".join(ahead) if ahead else "none"
        first = ", then ".join(
            f"{row.method} {row.map_all:.1f}" for row in part.nlargest(2, "map_all").itertuples()
        )
        lines.append(
            f"- {dataset}, **{tags}** tags: better than {UNTAUGHT}: {told} ({len(ahead)} of {len(part)}). "
            f"Highest: {first}; lowest: {part['map_all'].min():.1f}."
        )
    table = rows.pivot_table(index="method", columns="tags", values="map_all", sort=False)
    for better in table.columns[1:]:
        gain = table[better] - table[table.columns[0]]
        lines.append(
            f"- {dataset}: {better} in place of {table.columns[0]} tags are worth {gain.min():+.1f} ({gain.idxmin()}) to "
            f"{gain.max():+.1f} points ({gain.idxmax()})."
        )
    if "CTRH" in table.index and len(table) > 1:
        lead = table.loc["CTRH"] - table.drop(index="CTRH").max()
        told = ", ".join(f"{points:+.1f} points on {tags} tags" for tags, points in lead.items())
        lines.append(f"- {dataset}: CTRH less the best of the others, taught by the same tags: {told}.")
    return "\n".join(lines)


def slower_runs(profile: Profile, dataset: str, method: str) -> list[Run]:
    """``method`` on the best variant of the tags at ``SLOWER`` of the rates of :func:`taught_runs`, labelled so, and
    ``UNTAUGHT``."""
    equal, bits, seed = at_equal_rates(profile, dataset, (method,)), profile.study.bits, profile.seeds[0]
    settings = default_settings(method, equal, equal.dataset(dataset))
    best = variants_of(profile.dataset(dataset).data)[-1]
    runs = [make_run(profile, dataset, UNTAUGHT, bits, seed)]
    for label, share in SLOWER.items():
        slower = replace(settings, train=settings.train.faster(share))
        runs.append(make_run(equal, dataset, method, bits, seed, best, slower, label))
    return runs


def mended_in_words(profile: Profile, missed: pd.DataFrame, taught: pd.DataFrame) -> str:
    """For methods that are not better than ``UNTAUGHT`` with their own tags, whether the best tags mend it: a list in Markdown.

    ``missed``: rows with ``method`` and ``dataset``; ``taught``: those of :func:`taught_rows` for all data sets. Who is not
    mended is tried at :func:`slower_runs`, and every number is told.
    """
    best = taught["tags"].iloc[-1]
    verdicts = taught[taught["tags"] == best].set_index(["dataset", "method"])["verdict"]
    lines = []
    for row in missed.itertuples():
        text = f"- {row.method}, not better than {UNTAUGHT} on {row.dataset} with its own tags, is"
        if verdicts[row.dataset, row.method] == "better":
            lines.append(f"{text} mended by {best} tags.")
            continue
        slower = taught_rows(results(slower_runs(profile, row.dataset, row.method)))
        told = " and ".join(
            f"{each.map_all:.1f} at {label}, {STANDS[each.verdict]} {UNTAUGHT}"
            for label, each in zip(SLOWER, slower.itertuples(), strict=True)
        )
        mended = (slower["verdict"] == "better").any()
        how = f"mended by {best} tags at lower rates" if mended else f"**not** mended by {best} tags"
        lines.append(f"{text} {how}: at CTRH's own it is not, mAP@all is {told}.")
    return "\n".join(lines)
