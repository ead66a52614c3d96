"""Tables and figures of the studies against hand-made rows."""

from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from study_task import TINY, task  # noqa: F401

from ctrh.paper.code_plots import effect_dots, table_curves
from ctrh.paper.effects import effects
from ctrh.paper.published import published_table
from ctrh.paper.runs import results
from ctrh.paper.studies import ablation, backbones, guides, readings, sensitivity
from ctrh.paper.tables import article_tables, save_article_tables
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER

TOP = f"map_{DEMO.top}"
METRICS = ("map_all", TOP, "encode_ms")


def grid(labels, bits=(16, 32, 48, 64)) -> pd.DataFrame:
    """Values that tell where they come from: 10 a label, 1 a length, 0.1 a seed around the middle one."""
    cells = product(("scenes-mir", "scenes-nus"), enumerate(labels), enumerate(bits), METRICS, (0, 1, 2))
    return pd.DataFrame(
        [
            {
                "dataset": dataset,
                "label": label,
                "bits": length,
                "metric": metric,
                "seed": seed,
                "value": 40 + 10 * n + b + 0.1 * (seed - 1),
            }
            for dataset, (n, label), (b, length), metric, seed in cells
        ]
    )


STUDIES = [
    ("variant", ablation.TABLES, {label: label for label in ablation.VARIANTS}),
    ("backbone", backbones.TABLES, backbones.STANDS_FOR),
    ("guide", guides.TABLES, guides.STANDS_FOR),
]


@pytest.mark.parametrize(("compares", "numbers", "stands_for"), STUDIES)
def test_tables_have_our_labels_and_the_right_published_numbers(compares, numbers, stands_for):
    labels = list(stands_for)
    for number, table in article_tables(grid(labels), numbers, DEMO, stands_for).items():
        assert list(table.columns) == [
            *(compares, "dataset", "bits", "metric", "mean", "low", "high", "seeds", "published")
        ]
        assert len(table) == len(labels) * 2 * 4 and list(table[compares].unique()) == labels
        printed = published_table(number).set_index([compares, "dataset", "bits"])["published"]
        article = {"scenes-mir": "mirflickr", "scenes-nus": "nuswide"}
        for row in table.itertuples():
            name = getattr(row, compares)
            assert row.published == printed[stands_for[name], article[row.dataset], row.bits]
            assert row.mean == pytest.approx(40 + 10 * labels.index(name) + DEMO.bits.index(row.bits))
            assert row.high - row.mean == pytest.approx(4.3026527 * 0.1 / np.sqrt(3))


def test_what_stands_for_what_is_told():
    rows = backbones.mapping(DEMO)
    assert rows["row of the article"].to_dict() == backbones.STANDS_FOR
    assert set(rows["its weights"]) == {"frozen"}
    paper = backbones.mapping(PAPER)
    assert paper["its weights"].to_dict() == {
        **dict.fromkeys(("AlexNet", "ResNet-50", "ViT-B-16"), "trained along"),
        "CLIP (ViT-B-32)": "frozen",
    }


