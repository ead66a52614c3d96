"""The figure "cost against size", and docs/scale.md: what far larger collections would need, by the measured slopes."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.scaling import EVALUATED, SEARCHED, TAGGED
from ctrh.paper.style import BLUE, GREY, PAGE, RED, save_figure, use_style
from ctrh.store import replacing

PAGE_FILE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
PANELS = {
    SEARCHED: ("Exact search, one query", "codes of 64 bits"),
    EVALUATED: ("Evaluation, one query", "codes of 64 bits"),
    TAGGED: ("Tag replacement, one photo", "tags"),
}
SIZES = (10**9, 10**11)
ON_SERVERS = "search, PostgreSQL, "
IN_ONNX = "runtime, "


def write(results: pd.DataFrame, facts: pd.DataFrame) -> None:
    """Draws the figure and writes the page out of the tables that ``python -m benchmarks`` keeps."""
    rows = points(results)
    use_style()
    fig, axes = plt.subplots(1, 3, figsize=(PAGE, 2.3), layout="constrained")
    for ax, (name, (title, unit)) in zip(axes, PANELS.items(), strict=True):
        cost_against_size(ax, rows[rows.name == name]).set(title=title, xlabel=unit)
    axes[0].set_ylabel("seconds")
    axes[0].legend()
    source = f"Measured by python -m benchmarks on {rows.machine.iloc[-1]}, made-up codes and features."
    save_figure(fig, "cost_against_size", "benchmarks", rows, source)
    plt.close(fig)
    with replacing(PAGE_FILE) as temporary:
        temporary.write_text(page(results, facts), encoding="utf-8")


def points(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of the scaling benchmark with their size as a number, ascending."""
    rows = results[results.name.isin(list(PANELS))]
    return rows.assign(items=rows["size"].str.split().str[0].astype(int)).sort_values(["name", "items"])


def cost_against_size(ax: plt.Axes, rows: pd.DataFrame) -> plt.Axes:
    for column, label, colour, marker in (
        ("ours_s", "ctrh", RED, "o"),
        ("reference_s", "reference", GREY, "s"),
    ):
        ax.loglog(rows["items"], rows[column], label=label, color=colour, marker=marker, markersize=3)
    size = rows["items"].to_numpy()
    last = rows["ours_s"].iloc[-1]
    ax.loglog(size, last * size / size[-1], color=BLUE, linewidth=0.7, linestyle=":", label="proportional")
    return ax


def slope(rows: pd.DataFrame) -> tuple[float, float]:
    """Exponent of cost against size, and seconds an item at the largest size, from the two largest sizes."""
    two = rows.tail(2)
    exponent = np.diff(np.log(two["ours_s"]))[0] / np.diff(np.log(two["items"]))[0]
    return float(exponent), float(two["ours_s"].iloc[-1] / two["items"].iloc[-1])


