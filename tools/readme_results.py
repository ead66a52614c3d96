"""Writes the README's results out of ``figures``, between its markers: ``python -m tools.readme_results``."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ctrh.methods.registry import METHODS

ROOT = Path(__file__).parents[1]
DEMO, CLIPART = ROOT / "figures" / "demo", ROOT / "figures" / "openclipart"
BITS = 48
SETS = {"scenes-mir": "MirFlickr", "scenes-nus": "NUS-WIDE"}


def table1() -> str:
    """mAP@all at one length: measured with half of the 95 % interval, and published, side by side."""
    rows = pd.read_csv(DEMO / "table1.csv").query("metric == 'map_all'")
    # Rows that have no codes stand under every length or under none.
    rows = rows[(rows["bits"] == BITS) | rows["bits"].isna()]
    lines = [
        "| method | "
        + " | ".join(f"{ours}, measured | {theirs}, published" for ours, theirs in SETS.items())
        + " |"
    ]
    lines.append("|---|" + "---:|---:|" * len(SETS))
    best = rows.groupby("dataset")["mean"].max()
    for method, group in rows.groupby("method", sort=False):
        cells = []
        for dataset in SETS:
            row = group[group["dataset"] == dataset].iloc[0]
            bold = "**" if method.startswith("CTRH") or row["mean"] == best[dataset] else ""
            cells.append(f"{bold}{row['mean']:.1f}{bold} ± {(row['high'] - row['low']) / 2:.1f}")
            cells.append("" if pd.isna(row["published"]) else f"{row['published']:.1f}")
        note = " (reconstruction)" if method in METHODS and METHODS[method].reconstructed else ""
        lines.append(f"| {method}{note} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tags() -> str:
    """Precision of the tags that teach, one line a data set."""
    rows = pd.read_csv(DEMO / "tag_quality.csv").query("measure == 'precision' and average == 'micro'")
    lines = []
    for dataset in SETS:
        of = rows[rows["dataset"] == dataset].set_index(["tags", "prediction"])["value"]
        users, refined = 100 * of["user", "user"], 100 * of["ensembled", "removed"]
        lines.append(
            f"on {dataset} {users:.0f} % of the users' tags are true, {refined:.0f} % of the refined ones"
        )
    return "; ".join(lines)


def claims() -> str:
    counts = pd.read_csv(DEMO / "claims.csv")["verdict"].value_counts()
    holds, fails, undecided = (counts.get(verdict, 0) for verdict in ("holds", "does not hold", "undecided"))
    return f"{holds} hold, {fails} do not, and {undecided} are undecided, at 95 % confidence for all of them together"


def steps() -> str:
    """What the lead over ITQ is made of, a line a step."""
    rows = pd.read_csv(DEMO / "steps.csv")
    lines = [
        "| what CTRH has more than ITQ, points of mAP@all | " + " | ".join(SETS) + " |",
        "|---|" + "---:|" * len(SETS),
    ]
    for step, group in rows.groupby("step", sort=False):
        of = group.set_index("dataset")
        cells = [f"{of.loc[x, 'difference']:+.1f} ({of.loc[x, 'verdict']})" for x in SETS]
        lines.append(f"| {step}: {of['method'].iloc[0]} over {of['over'].iloc[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def beyond() -> str:
    """What CTRH+ is worth over CTRH in the mean over lengths, and where it loses most to the better of its rivals."""
    means = pd.read_csv(DEMO / "beyond.csv").pivot_table("mean", ["dataset", "bits"], "label")
    gain = (means["CTRH+"] - means["CTRH"]).groupby("dataset").mean()
    noise = pd.read_csv(DEMO / "beyond_noise.csv").pivot_table("mean", ["dataset", "rate"], "label")
    lead = noise["CTRH+"] - noise[["CTRH", "user tags"]].max(axis=1)
    gains = " and ".join(f"{gain[x]:+.1f} points of mAP@all on {x}" for x in SETS)
    worst = " and ".join(f"{lead[x].min():+.1f} on {x} (noise rate {lead[x].idxmin():g})" for x in SETS)
    return (
        f"Over CTRH that is {gains} in the mean over lengths ([with intervals](figures/demo/beyond_effects.csv); "
        f"[tags that are right](figures/demo/beyond_tags.csv)). Against the better of CTRH and user tags it does worst "
        f"at {worst}: much noisier tags than the data sets' own mislead it."
    )


def results() -> str:
    return f"""Flickr's photos cannot be shipped, so the `demo` profile works on scenes drawn from OpenMoji artwork, tagged as carelessly as
Flickr's are, with a guide that has learned from other artists' drawings. **Its numbers are not the article's and are not meant to equal
them**: what can carry over is who wins and why. Published numbers always stand in columns of their own.

Table 1 at {BITS} bits, mAP@all in percent, ± half of the 95 % interval over seeds and queries (all lengths, all metrics:
[`figures/demo/table1.md`](figures/demo/table1.md)). Every method has the same features, batches, epochs and trials of its learning rate, which are
judged on held-out training photos, never on the queries and without labels.

{table1()}

{steps()}

Tags: {tags()} ([`tag_quality.csv`](figures/demo/tag_quality.csv)). Of the article's claims, as the program tests them on these data
([`claims.csv`](figures/demo/claims.csv), notebook 11): {claims()}."""


def openclipart() -> str:
    """Who is best, and what CTRH's three ways reach, in the mean over lengths, by the features that are hashed."""
    lines = []
    for name, features in (("table1", "the guide's"), ("table1_efficientnet-lite0", "EfficientNet's")):
        path = CLIPART / f"{name}.csv"
        means = pd.read_csv(path).query("metric == 'map_all'").groupby("method", sort=False)["mean"].mean()
        ours = ", ".join(f"{method} {means[method]:.1f}" for method in means.index if method.startswith("CTRH"))
        best = means[~means.index.str.startswith("CTRH")].nlargest(3)
        others = ", ".join(f"{method} {value:.1f}" for method, value in best.items())
        link = f"[table](figures/openclipart/{path.stem}.md)"
        lines.append(f"- On {features} features: {ours}; best of the others: {others} ({link}).")
    return "\n".join(["mAP@all in the mean over 16 to 64 bits, three seeds:", "", *lines])


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, block in (("results", results()), ("beyond", beyond()), ("openclipart", openclipart())):
        text = re.sub(
            f"(<!-- {name}: [^>]*-->\n).*?(<!-- /{name} -->)",
            lambda m, block=block: m[1] + block + "\n" + m[2],
            text,
            flags=re.S,
        )
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
