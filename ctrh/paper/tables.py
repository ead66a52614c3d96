"""Tidy rows to tables: CSV for programs, Markdown and LaTeX for people, published numbers in columns of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctrh.methods.registry import printed_name, references
from ctrh.paper.outputs import results_dir, save_rows
from ctrh.paper.profiles import Profile
from ctrh.paper.published import TABLES, published_table
from ctrh.paper.statistics import interval, seeds_that_differ
from ctrh.store import replacing

NAMES = {"mirflickr": "MirFlickr", "nuswide": "NUS-WIDE", "coco": "MS COCO"}
SYMBOLS = str.maketrans({"α": r"$\alpha$", "→": r"$\to$", "±": r"$\pm$"})
FITTING = r"\resizebox{\ifdim\width>\textwidth \textwidth\else\width\fi}{!}{"
COSTS = ("_ms", "_mb")  # of metrics that end so the smallest is the best


def score_titles(profile: Profile) -> dict[str, str]:
    """What the two scores of ``profile`` are called: metric -> title, with the article's where it has another k."""
    other = "" if profile.top == 5000 else " (the article: mAP@5000)"
    return {"map_all": "mAP@all", f"map_{profile.top}": f"mAP@{profile.top}{other}"}


def over_seeds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Rows with ``value``, ``seed`` and maybe ``ap`` -> one row per group ``by``: ``mean``, ``low``, ``high``, ``seeds``.

    The interval is over seeds and queries where ``ap`` is known, else over seeds; NaN where neither is more than one. Seeds
    whose values are all the same count as one.
    Raises ``ValueError`` when a seed comes twice in a group: its runs differ in something that ``by`` does not name.
    """
    if rows.duplicated([*by, "seed"]).any():
        raise ValueError(f"several runs of the same seed in a group: {list(by)} do not tell the rows apart")
    lines = []
    for key, group in rows.groupby(list(by), sort=False):
        known = "ap" in group and group["ap"].notna().all()
        values = np.stack(group["ap"].tolist()) if known else group[["value"]].to_numpy()  # (S, Q) or (S, 1)
        values = seeds_that_differ(values)
        lines.append((*key, group["value"].mean(), *interval(values)[1:], len(values)))
    table = pd.DataFrame(lines, columns=[*by, "mean", "low", "high", "seeds"])
    return table.replace([-np.inf, np.inf], np.nan)


def beside_published(measured: pd.DataFrame, number: int, profile: Profile) -> pd.DataFrame:
    """``measured`` (of :func:`over_seeds`) with ``published`` of Table ``number``, NaN where it has none: of the
    data set that the profile's stands for, and of mAP@5000 for mAP at the profile's k."""
    article = {settings.data.name: settings.article for settings in profile.datasets}
    keys = measured.replace({"dataset": article, "metric": {f"map_{profile.top}": "map_5000"}})
    on = [TABLES[number][1], "dataset", "bits", "metric"]
    joined = keys[on].merge(published_table(number), on=on, how="left", validate="many_to_one")
    return measured.assign(published=joined["published"].to_numpy())


def article_table(
    rows: pd.DataFrame, number: int, profile: Profile, name_column: str = "method"
) -> pd.DataFrame:
    """Table ``number`` of the article, its metrics alone, from a grid's rows: :func:`over_seeds` of what it
    compares (``name_column`` of ``rows``), ``dataset``, ``bits`` and ``metric``, with ``published``."""
    compares = TABLES[number][1]
    wanted = {f"map_{profile.top}" if m == "map_5000" else m for m in published_table(number)["metric"]}
    chosen = rows[rows["metric"].isin(wanted)].assign(**{compares: rows[name_column]})
    return beside_published(over_seeds(chosen, [compares, "dataset", "bits", "metric"]), number, profile)


def wide(table: pd.DataFrame, name: str, profile: Profile) -> pd.DataFrame:
    """One line per ``name`` (a column of ``table``) and data set, columns (who, bits) of text, "measured" with ±
    half of its interval and the best (references aside) in asterisks. ``ValueError`` for a ``table`` of several metrics."""
    if table["metric"].nunique() != 1:
        raise ValueError(f"one metric at a time, got {sorted(table['metric'].unique())}")
    article = {settings.data.name: settings.article for settings in profile.datasets}
    means = table[~table[name].isin(references())].groupby(["dataset", "bits"])["mean"]
    best = means.min() if table["metric"].iloc[0].endswith(COSTS) else means.max()
    lines: dict[tuple[str, str], dict[tuple[str, int], str]] = {}
    for dataset, rows in table.groupby("dataset", sort=False):
        title, there = NAMES.get(dataset, dataset), article.get(dataset)
        if _has_published(rows) and there != dataset:
            title = f"{title} (published: {NAMES[there]})"
        for row in rows.itertuples():
            line = lines.setdefault((title, printed_name(getattr(row, name))), {})
            half = f" ± {(row.high - row.low) / 2:.2f}" if row.high > row.low else ""
            mark = "*" if row.mean == best.get((dataset, row.bits)) else ""
            line[f"measured ({profile.name})", row.bits] = f"{mark}{row.mean:.2f}{half}{mark}"
            if _has_published(rows):
                line["published", row.bits] = "" if np.isnan(row.published) else f"{row.published:.2f}"
    frame = pd.DataFrame(lines).T.fillna("").sort_index(axis=1).rename_axis(["data set", name])
    return frame.rename(columns=lambda bits: f"{bits} bits", level=1)


def _grouped(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of :func:`wide` with a line for each group, in asterisks, above the lines of its own."""
    parts = []
    for group, rows in frame.groupby(level=0, sort=False):
        parts += [pd.DataFrame("", [f"*{group}*"], frame.columns), rows.droplevel(0)]
    return pd.concat(parts)


