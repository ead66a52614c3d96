"""Tables and figures of the studies against hand-made rows."""

from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from study_task import TINY, task  # noqa: F401

from ctrh.paper.claims import FAILS, HOLDS, OPEN
from ctrh.paper.published import published_table
from ctrh.paper.runs import results, run_grid
from ctrh.paper.studies import ablation, backbones, guides, readings, sensitivity
from ctrh.paper.study_plots import claim_dots, cost_scatter, effect_dots, sensitivity_panel, table_curves
from ctrh.paper.tables import save_table, saved_tables, score_titles
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
    ("ablation", ablation.VARIANTS, lambda rows: ablation.ablation_tables(rows, DEMO), {}),
    (
        "backbones",
        backbones.STANDS_FOR,
        lambda rows: backbones.backbone_tables(rows, DEMO),
        backbones.STANDS_FOR,
    ),
    ("guides", guides.STANDS_FOR, lambda rows: guides.guide_tables(rows, DEMO), guides.STANDS_FOR),
]


@pytest.mark.parametrize(("study", "labels", "tables", "stands_for"), STUDIES, ids=[s[0] for s in STUDIES])
def test_tables_have_our_labels_and_the_right_published_numbers(study, labels, tables, stands_for):
    for number, table in tables(grid(labels)).items():
        compares = {"ablation": "variant", "backbones": "backbone", "guides": "guide"}[study]
        assert list(table.columns) == [
            *(compares, "dataset", "bits", "metric", "mean", "low", "high", "seeds", "published")
        ]
        assert len(table) == len(labels) * 2 * 4 and list(table[compares].unique()) == list(labels)
        printed = published_table(number).set_index([compares, "dataset", "bits"])["published"]
        article = {"scenes-mir": "mirflickr", "scenes-nus": "nuswide"}
        for row in table.itertuples():
            name = getattr(row, compares)
            assert row.published == printed[stands_for.get(name, name), article[row.dataset], row.bits]
            assert row.mean == pytest.approx(40 + 10 * list(labels).index(name) + DEMO.bits.index(row.bits))
            assert row.high - row.mean == pytest.approx(4.3026527 * 0.1 / np.sqrt(3))


def test_printed_names_say_what_stands_beside_what():
    two = backbones.backbone_tables(grid(("small-vit", "mine")), DEMO)
    assert two[6]["backbone"].unique().tolist() == ["small-vit", "mine"]
    told = backbones.printed_names(two, backbones.STANDS_FOR)
    assert told == {"small-vit": "small-vit (published: ViT-B-16)"}
    unknown = {6: two[6].assign(published=np.nan)}
    assert backbones.printed_names(unknown, backbones.STANDS_FOR) == {}


def test_what_stands_for_what_is_told():
    rows = backbones.mapping(DEMO)
    assert rows["row of the article"].to_dict() == backbones.STANDS_FOR
    assert set(rows["its weights"]) == {"frozen"}
    paper = backbones.mapping(PAPER)
    assert paper["its weights"].to_dict() == {
        **dict.fromkeys(("AlexNet", "ResNet-50", "ViT-B-16"), "trained along"),
        "CLIP (ViT-B-32)": "frozen",
    }
    told = guides.mapping_in_words(DEMO)
    assert "*small-b* stands beside OpenCLIP" in told and "the encoder of *small* throughout" in told
    assert guides.mapping_in_words(PAPER) == "These are the article's two guides."


def test_the_best_backbone_is_told_with_what_a_faster_one_gives_up():
    about = {"dataset": ["x", "x", "y", "y"], "backbone": ["a", "b", "a", "b"]}
    rows = pd.DataFrame(about | {"mean": [50.0, 60.0, 61.0, 60.0], "encode_ms": [1.0, 4.0, 1.0, 4.0]})
    found = backbones.best_and_faster(rows)
    assert found.loc["x", ["best", "faster", "points less", "its ms"]].tolist() == ["b", "a", 10.0, 1.0]
    assert found.loc["y", "best"] == "a" and found.loc["y", ["faster", "points less"]].isna().all()


def test_words_of_one_guide_alone_are_listed():
    rows = pd.DataFrame(
        {"dataset": "x", "guide": ["a", "a", "b"], "tag": ["dog", "cat", "sea"], "photos": [9, 2, 1]}
    )
    told = guides.disagreements_in_words(rows.assign(right=[4.0, 0.0, np.nan]))
    assert told["words"].tolist() == ["dog (9, 4 right), cat (2, 0 right)", "sea (1)"]


def test_saved_tables_and_their_curves(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path))
    two = guides.guide_tables(grid(guides.STANDS_FOR), DEMO)
    printed = backbones.printed_names(two, guides.STANDS_FOR)
    for number, table in two.items():
        save_table(table, f"table{number}", DEMO, "guide", score_titles(DEMO), printed)
    text = saved_tables(two, DEMO)
    assert text.count("small-b (published: OpenCLIP)") == 4 and text.startswith(
        "**Table 8.** mAP@all. Measured"
    )
    assert f"**Table 9.** mAP@{DEMO.top} (the article: mAP@5000)." in text
    assert set(pd.read_csv(tmp_path / "demo" / "table8.csv")["guide"]) == {"small", "small-b"}
    fig = plt.figure()
    axes = table_curves(fig, two, "guide", DEMO)
    assert axes.shape == (2, 2) and [len(ax.lines) for ax in axes.flat] == [2] * 4
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["mAP@all (%)", f"mAP@{DEMO.top} (%)"]
    plt.close(fig)


