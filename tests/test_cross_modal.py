"""The cross-modal study: pairs and their split, runs and their cache, rows, answers, all on photos made for it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ctrh.data.images import ArrayImages
from ctrh.data.photos import Photos, random_split
from ctrh.data.tables import FolderError
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.paper import profiles, tasks
from ctrh.paper.comparisons import nearest, queries_at
from ctrh.paper.cross_modal import pairs, runs, speed, tables
from ctrh.paper.cross_modal.pairs import FeatureConfig, chosen_split, load_pairs
from ctrh.paper.effects import differences, effects
from ctrh.paper.profiles import CrossConfig, CrossData, DataConfig, GuideConfig
from ctrh.paper.runs import make_run, results
from ctrh.retrieval.metrics import evaluate
from ctrh.training import TrainConfig
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE

CROSS = CrossConfig(
    datasets=(CrossData(DataConfig("tiny"), "mirflickr", database=20, train=14),),
    flip=FlipConfig(FinetuneConfig(epochs=1, batch=4), ratio=0.5, unmasked=0),
    tuned=8,
    fjsph=replace(
        SMOKE.cross.fjsph, width=8, train=TrainConfig(epochs=2, batch_size=8, lr_head=0.1)
    ),
    bits=(8,),
    ablation_bits=8,
    seeds=(0, 1),
    ks=(5,),
    speed_pictures=2,
    speed_vit=False,
)
TINY = replace(SMOKE, cross=CROSS, train=TrainConfig(epochs=1, batch_size=8, lr_head=0.01), heads=2)
ONE_SEED = replace(TINY, cross=replace(CROSS, seeds=(0,)))
CACHED = (tasks.hashing_task, tasks.photos_of, tasks.guide_of, tasks.mixed_guide_of, load_pairs)


@pytest.fixture
def photos(tiny_guide, monkeypatch):
    """30 noise pictures of three labels, which are words too; the last has no tag."""
    generator = np.random.default_rng(0)
    words = ("dog", "sea", "sky", "nikon")
    kinds = np.arange(30) % 3
    tags = np.concatenate([np.eye(3, dtype=bool)[kinds], generator.random((30, 1)) < 0.5], axis=1)
    tags[-1] = False
    made = Photos(
        name="tiny",
        images=ArrayImages(generator.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)),
        names=[str(i) for i in range(30)],
        tags=sp.csr_array(tags),
        vocabulary=words,
        common=np.ones(4, dtype=bool),
        split=random_split(30, queries=6, train=24, seed=0),
        labels=np.eye(4, dtype=bool)[kinds][:, [0, 1, 2, 3]],
        label_names=("dog", "sea", "sky", "at night"),
    )
    monkeypatch.setattr(profiles.DataConfig, "load", lambda self: made)
    monkeypatch.setattr(profiles.GuideConfig, "load", lambda self: tiny_guide)
    for function in CACHED:
        function.cache_clear()
    yield made
    for function in CACHED:
        function.cache_clear()


def made_run(**changes):
    run = tables.fjsph_run(TINY, CROSS.datasets[0], 8, 0, tables.FULL._replace(guide="CLIP"))
    return replace(run, **changes)


def test_pairs_are_queries_then_database(photos):
    found = load_pairs(CROSS.datasets[0], FeatureConfig(GuideConfig()))
    assert found.image.shape == found.text.shape == (26, 24) and found.labels.shape == (26, 4)
    assert set(found.photos[found.split.query]) == set(photos.split.query)
    assert len(found.split.train) == 14 and np.isin(found.split.train, found.split.database).all()
    assert len(found.unseen) == 6 and not np.intersect1d(found.unseen, found.split.train).size
    np.testing.assert_array_equal(found.labels, photos.labels[found.photos])
    lengths = np.linalg.norm(found.text, axis=1)
    silent = found.photos == 29
    np.testing.assert_allclose(lengths[~silent], 1, rtol=1e-5)
    assert (lengths[silent] == 0).all()


def test_training_photos_are_cut_at_random_and_always_alike(photos):
    chosen = chosen_split(photos, CROSS.datasets[0])
    again = chosen_split(photos, CROSS.datasets[0])
    np.testing.assert_array_equal(chosen.train, again.train)
    whole = chosen_split(photos, CrossData(DataConfig("tiny"), "mirflickr"))
    np.testing.assert_array_equal(whole.database, photos.split.database)
    np.testing.assert_array_equal(whole.train, photos.split.train)
    with pytest.raises(ValueError, match="a database of 10 photos cannot hold 14"):
        chosen_split(photos, replace(CROSS.datasets[0], database=10))


def test_words_of_a_text_weigh_the_same(photos, monkeypatch):
    words = np.array([[2.0, 0.0], [0.0, 0.5], [3.0, 4.0], [1.0, 1.0]], dtype=np.float32)
    monkeypatch.setattr(pairs, "word_features", lambda *_: words)
    tags = photos.tags.toarray()
    tags[:3] = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    said = replace(photos, tags=sp.csr_array(tags))
    found = pairs.text_features(None, said, np.arange(3), "words")
    np.testing.assert_allclose(found, [[1, 0], [0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)


def test_captions_are_texts_where_there_are_any(photos, tiny_guide):
    captioned = replace(photos, texts=tuple("" if i == 3 else f"a dog number {i}" for i in range(30)))
    rows = np.array([5, 3, 1])
    found = pairs.text_features(tiny_guide, captioned, rows, "captions")
    expected = tiny_guide.text_features(["a dog number 5", "a dog number 1"], template="{}")
    np.testing.assert_allclose(
        found[[0, 2]], expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5
    )
    assert (found[1] == 0).all()
    assert pairs.written(captioned, 5) == "a dog number 5" and "dog" in pairs.written(photos, 0)
    tagged = pairs.text_features(tiny_guide, photos, np.array([29, 0]), "captions")
    assert (tagged[0] == 0).all() and tagged[1].any()


def test_photos_without_labels_are_refused(photos, monkeypatch):
    bare = replace(photos, labels=None, label_names=())
    monkeypatch.setattr(profiles.DataConfig, "load", lambda self: bare)
    tasks.photos_of.cache_clear()
    with pytest.raises(ValueError, match="no labels"):
        load_pairs(CROSS.datasets[0], FeatureConfig(GuideConfig()))


def test_every_method_is_scored_in_both_directions(photos):
    wanted = tables.comparison_runs(ONE_SEED)
    found = results(wanted, jobs=1)
    assert [result.run for result in found] == wanted
    for result in found:
        task = result.run.task
        query, database = task.split.query, task.split.database
        for direction, (asks, answers_) in runs.DIRECTIONS.items():
            scores = evaluate(
                result.codes[asks][query], result.codes[answers_][database],
                task.labels[query], task.labels[database], ks=(5,),
            )  # fmt: skip
            assert result.scores[direction].map_all == scores.map_all
            assert result.scores[direction].map_at == scores.map_at
    rows = pd.concat([result.rows() for result in found])
    assert set(rows["method"]) == {"random", "ITQ (CLIP)", "ITQ (FLIP)", "CTRH", "CTRH (nearest)", "FJSPH"}
    assert (
        not rows.duplicated(["method", "direction", "metric"]).any() and rows["value"].between(0, 100).all()
    )
    assert set(rows["metric"]) == {"map_all", "map_5"}
    gaps = tables.both_ways(differences, found, "FJSPH", "CTRH")
    scores = {result.run.label: result.scores["t2i"].map_all for result in found}
    row = gaps[(gaps["direction"] == "t2i") & (gaps["metric"] == "map_all")].iloc[0]
    assert row["difference"] == pytest.approx(100 * (scores["FJSPH"] - scores["CTRH"]))


def test_ctrh_follows_the_seeds_of_the_other_tables(photos):
    wanted = tables.comparison_runs(TINY)
    assert {run.seed for run in wanted if run.method == "CTRH"} == {0}
    assert {run.seed for run in wanted if run.method == "FJSPH"} == {0, 1}
    assert all(run.ctrh.data == CROSS.datasets[0].data for run in wanted if run.method == "CTRH")


def test_random_texts_are_not_the_coins_of_their_photos(photos):
    (result,) = results([made_run(method="random", settings=None)], jobs=1)
    assert (result.codes["image"] != result.codes["text"]).any()


def test_finished_runs_are_read_back(photos, monkeypatch):
    (first,) = results([made_run()], jobs=1)
    monkeypatch.setattr(runs, "learn", lambda *_: pytest.fail("computed again"))
    (again,) = results([made_run(label="another name")], jobs=1)
    np.testing.assert_array_equal(again.codes["text"], first.codes["text"])
    assert again.history["loss"].tolist() == first.history["loss"].tolist()


def test_the_key_sees_every_setting_but_the_label(photos):
    base = made_run()
    others = [
        made_run(bits=16),
        made_run(seed=1),
        made_run(ks=(3,)),
        made_run(data=replace(base.data, train=13)),
        made_run(features=tables.feature_config(TINY, "FLIP")),
        made_run(features=tables.feature_config(TINY, "unmasked")),
        made_run(settings=replace(base.settings, contrast_on="codes")),
    ]
    assert len({base.key, *(run.key for run in others)}) == 1 + len(others)
    assert made_run(label="another name").key == base.key
    taught = make_run(TINY, "mirflickr", "CTRH", 8)
    keys = {
        made_run(method="CTRH", reading="nearest", ctrh=replace(taught, seed=seed)).key for seed in (0, 1)
    }
    assert len(keys) == 2


def test_unseen_rows_leave_the_training_photos_out(photos):
    (result,) = results([made_run()], jobs=1)
    task = result.run.task
    rows = result.rows(unseen=True).set_index("direction")["value"]
    query, unseen = task.split.query, task.unseen
    scores = evaluate(
        result.codes["image"][query],
        result.codes["text"][unseen],
        task.labels[query],
        task.labels[unseen],
    )
    assert rows["i2t"] == pytest.approx(100 * scores.map_all)


def test_what_is_left_out_is_compared_with_the_whole(photos):
    found = results(tables.ablation_runs(ONE_SEED), jobs=1)
    changes = tables.both_ways(effects, found, "FJSPH")
    assert set(changes["label"]) == {variant.label for variant in tables.WITHOUT}
    by = {result.run.label: result for result in found}
    row = changes.query("label == 'no tuning' and direction == 't2i' and metric == 'map_all'").iloc[0]
    gap = by["no tuning"].scores["t2i"].map_all - by["FJSPH"].scores["t2i"].map_all
    assert row["difference"] == pytest.approx(100 * gap)
    assert len({run.key for run in tables.choice_runs(ONE_SEED)}) == 1 + len(tables.CHOICES)


def test_a_variant_changes_what_it_says():
    base = CROSS.fjsph
    runs_by = {run.label: run for run in tables.ablation_runs(ONE_SEED) + tables.choice_runs(ONE_SEED)}
    settings = {label: replace(run.settings, bits=base.bits, train=base.train) for label, run in runs_by.items()}
    contrastive, sample, cluster, quantisation = base.losses.weights
    assert settings["FJSPH"] == settings["no tuning"] == base
    assert settings["no contrastive term"].losses.weights == (0, sample, cluster, quantisation)
    assert settings["sample-wise only"].losses.weights == (contrastive, sample, 0, quantisation)
    assert settings["cluster-wise only"].losses.weights == (contrastive, 0, cluster, quantisation)
    assert settings["contrast on codes"] == replace(base, contrast_on="codes")
    assert settings["fixed centres"] == replace(base, losses=replace(base.losses, anchors="hadamard"))
    assert runs_by["no FLIP masking"].features.flip.ratio == 0 and runs_by["no tuning"].features.flip is None


def test_words_find_photos_and_photos_texts(photos):
    others = [r for r in tables.comparison_runs(TINY) if r.seed == 0 and r.method in ("CTRH", "ITQ", "random")]
    for result in results([made_run(), *others], jobs=1):
        assert result.run.task.words == ("dog", "sea", "sky")
        rows = tables.word_answers(result, count=4)
        assert rows["query"].tolist() == ["dog"] * 4 + ["sea"] * 4 + ["sky"] * 4
        assert rows["rank"].tolist() == [1, 2, 3, 4] * 3
        column = {"dog": 0, "sea": 1, "sky": 2}
        for row in rows.itertuples():
            assert row.relevant == photos.labels[row.photo, column[row.query]]
            assert row.photo in photos.split.database
        assert (rows.groupby("query", sort=False)["distance"].diff().dropna() >= 0).all()
    view = result.view("i2t")
    texts = nearest(view, queries_at(view.scores, (0.1, 0.9)), count=3)
    assert len(texts) == 6 and set(texts["query"]) <= set(result.run.task.split.query)


def test_labels_that_are_no_words_ask_nothing(photos, monkeypatch):
    strange = replace(photos, label_names=("a", "b", "c", "d"))
    monkeypatch.setattr(profiles.DataConfig, "load", lambda self: strange)
    tasks.photos_of.cache_clear()
    for result in results(tables.comparison_runs(ONE_SEED), jobs=1):
        assert result.codes["words"].shape == (0, 8)


def test_speed_is_measured_once(photos, tiny_guide, monkeypatch):
    rows = speed.speed_rows(CROSS, tiny_guide)
    assert rows["patches"].tolist() == [16, 8, 4] and rows["speedup"].iloc[0] == 1 and (rows["ms"] > 0).all()
    monkeypatch.setattr(speed, "tower_rows", lambda *_: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(speed.speed_rows(CROSS, tiny_guide), rows)


def test_data_sets_follow_the_profile(photos, monkeypatch):
    extra = CrossData(DataConfig("coco"), "coco", optional=True)
    other = CrossData(DataConfig("nuswide"), "nuswide")
    wide = replace(TINY, cross=replace(CROSS, datasets=(*CROSS.datasets, other, extra)))
    narrow = replace(wide, datasets=wide.datasets[:1])
    kept, absent = tables.with_present_data(narrow)
    assert [each.name for each in kept.cross.datasets] == ["tiny", "coco"] and absent == ()
    runs_on = tables.comparison_runs(kept)
    assert {run.ctrh.data.name for run in runs_on if run.method == "CTRH"} == {"tiny", "coco"}

    def nowhere(self):
        raise FolderError("not here")

    monkeypatch.setattr(profiles.DataConfig, "load", nowhere)
    tasks.photos_of.cache_clear()
    kept, absent = tables.with_present_data(narrow)
    assert kept.cross.datasets == CROSS.datasets and absent == ("coco: not here",)
    with pytest.raises(ValueError, match="none of its data sets is in cross.datasets"):
        tables.with_present_data(replace(narrow, cross=replace(CROSS, datasets=(other, extra))))


def test_every_profile_has_its_settings():
    for profile in (SMOKE, DEMO, PAPER):
        assert profile.cross.ablation_bits in profile.cross.bits
        own = {each.article for each in profile.datasets}
        assert all(each.article in own or each.optional for each in profile.cross.datasets)
    paper = PAPER.cross
    assert [each.name for each in paper.datasets] == ["mirflickr", "nuswide", "coco"]
    assert {16, 32, 64, 128} == set(paper.bits) and paper.ks == (50, 1000)
    with pytest.raises(ValueError, match="texts must be one of 'words', 'captions'"):
        CrossData(DataConfig("tiny"), "mirflickr", texts="sentences")