def to_markdown(frame: pd.DataFrame) -> str:
    """The frame of :func:`wide` as a Markdown table, each group under a heading of its own, the best in bold."""
    heads = [frame.index.names[1], *(f"{head}, {who}" for who, head in frame.columns)]
    lines = [heads, ["---", *["---:"] * len(frame.columns)]]
    for name, *cells in _grouped(frame).itertuples(name=None):
        lines.append([name, *(f"*{cell}*" if cell.startswith("*") else cell for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(frame: pd.DataFrame, caption: str) -> str:
    """The same for LaTeX (packages booktabs, graphicx), made smaller where it would not fit a page's width."""
    style = _grouped(frame).style.format(_latex_cell, escape="latex")
    style = style.format_index(_latex_name, escape="latex").format_index(escape="latex", axis=1)
    columns = {"column_format": "l" + "r" * len(frame.columns), "multicol_align": "c"}
    text = style.to_latex(hrules=True, caption=_escaped(caption), position_float="centering", **columns)
    text = text.replace(r"\centering", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}")
    text = text.replace(r"\begin{tabular}", FITTING + r"\begin{tabular}")
    return text.replace(r"\end{tabular}", r"\end{tabular}}").translate(SYMBOLS)


def _escaped(text: str) -> str:
    """As Styler escapes the cells of a table, here of one cell that is nothing else."""
    cell = pd.DataFrame([text]).style.hide().hide(axis=1).format(escape="latex")
    return cell.to_latex().splitlines()[1].removesuffix(r" \\")


def _latex_name(text: str) -> str:
    """A heading has no width of its own: it runs over the empty cells beside it."""
    return rf"\rlap{{\textit{{{text.strip('*')}}}}}" if text.startswith("*") else text


def _latex_cell(text: str) -> str:
    """Half an interval in small print, the best in bold."""
    mean, sign, half = text.strip("*").partition(" ± ")
    mean = rf"{mean}{{\scriptsize$\,\pm$\,{half}}}" if sign else mean
    return rf"\textbf{{{mean}}}" if text.startswith("*") else mean


def save_table(
    table: pd.DataFrame,
    file: str,
    profile: Profile,
    name: str = "method",
    titles: Mapping[str, str] | None = None,
    printed: Mapping[str, str] | None = None,
) -> Path:
    """Writes ``file``.csv, all rows as they are, and ``file``.md and .tex, one table a metric; the CSV's path.

    ``titles``: a caption for each metric (default: its name); ``printed``: names as .md and .tex say them.
    """
    frames = {}
    for metric, part in table.groupby("metric", sort=False):
        caption = f"{(titles or {}).get(metric, metric)}. Measured: profile {profile.name}"
        over = "seeds and queries" if part["seeds"].max() > 1 else "queries"
        over += " (where nothing is drawn, over queries)" if part["seeds"].nunique() > 1 else ""
        caption += f"; ±: half of a 95 % interval over {over}" if part["high"].notna().any() else ""
        caption += "; published: the article's own data and settings." if _has_published(part) else "."
        frames[caption] = wide(part.replace({name: dict(printed or {})}), name, profile)
    save_texts(file, profile, frames)
    return save_rows(table, file, profile.name)


def _has_published(table: pd.DataFrame) -> bool:
    return "published" in table and bool(table["published"].notna().any())


def save_texts(file: str, profile: Profile, frames: Mapping[str, pd.DataFrame]) -> str:
    """Writes ``frames``, caption -> table, as ``file``.md and ``file``.tex among the profile's results; the Markdown."""
    markdown = "\n".join(f"{caption}\n\n{to_markdown(frame)}" for caption, frame in frames.items())
    latex = "\n".join(to_latex(frame, caption) for caption, frame in frames.items())
    for suffix, text in ((".md", markdown), (".tex", latex)):
        with replacing(results_dir(profile.name) / f"{file}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return markdown


def article_tables(
    rows: pd.DataFrame, numbers: Iterable[int], profile: Profile, stands_for: Mapping[str, str]
) -> dict[int, pd.DataFrame]:
    """:func:`article_table` of labelled ``rows``, each label beside the article's row that it ``stands_for``."""
    ours = {article: label for label, article in stands_for.items() if label in set(rows["label"])}
    rows, tables = rows.assign(label=rows["label"].replace(stands_for)), {}
    for number in numbers:
        table = article_table(rows, number, profile, "label")
        tables[number] = table.replace({table.columns[0]: ours})
    return tables


def save_article_tables(
    tables: Mapping[int, pd.DataFrame], profile: Profile, stands_for: Mapping[str, str]
) -> str:
    """Writes :func:`article_tables` as ``table4`` and so on, with what a label stands for; their Markdown."""
    texts = []
    for number, table in tables.items():
        name = table.columns[0]
        compared = set(table.dropna(subset="published")[name])
        printed = {x: f"{x} (published: {row})" for x, row in stands_for.items() if x in compared}
        save_table(table, f"table{number}", profile, name, score_titles(profile), printed)
        text = (results_dir(profile.name) / f"table{number}.md").read_text(encoding="utf-8")
        texts.append(f"**Table {number}.** {text}")
    return "\n".join(texts)