def test_saved_tables_and_their_curves(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    two = article_tables(grid(("small", "mine")), guides.TABLES, DEMO, guides.STANDS_FOR)
    text = save_article_tables(two, DEMO, guides.STANDS_FOR)
    assert text.count("small (published: CLIP)") == 4 and text.count("| mine |") == 4
    assert text.startswith("**Table 8.** mAP@all. Measured")
    assert f"**Table 9.** mAP@{DEMO.top} (the article: mAP@5000)." in text
    unpublished = {8: two[8].assign(published=np.nan)}
    assert "published" not in save_article_tables(unpublished, DEMO, guides.STANDS_FOR)
    assert set(pd.read_csv(tmp_path / "demo" / "table9.csv")["guide"]) == {"small", "mine"}
    fig = plt.figure()
    axes = table_curves(fig, two, "guide")
    assert axes.shape == (2, 2) and [len(ax.containers) for ax in axes.flat] == [2] * 4
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["mAP@all (%)", f"mAP@{DEMO.top} (%)"]
    plt.close(fig)


def test_figure_9_has_every_point_and_best_values_are_its_highest(task):  # noqa: F811
    trained = results(sensitivity.sensitivity_runs(TINY), jobs=1)
    rows = sensitivity.figure9(trained, TINY)
    counts = {name: len(values) for name, values in sensitivity.values_of(TINY).items()}
    assert rows.groupby(["parameter", "dataset"]).size().to_dict() == {
        (parameter, dataset): count
        for parameter, count in counts.items()
        for dataset in ("scenes-mir", "scenes-nus")
    }
    chosen = rows[rows["chosen"]].set_index(["dataset", "parameter"])["value"].to_dict()
    expected = {("scenes-mir", "α"): 0.5, ("scenes-mir", "ε"): 0.7, ("scenes-mir", "λ4"): 15.0}
    expected |= {("scenes-nus", "α"): 0.25, ("scenes-nus", "ε"): 0.9, ("scenes-nus", "λ4"): 15.0}
    assert chosen == expected
    assert set(rows["metric"]) == {"map_10"} and set(rows["seeds"]) == {3}
    one = rows[(rows["parameter"] == "ε") & (rows["dataset"] == "scenes-mir") & (rows["value"] == 0.9)].iloc[
        0
    ]
    scores = [
        r.scores.map_at[10] for r in trained if r.run.label == "ε = 0.9" and r.run.data.name == "scenes-mir"
    ]
    assert one["mean"] == pytest.approx(100 * np.mean(scores))
    best = sensitivity.best_values(trained, TINY)
    assert len(best) == 6
    for line in best.itertuples():
        part = rows[(rows["dataset"] == line.dataset) & (rows["parameter"] == line.parameter)]
        part = part.set_index("value")["mean"]
        assert part[line.best] == pytest.approx(part.max())
        assert line.difference == pytest.approx(part[line.best] - part[line.article])
        assert (line.verdict == "the same") == (line.best == line.article)


def test_readings_have_an_effect_each(task):  # noqa: F811
    small = replace(TINY, datasets=TINY.datasets[:1], seeds=(0, 1))
    rows = readings.reading_effects(results(readings.reading_runs(small), jobs=1), small)
    assert len(rows) == 2 * len(readings.readings(small))
    assert rows.columns[:3].tolist() == ["where", "chosen", "other"] and not rows.isna().any().any()
    same = rows[rows["other"] == "A: sum of heads"]
    assert same["difference"].abs().max() < 0.5


def test_other_features_are_compared_within_a_method(task):  # noqa: F811
    small = replace(TINY, datasets=TINY.datasets[:1])
    runs = readings.feature_runs(small)
    assert len(runs) == 2 * 3 * 3 and len({replace(run, label="") for run in runs}) == len(runs)
    found = results(runs, jobs=1)
    for method in ("LSH", "SH", "ITQ"):
        rows = effects(found, method, f"{method} on small-alexnet")
        assert (
            len(rows) == 2 and (rows["difference"] == 0).all()
        )  # the stand-in has the same features for all


def test_costs_count_parameters_and_leave_times_to_the_measurement(monkeypatch):
    asked = []

    def measured(candidate):
        asked.append(candidate)
        return {"time_ms": (3.0, 2.0, 4.0), "time_batched_ms": (1.0, 0.5, 1.5)}

    monkeypatch.setattr(backbones, "cost", measured)
    rows = backbones.cost_rows(DEMO).set_index("backbone")
    assert [each.backbone for each in asked] == list(backbones.STANDS_FOR)
    assert {each.settings.bits for each in asked} == {48}
    conv = (
        3 * 12 * 9 + 12 * 24 * 9 + 24 * 48 * 9 + 48 * 128 * 9 + 2 * (12 + 24 + 48 + 128)
    )  # with batch norms
    block = 4 * 128 * 128 + 4 * 128 + 2 * (128 * 256) + 256 + 128 + 4 * 128
    assert rows.loc["small-vit", "parameters"] == conv + 51 * 128 + 4 * block + 2 * 128
    assert rows.loc["small-vit", "width"] == 128 and set(rows["trained"]) == {0}
    assert rows.loc["small-vit", "megabytes"] == pytest.approx(4e-6 * rows.loc["small-vit", "parameters"])
    assert set(rows["one_ms"]) == {3.0} and set(rows["encode_ms"]) == {1.0}


def test_effects_are_drawn_first_on_top():
    rows = pd.DataFrame(
        {
            "label": ["a", "b", "c"],
            "difference": [1.0, -2.0, 0.1],
            "low": [0.5, -3.0, np.nan],
            "high": [1.5, -1.0, np.nan],
            "verdict": ["better", "worse", "undecided"],
            "note": ["", "collapsed: 1 of 3", ""],
        }
    )
    fig, ax = plt.subplots()
    effect_dots(ax, rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"] and ax.yaxis_inverted()
    marks = [line for line in ax.lines if line.get_marker() in "oX"]
    assert [line.get_marker() for line in marks] == ["o", "X", "o"]
    assert [line.get_xdata()[0] for line in marks] == rows["difference"].tolist()
    plt.close(fig)


def test_rows_of_a_real_grid_make_the_table(task):  # noqa: F811
    small = replace(TINY, datasets=TINY.datasets[:1], seeds=(0, 1))
    found = results(ablation.variant_runs(small), jobs=1)
    rows = pd.concat([result.rows() for result in found], ignore_index=True)
    tables = article_tables(rows, ablation.TABLES, small, {})
    assert {number: set(table["metric"]) for number, table in tables.items()} == {
        4: {"map_10"},
        5: {"map_all"},
    }
    means = tables[4].set_index(["bits", "variant"])["mean"]
    assert len(means) == 4 * 2
    for row in effects(found, "TR", "TR+TW").query("metric == 'map_10'").itertuples():
        assert row.difference == pytest.approx(means[row.bits, "TR+TW"] - means[row.bits, "TR"])
