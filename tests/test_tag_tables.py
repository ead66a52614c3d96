"""Rows about tags on the tiny photos and guide, recomputed from the parts; the photos whose truth nobody knows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctrh.data.scenes.world import CONCEPTS
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.quality import tag_quality
from ctrh.guide.refine import RefineConfig, best_tags, refine, tags_to_keep
from ctrh.paper import tag_tables
from ctrh.paper.tag_tables import (
    concept_truth,
    exchange_rows,
    frequency_rows,
    inference_rows,
    photos_to_show,
    quality_rows,
    quality_table,
    statistics_rows,
    statistics_table,
    step_table,
    zero_shot_rows,
)
from profiles.smoke import PROFILE as SMOKE

SETTINGS = replace(SMOKE.datasets[0], refine=RefineConfig(alpha=0.5))
PROFILE = replace(SMOKE, datasets=(SETTINGS,), finetune=FinetuneConfig(epochs=1, batch=8))


@pytest.fixture
def world(tiny_photos, tiny_guide, monkeypatch):
    """The tiny photos and guide in place of the profile's; "fine-tuned" are other random weights."""
    guides = {
        alpha: tiny_guide.with_weights(
            {k: v * (1 + alpha / 4) for k, v in tiny_guide.model.state_dict().items()}, f"alpha {alpha}"
        )
        for alpha in (0.0, 0.5, 1.0)
    }
    monkeypatch.setattr(tag_tables, "photos_of", lambda data: tiny_photos)
    monkeypatch.setattr(tag_tables, "mixed_guide_of", lambda data, config: guides[config.refine.alpha])
    monkeypatch.setattr(
        tag_tables,
        "text_of",
        lambda photos, data, config: guides[config.refine.alpha].text_features(photos.vocabulary),
    )
    return tiny_photos, guides


def test_quality_is_that_of_the_replaced_tags(world):
    photos, guides = world
    rows = quality_rows(PROFILE, SETTINGS)
    assert len(rows) == (1 + 1 + 3 * 3) * 2 * 3
    train = photos.split.train
    expected = tag_quality(photos.tags[train], photos.truth[train])
    table = quality_table(rows).loc["tiny"]
    assert table.loc[("user", "user")].iloc[:2].tolist() == pytest.approx(
        [100 * expected.precision_micro, 100 * expected.best_precision_micro]
    )
    for tags, alpha in (("zero-shot", 0.0), ("ensembled", 0.5), ("fine-tuned", 1.0)):
        for prediction, config in (
            ("direct", RefineConfig(remove_redundant=False)),
            ("removed", RefineConfig()),
            ("removed, unweighted", RefineConfig(weighted=False)),
        ):
            quality = tag_quality(refine(photos, guides[alpha], config)[train], photos.truth[train])
            found = table.loc[(tags, prediction), "precision"]
            assert found == pytest.approx(100 * quality.precision_micro)
    counts, given = tags_to_keep(photos.tags[train], photos.common), photos.tags[train].toarray()
    # All other photos are neighbours, where there are so few.
    votes = given.sum(axis=0) - given - (len(train) - 1) * given.mean(axis=0)
    assert len(train) < tag_tables.NEIGHBOURS
    expected = tag_quality(best_tags(votes, counts), photos.truth[train])
    assert table.loc[("neighbours", "votes"), "precision"] == pytest.approx(100 * expected.precision_micro)
    assert list(table.columns[:4]) == ["precision", "best possible precision", "recall", "f1"]
    assert len(table) == 11 and (table["precision"] <= table["best possible precision"] + 1e-9).all()


def test_steps_say_what_they_do_to_precision():
    precision = {("user", "user"): 0.40, ("zero-shot", "removed"): 0.4321, ("fine-tuned", "removed"): 0.4325}
    precision |= {("neighbours", "votes"): 0.45}
    precision |= {("ensembled", "removed"): 0.41, ("ensembled", "direct"): 0.42}
    precision |= {("ensembled", "removed, unweighted"): 0.42}
    rows = pd.DataFrame(
        [(*key, value) for key, value in precision.items()], columns=["tags", "prediction", "value"]
    )
    table = step_table(rows.assign(dataset="tiny", average="micro", measure="precision"))
    assert table["points"].tolist() == [3.2, 5.0, -1.8, 0.0, -2.2, -1.0, 0.0]
    assert table["verdict"].tolist() == ["higher", "higher", "lower", "equal", "lower", "lower", "equal"]