def page(results: pd.DataFrame, facts: pd.DataFrame) -> str:
    rows = points(results)
    exponents = {name: slope(rows[rows.name == name]) for name in PANELS}
    scanned = exponents[SEARCHED][1]
    encoding = facts[(facts.name == "encoding") & (facts.quantity == "images per second")].value.iloc[-1]
    approximate = facts[facts.name.str.startswith("search, ")]
    largest = approximate["size"].str.split().str[0].astype(int).max()
    approximate = approximate[approximate["size"].str.startswith(f"{largest} ")]
    table = approximate.pivot(index="name", columns="quantity", values="value")
    lines = [
        "# What larger collections would need",
        "",
        "Written by `python -m benchmarks --report` out of `benchmarks/results.csv` and `benchmarks/facts.csv`.",
        f"Measured on {rows.machine.iloc[-1]}.",
        "",
        "![Cost against size](../figures/benchmarks/cost_against_size.png)",
        "",
        "## Measured",
        "",
        "Cost grows as size to the power of (1: in proportion), between the two largest sizes measured:",
        "",
        "| what | exponent | seconds an item, at the largest size |",
        "| --- | ---: | ---: |",
        *(f"| {PANELS[n][0].lower()} | {power:.2f} | {each:.2g} |" for n, (power, each) in exponents.items()),
        "",
        f"Search among {largest:,} codes of 64 bits that lie in groups (`benchmarks/search.py`):",
        "",
        "| index | recall@10 | queries a second | bytes a code beside the codes | minutes to build |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in table.dropna(subset=["recall@10"]).iterrows():
        extra = row["bytes per code, beside the codes"]
        lines.append(
            f"| {name.removeprefix('search, ')} | {row['recall@10']:.3f} | {row['queries per second']:,.0f} "
            f"| {extra:.0f} | {row['seconds to build'] / 60:.1f} |"
        )
    lines += [*_servers(facts), *_runtime(results, facts), "", "## Extrapolated"]
    lines += [
        "",
        "**Nothing in this section was run.** It multiplies the numbers above, as if cost went on in proportion; caches, "
        "networks and failing machines will not be so kind. Codes of 64 bits, whose rows are their ids.",
        "",
        "| | " + " | ".join(f"10^{round(np.log10(size))} images" for size in SIZES) + " |",
        "| --- |" + " ---: |" * len(SIZES),
        _row("codes", lambda n: f"{8 * n / 1e9:,.0f} GB"),
        _row("exact scan of one query, on this machine", lambda n: _span(scanned * n)),
        _row("machines of 128 GB to hold them", lambda n: f"{max(1, -(-8 * n // 100e9)):,.0f}"),
        _row(
            "exact scan of one query, spread over 16 such cores a machine (this machine's two as the measure)",
            lambda n: _span(scanned * n / (8 * max(1, -(-8 * n // 100e9)))),
        ),
        _row("encoding every picture once, on this machine", lambda n: _span(n / encoding)),
        "",
        "- **10^9**: one machine. `HammingIndex.load(path, mapped=True)` opens the file without reading it and scans it "
        'exactly; for many queries a second "ivf" keeps a code in its cell and looks at a share of them.',
        "- **10^11**: codes no longer fit one machine. `ctrh.retrieval.postgres.PostgresIndex` keeps the codes of some ids on "
        "each of several servers, asks all of them, and merges their answers by distance: Hamming distances of parts need "
        "no correction.",
        "- Encoding costs more than everything after it, by orders of magnitude, and is what to buy GPUs for.",
        "",
        "Milvus, which has binary vectors in its distributed form, was tried as well: its embedded form, which tests could "
        "run (milvus-lite 3.2.2 with pymilvus 3.0.2), refuses them: *field 'code' uses Milvus type BinaryVector which "
        "MilvusLite does not support*.",
        "",
    ]
    return "\n".join(lines)


def _servers(facts: pd.DataFrame) -> list[str]:
    """What codes on PostgreSQL cost, where that was measured."""
    measured = facts[facts.name.str.startswith(ON_SERVERS)]
    if measured.empty:
        return []
    size = measured["size"].iloc[-1]  # the latest
    measured = measured[measured["size"] == size]
    lines = [
        "",
        "The same interface on PostgreSQL servers with pgvector, for collections that outgrow one machine "
        f"(`benchmarks/postgres.py`; {size.partition(';')[0]}, all of them on this one machine, so that nothing is said of "
        "networks):",
        "",
        "| index | recall@10 | queries a second | codes added a second | bytes a code, with all indexes |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in measured.pivot(index="name", columns="quantity", values="value").iterrows():
        lines.append(
            f"| {name.removeprefix(ON_SERVERS)} | {row['recall@10']:.3f} | {row['queries per second']:,.0f} "
            f"| {row['codes added per second']:,.0f} | {row['bytes per code, with all indexes']:.0f} |"
        )
    return lines


def _runtime(results: pd.DataFrame, facts: pd.DataFrame) -> list[str]:
    """What the codes of an exported encoder lose, where that was measured."""
    measured = facts[facts.name.str.startswith(IN_ONNX)]
    if measured.empty:
        return []
    size = measured["size"].iloc[-1]
    table = measured[measured["size"] == size].pivot(index="name", columns="quantity", values="value")
    ratios = results[results["size"] == size].set_index("name")["ratio"]
    columns = ("bits that agree, %", "codes that agree, %", "mAP", "mAP in PyTorch", "mAP, queries alone encoded so")
    lines = [
        "",
        f"An encoder exported as ONNX, in onnxruntime (`benchmarks/runtime.py`; {size}). `fit` and `search` keep the codes of "
        "PyTorch; 8 bits (`export --int8`) are for whoever encodes everything with the exported file:",
        "",
        f"| | times as fast | {' | '.join(columns)} |",
        f"| --- | ---: |{' ---: |' * len(columns)}",
    ]
    for name, row in table.iterrows():
        cells = [f"{row[c]:.2f}" if c.endswith("%") else f"{row[c]:.4f}" for c in columns]
        lines.append(f"| {name.removeprefix(IN_ONNX)} | {ratios[name]:.2f} | {' | '.join(cells)} |")
    return lines


def _row(what: str, cost) -> str:
    return f"| {what} | " + " | ".join(cost(size) for size in SIZES) + " |"


def _span(seconds: float) -> str:
    units = {"years": 3.156e7, "days": 86_400, "hours": 3600, "minutes": 60, "s": 0.5}
    unit = next((unit for unit, length in units.items() if seconds >= 2 * length), "s")
    value = seconds / (1 if unit == "s" else units[unit])
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
