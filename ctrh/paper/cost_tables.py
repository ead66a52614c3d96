"""Table 3 in rows and in text: measured costs of encoding beside the published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ctrh.paper.costs import BATCH, Cost, article_candidates, costs, own_candidates
from ctrh.paper.outputs import save_rows
from ctrh.paper.profiles import Profile
from ctrh.paper.published import published_table
from ctrh.paper.tables import beside_published, save_texts, to_latex, to_markdown

ALEXNET = "alexnet_"
MEASURED = {
    "time_ms": "ms, one by one",
    "time_batched_ms": f"ms, batches of {BATCH}",
    "memory_mb": "MB",
    "training_mb": "MB in training",
    "peak_mb": "MB resident",
    "idle_mb": "MB resident before",
}


def cost_rows(profile: Profile) -> pd.DataFrame:
    """Table 3, a row a number: ``method``, ``dataset``, ``bits``, ``metric``, ``mean`` (of times the median), ``low``,
    ``high``, ``seeds``, ``published``, and how: ``backbone``, ``device``, ``threads``, ``batch``.

    Metrics: ``time_ms`` (one picture at a time), ``time_batched_ms``, ``memory_mb`` (parameters of the image network),
    and those of :class:`Cost` for the profile's own networks; where these are not AlexNet and the study wants it, the same
    for the article's, called ``alexnet_time_ms`` and so on. Networks do not depend on the data set: all data sets have the same rows.
    """
    candidates = [("", each) for each in own_candidates(profile)]
    if profile.backbone != "alexnet" and profile.study.full_size:
        candidates += [(ALEXNET, each) for each in article_candidates(profile)]
    rows = []
    for (prefix, candidate), cost in zip(candidates, costs([each for _, each in candidates]), strict=True):
        about = {"seeds": 1, "backbone": candidate.backbone, "device": candidate.device}
        for metric, batch, values in _metrics(cost):
            row = {"bits": candidate.settings.bits, "metric": prefix + metric}
            row |= dict(zip(("mean", "low", "high"), values, strict=True))
            row |= about | {"threads": candidate.threads, "batch": batch}
            for dataset in profile.datasets:
                rows.append({"method": candidate.method, "dataset": dataset.data.name, **row})
    table = pd.DataFrame(rows)
    plain = table.assign(metric=table["metric"].str.removeprefix(ALEXNET))
    table.insert(8, "published", beside_published(plain, 3, profile)["published"])
    return table


def cost_frame(rows: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Table 3 as text, from :func:`cost_rows`: a line for each network and method; the article's times of both data sets.

    Nothing is marked as the best: between equal networks the clock's noise would decide.
    """
    first = rows[rows["dataset"] == profile.datasets[0].data.name]
    published, lines = published_table(3), {}
    for (backbone, method), part in first.groupby(["backbone", "method"], sort=False):
        values = part.set_index(part["metric"].str.removeprefix(ALEXNET))
        line = {
            (f"measured ({profile.name})", title): f"{values.loc[metric, 'mean']:.2f}"
            for metric, title in MEASURED.items()
        }
        printed = published[published["method"] == method].groupby("metric")["published"].unique()
        for metric, title in (("time_ms", "ms"), ("memory_mb", "MB")):
            line["published", title] = " / ".join(f"{value:.2f}" for value in printed[metric])
        lines[backbone, method] = line
    frame = pd.DataFrame(lines).T
    frame.index.names = ["backbone", "method"]
    return frame


def save_cost_table(rows: pd.DataFrame, profile: Profile) -> str:
    """Writes ``table3``.csv, .md and .tex; the Markdown."""
    how = rows.iloc[0]
    caption = (
        f"Milliseconds to encode a picture (median; {how['device']}, threads: {how['threads']}; one by one and in batches of "
        f"{BATCH}) and megabytes (parameters; the process's resident memory at most). Published: the article's own machine, "
        "MirFlickr / NUS-WIDE, AlexNet, 64 bits."
    )
    frame = cost_frame(rows, profile)
    markdown = f"{caption}\n\n{to_markdown(frame)}"
    save_texts("table3", profile, markdown, to_latex(frame, caption))
    save_rows(rows, "table3", profile.name)
    return markdown


def memory_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the AlexNet networks in the rows of :func:`cost_rows`: megabytes of parameters ``measured`` and ``published``,
    their ``difference`` and its share of what is published in ``percent``; index: ``method``. Empty for other codes than
    the article's 64 bits.
    """
    metric = rows["metric"].str.removeprefix(ALEXNET)
    chosen = rows[(rows["backbone"] == "alexnet") & (metric == "memory_mb")].dropna(subset="published")
    table = chosen.groupby("method", sort=False)[["mean", "published"]].first()
    table = table.rename(columns={"mean": "measured"})
    difference = table["measured"] - table["published"]
    return table.assign(difference=difference, percent=100 * difference / table["published"])


def _metrics(cost: Cost) -> list[tuple[str, int, tuple[float, float, float]]]:
    """Of every metric its name, how many pictures at a time (0: none), and its value with bounds."""
    sizes = {
        ("memory_mb", 0): cost.image,
        ("encoding_mb", 0): cost.encoding,
        ("training_mb", 0): cost.training,
        ("peak_mb", 1): cost.peak_one,
        ("peak_batched_mb", BATCH): cost.peak_batched,
        ("idle_mb", 0): cost.idle,
    }
    times = [("time_ms", 1, cost.one), ("time_batched_ms", BATCH, cost.batched)]
    return times + [(name, batch, (value, np.nan, np.nan)) for (name, batch), value in sizes.items()]
