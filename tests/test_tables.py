"""Tables: means and intervals over seeds, published numbers in their own columns, the same in all three formats."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ctrh.paper.statistics import interval
from ctrh.paper.tables import (
    article_table,
    beside_published,
    over_seeds,
    save_table,
    to_latex,
    to_markdown,
    wide,
)
from profiles.demo import PROFILE as DEMO

TOP = f"map_{DEMO.top}"


def grid(seeds=(0, 1, 2), methods=("LSH", "CTRH"), metrics=("map_all", TOP, "fit_seconds")):
    generator = np.random.default_rng(0)
    rows = [
        {"dataset": dataset, "method": method, "label": method, "bits": bits, "seed": seed, "metric": metric}
        for dataset in ("scenes-mir", "scenes-nus")
        for method in methods
        for bits in (16, 32)
        for metric in metrics
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(value=generator.uniform(40, 90, len(rows)))


BY = ["method", "dataset", "bits", "metric"]


def test_interval_is_students():
    rows = grid(seeds=range(5))
    table = over_seeds(rows, BY)
    for line in table.itertuples():
        chosen = (rows[BY] == [line.method, line.dataset, line.bits, line.metric]).all(axis=1)
        values = rows.loc[chosen, "value"]
        low, high = stats.t.interval(0.95, 4, values.mean(), values.sem())
        assert (line.mean, line.low, line.high, line.seeds) == pytest.approx((values.mean(), low, high, 5))


def test_interval_is_over_queries_too_where_they_are_known():
    generator = np.random.default_rng(1)
    rows = grid(metrics=("map_all",))
    rows["ap"] = [value + generator.normal(size=20) for value in rows["value"]]
    line = over_seeds(rows, BY).iloc[0]
    values = np.stack(rows["ap"].iloc[:3].tolist())
    assert (line["low"], line["high"]) == pytest.approx(interval(values)[1:])
    one = over_seeds(rows[rows["seed"] == 0], BY).iloc[0]
    assert (one["low"], one["high"]) == pytest.approx(interval(values[:1])[1:])


def test_a_method_that_draws_nothing_has_no_spread_over_seeds():
    generator = np.random.default_rng(2)
    rows = grid(metrics=("map_all",), methods=("SH", "LSH"))
    ap = generator.uniform(0, 100, 30)
    rows["ap"] = [ap if method == "SH" else generator.uniform(0, 100, 30) for method in rows["method"]]
    rows["value"] = rows["ap"].map(np.mean)
    lines = over_seeds(rows, BY).set_index("method")
    assert set(lines.loc["SH", "seeds"]) == {1} and set(lines.loc["LSH", "seeds"]) == {3}
    assert tuple(lines.loc["SH", ["low", "high"]].iloc[0]) == pytest.approx(interval(ap[None])[1:])
    alone = over_seeds(rows.drop(columns="ap"), BY).set_index("method")
    assert alone.loc["SH", ["low", "high"]].isna().all(axis=None) and alone.loc["LSH"].notna().all(axis=None)
    cells = wide(alone.reset_index(), "method", DEMO)
    assert not cells.loc[(slice(None), "SH"), :].map(lambda cell: "±" in cell).any(axis=None)


def test_methods_without_public_code_are_called_reconstructions():
    frame = wide(over_seeds(grid(methods=("MGRN", "EWSH", "WSHRCA"), metrics=("map_all",)), BY), "method", DEMO)
    printed = ["MGRN (reconstruction)", "EWSH (reconstruction)", "WSHRCA"]
    assert frame.index.get_level_values(1).tolist() == 2 * printed


def test_one_seed_has_no_interval():
    table = over_seeds(grid(seeds=(0,)), BY)
    assert table["low"].isna().all() and table["high"].isna().all() and set(table["seeds"]) == {1}
    assert table["mean"].tolist() == grid(seeds=(0,))["value"].tolist()


def test_seed_twice_in_a_group_raises():
    rows = pd.concat([grid(), grid().head(1)])
    with pytest.raises(ValueError, match="do not tell the rows apart"):
        over_seeds(rows, BY)


def test_published_numbers_stand_beside_what_they_belong_to():
    table = article_table(grid(), 1, DEMO)
    assert list(table.columns) == [
        "method",
        "dataset",
        "bits",
        "metric",
        "mean",
        "low",
        "high",
        "seeds",
        "published",
    ]
    assert set(table["metric"]) == {"map_all"}
    published = table.set_index(["method", "dataset", "bits"])["published"]
    assert published["LSH", "scenes-mir", 16] == 56.23
    assert published["LSH", "scenes-mir", 32] == 57.75
    second = article_table(grid(), 2, DEMO)
    assert set(second["metric"]) == {TOP}
    assert second.set_index(["method", "dataset", "bits"])["published"]["LSH", "scenes-mir", 32] == 59.19


def test_method_that_the_article_does_not_have_has_no_published_number():
    table = beside_published(over_seeds(grid(methods=("random",)), BY), 1, DEMO)
    assert table["published"].isna().all() and len(table) == 12


def test_variants_go_by_their_label():
    rows = grid(methods=("CTRH",)).assign(label="Baseline")
    table = article_table(rows, 5, DEMO, name_column="label")
    assert table.columns[0] == "variant"
    assert table.set_index(["dataset", "bits"])["published"]["scenes-mir", 16] == 63.6


def test_wide_keeps_measured_and_published_apart_and_marks_the_best():
    table = article_table(grid(), 1, DEMO)
    frame = wide(table, "method", DEMO)
    assert list(frame.columns.get_level_values(0).unique()) == ["measured (demo)", "published"]
    mir, nus = "scenes-mir (published: MirFlickr)", "scenes-nus (published: NUS-WIDE)"
    assert frame.loc[(mir, "LSH"), ("published", "16 bits")] == "56.23"
    assert frame.loc[(nus, "LSH"), ("published", "16 bits")] == "36.34"
    column = frame.loc[mir, ("measured (demo)", "16 bits")]
    means = table.query("dataset == 'scenes-mir' and bits == 16").set_index("method")["mean"]
    assert [name for name in column.index if column[name].startswith("*")] == [means.idxmax()]
    assert all("±" in cell for cell in column)
    with pytest.raises(ValueError, match="one metric at a time"):
        wide(over_seeds(grid(), BY), "method", DEMO)


def test_of_costs_the_smallest_is_the_best():
    rows = grid(seeds=(0,), metrics=("time_ms",))
    frame = wide(over_seeds(rows, BY), "method", DEMO)
    for (dataset, bits), part in rows.groupby(["dataset", "bits"]):
        column = frame.loc[dataset, ("measured (demo)", f"{bits} bits")]
        best = part.loc[part["value"].idxmin(), "method"]
        assert [name for name in column.index if column[name].startswith("*")] == [best]


def test_markdown_has_every_cell_in_its_place():
    frame = wide(article_table(grid(seeds=(0,)), 1, DEMO), "method", DEMO)
    lines = to_markdown(frame).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(line) for line in cells} == {1 + frame.shape[1]} and len(cells) == 2 + 2 + len(frame)
    assert cells[0][:3] == ["method", "16 bits, measured (demo)", "32 bits, measured (demo)"]
    assert cells[2][0] == "*scenes-mir (published: MirFlickr)*" and not any(cells[2][1:])
    assert cells[3][1].strip("*") == frame.iloc[0, 0].strip("*")
    assert "**" in to_markdown(frame)


def test_latex_is_balanced_and_escaped():
    table = article_table(grid(), 2, DEMO).replace("LSH", "a_b & {c}")
    frame = wide(table, "method", DEMO)
    text = to_latex(frame, r"100 % of $a_b ~ ^ { } \ & #, α → ±")
    escaped = r"\$a\_b \textasciitilde \space \textasciicircum \space \{ \} \textbackslash \space \& \#, $\alpha$ $\to$ $\pm$"
    assert rf"\caption{{100 \% of {escaped}}}" in text and r"a\_b \& \{c\} &" in text and "±" not in text
    assert text.count("{") == text.count("}") and text.count(r"\begin") == text.count(r"\end") == 2
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in body[1:]} == {frame.shape[1]} and len(body) == 2 + 2 + len(frame)
    best = table.loc[table["mean"].idxmax()]
    assert rf"\textbf{{{best['mean']:.2f}{{\scriptsize" in text and text.count(r"\textbf") == 4
    assert r"\rlap{\textit{scenes-mir (published: MirFlickr)}}" in text


def test_saved_in_three_formats_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    table = article_table(grid(), 1, DEMO)
    path = save_table(table, "table1", DEMO, titles={"map_all": "mAP@all"})
    files = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert set(files) == {"table1.csv", "table1.md", "table1.tex"}
    pd.testing.assert_frame_equal(pd.read_csv(path), table, check_dtype=False, rtol=1e-8)
    assert (
        "mAP@all. Measured: profile demo; ±: half of a 95 % interval over seeds and queries; published".encode()
        in files["table1.md"]
    )
    save_table(table, "table1", DEMO, titles={"map_all": "mAP@all"})
    assert files == {each.name: each.read_bytes() for each in path.parent.iterdir()}