def test_steps_are_differences_of_neighbouring_rows():
    table = ablation.ablation_tables(grid(ablation.VARIANTS), DEMO)[5]
    measured = ablation.steps(table)
    assert list(measured.loc["scenes-mir"].index) == ["TR", "TR+TW", "CTRH"]
    np.testing.assert_allclose(measured, 10)
    published = ablation.steps(table, "published")
    assert published.loc[("scenes-mir", "TR"), 16] == pytest.approx(68.90 - 63.60)
    assert published.loc[("scenes-nus", "CTRH"), 64] == pytest.approx(68.96 - 68.23)


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
    text = readings.effects_table(rows, small)
    assert list(text.columns) == [("scenes-mir", "mAP@all"), ("scenes-mir", "mAP@10")]
    assert text.shape[0] == len(readings.readings(small)) and text.iloc[0, 0].endswith(")")
    same = rows[rows["other"] == "A: sum of heads"]
    assert same["difference"].abs().max() < 0.5


def test_other_features_are_compared_within_a_method(task):  # noqa: F811
    small = replace(TINY, datasets=TINY.datasets[:1])
    runs = readings.feature_runs(small)
    assert len(runs) == 2 * 3 * 3 and len({replace(run, label="") for run in runs}) == len(runs)
    rows = readings.feature_effects(results(runs, jobs=1))
    assert list(rows["label"].unique()) == [f"{method} on small-alexnet" for method in ("LSH", "SH", "ITQ")]
    # The stand-in has the same features for all.
    assert (rows["difference"] == 0).all() and set(rows["over"]) == {"LSH", "SH", "ITQ"}


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


def test_rows_against_cost_are_of_one_length():
    tables = backbones.backbone_tables(grid(backbones.STANDS_FOR), DEMO)
    costs = pd.DataFrame({"backbone": list(backbones.STANDS_FOR), "encode_ms": 1.0, "parameters": 7})
    rows = backbones.against_cost(tables, costs, DEMO)
    assert len(rows) == 8 and set(rows["bits"]) == {48} and set(rows["metric"]) == {TOP}


def test_plots_draw_all_rows():
    fig, axes = plt.subplots(3)
    effects = pd.DataFrame(
        {
            "label": ["a", "b", "c"],
            "difference": [1.0, -2.0, 0.1],
            "low": [0.5, -3.0, np.nan],
            "high": [1.5, -1.0, np.nan],
            "verdict": ["better", "worse", "undecided"],
            "note": ["", "collapsed: 1 of 3", ""],
        }
    )
    effect_dots(axes[0], effects)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["a", "b", "c"]
    dots, crosses = axes[0].collections[-2:]
    assert [np.isfinite(marks.get_offsets()[:, 0]).sum() for marks in (dots, crosses)] == [2, 1]
    points = pd.DataFrame(
        {
            "parameter": "α",
            "value": [0.0, 0.5, 0.0, 0.5],
            "dataset": ["x", "x", "y", "y"],
            "mean": [1.0, 2, 3, 4],
            "low": [0.5, 1, 2, 3],
            "high": [2.0, 3, 4, 5],
            "chosen": [True, False, False, True],
            "collapsed": [0, 0, 3, 0],
        }
    )
    sensitivity_panel(axes[1], points, ["x", "y"])
    assert sum(len(line.get_xdata()) == 2 for line in axes[1].lines) == 2 and axes[1].get_xlabel() == "α"
    assert [len(each.get_offsets()) for each in axes[1].collections if len(each.get_paths()) == 1][-4:]
    costs = pd.DataFrame(
        {
            "backbone": ["a", "b"],
            "encode_ms": [1.0, 10.0],
            "parameters": [1e6, 2e7],
            "mean": [50.0, 60],
            "low": [49.0, np.nan],
            "high": [51.0, np.nan],
        }
    )
    cost_scatter(axes[2], costs)
    assert [text.get_text() for text in axes[2].texts] == ["a, 1.0 M", "b, 20.0 M"]
    plt.close(fig)


def test_claims_are_drawn_with_and_without_intervals():
    claims = pd.DataFrame(
        {
            "claim": ["one", "two", "three"],
            "published": [1.0, np.nan, -2.0],
            "measured": [2.0, -3.0, np.nan],
            "low": [1.0, -4.0, np.nan],
            "high": [3.0, -2.0, np.nan],
            "verdict": [HOLDS, FAILS, OPEN],
        }
    )
    fig, ax = plt.subplots()
    claim_dots(ax, claims)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two", "three"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [HOLDS, FAILS, OPEN, "published"]
    plt.close(fig)


def test_rows_of_a_real_grid_make_the_table(task):  # noqa: F811
    small = replace(TINY, datasets=TINY.datasets[:1], seeds=(0, 1))
    runs = ablation.variant_runs(small)
    tables = ablation.ablation_tables(run_grid(runs, jobs=1), small)
    assert {number: set(table["metric"]) for number, table in tables.items()} == {
        4: {"map_10"},
        5: {"map_all"},
    }
    assert len(tables[4]) == 4 * 2
    rows = ablation.step_effects(results(runs, jobs=1)).query("metric == 'map_10'")
    assert list(rows["label"].unique()) == ["TR", "TR+TW", "CTRH"] and len(rows) == 6
    added = ablation.steps(tables[4]).loc["scenes-mir"]
    for row in rows.itertuples():
        assert row.difference == pytest.approx(added.loc[row.label, row.bits])