def test_without_truth_there_are_no_quality_rows_and_labels_stand_for_it(world, monkeypatch):
    photos, guides = world
    labelled = replace(photos, truth=None, labels=np.ones((20, 1), dtype=bool), label_names=("animals",))
    monkeypatch.setattr(tag_tables, "photos_of", lambda data: labelled)
    assert quality_rows(PROFILE, SETTINGS).empty
    rows = inference_rows(PROFILE, SETTINGS, [5])
    assert rows.query("source == 'truth'")["tag"].tolist() == ["animals"] and rows["right"].all()


def test_inferred_tags_are_as_many_as_kept_and_judged(world):
    photos, guides = world
    rows = inference_rows(PROFILE, SETTINGS, [4, 7])
    assert list(dict.fromkeys(rows["source"])) == ["user", "zero-shot", "fine-tuned", "ensembled", "truth"]
    replaced = refine(photos, guides[0.5])
    for photo in (4, 7):
        mine = rows.query("photo == @photo and source == 'ensembled'")
        assert {photos.vocabulary.index(tag) for tag in mine["tag"]} == set(replaced[[photo]].indices)
        assert mine["rank"].tolist() == list(range(1, len(mine) + 1))
        users = rows.query("photo == @photo and source == 'user'")["tag"]
        assert set(users) == {photos.vocabulary[c] for c in photos.tags[[photo]].indices}
    for row in rows.itertuples():
        assert row.right == photos.truth[row.photo, photos.vocabulary.index(row.tag)]
    # Whatever counts as right is listed as truth, once.
    truth = rows[rows["source"] == "truth"]
    assert not truth.duplicated(["photo", "tag"]).any()
    right = rows[rows["right"]]
    assert set(zip(right["photo"], right["tag"])) == set(zip(truth["photo"], truth["tag"]))


def test_exchanged_words_by_hand(tiny_photos):
    nothing = tiny_photos.with_tags(tiny_photos.tags * False)
    rows = exchange_rows(nothing, tiny_photos.truth, count=3)
    assert set(rows["change"]) == {"brought"} and (rows["right"] == rows["photos"]).all()
    words = [tiny_photos.vocabulary.index(tag) for tag in rows["tag"]]
    times = tiny_photos.truth[tiny_photos.split.train].sum(axis=0)
    assert rows["photos"].tolist() == times[words].tolist() == sorted(times, reverse=True)[:3]


def test_real_photos_have_no_zero_shot_trial(tiny_photos, tiny_guide):
    rows = zero_shot_rows(tiny_guide, [replace(tiny_photos, truth=None)])
    assert rows.empty
    assert rows.pivot_table("r_precision", ["scenes", "photos", "words"], "scored", sort=False).empty


def test_zero_shot_rows_know_chance(tiny_photos, tiny_guide):
    truth = concept_truth(tiny_photos)
    assert truth.shape == (20, len(CONCEPTS))
    for word in ("dog", "cat", "sea", "sky", "sunset"):
        mine = tiny_photos.truth[:, [tiny_photos.vocabulary.index(word)]].toarray()
        assert np.array_equal(truth[:, [CONCEPTS.index(word)]].toarray(), mine)
    rows = zero_shot_rows(tiny_guide, [tiny_photos]).set_index("scored")
    assert rows["scenes"].tolist() == ["tiny"] * 3
    true = truth.toarray().sum(axis=1)
    assert rows.loc["chance", "r_precision"] == pytest.approx(true[true > 0].mean() / len(CONCEPTS))
    assert rows["r_precision"].between(0, 1).all()


def test_statistics_table_labels_measured_and_published(tiny_photos):
    table = statistics_table(statistics_rows([tiny_photos]))
    assert list(table.columns) == ["tiny (measured here)", "MIRFLICKR-25K (published)"]
    assert table.loc["photos"].tolist() == ["20", "25,000"]
    assert table.loc["tags a photo, mean", "MIRFLICKR-25K (published)"] == "8.94"
    assert table.loc["photos without a tag"].tolist() == ["2", "–"]


def test_frequencies_fall_and_leave_out_unused_words(tiny_photos):
    rows = frequency_rows(tiny_photos)
    assert rows["photos"].is_monotonic_decreasing and rows["photos"].min() > 0
    assert rows["photos"].sum() == tiny_photos.tags.nnz


def test_photos_to_show_follow_the_rule(tiny_photos):
    shown = photos_to_show(tiny_photos, 2, least=1, most=2)
    assert len(shown) == 2 and set(shown) <= set(tiny_photos.split.train)
