# ruff: noqa: F811 (the fixture ``task`` is imported)
"""Runs: named by content, computed once, read back, the same whatever the number of jobs."""

from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from study_task import TINY, task  # noqa: F401

from ctrh.data.registry import FirstImages, first_photos, load_photos
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.refine import RefineConfig
from ctrh.methods.ctrh import CTRHConfig
from ctrh.methods.lsh import LSH
from ctrh.methods.registry import METHODS, references, untaught
from ctrh.paper import profiles, runs, tasks
from ctrh.paper.profiles import DataConfig, GuideConfig, Profile
from ctrh.paper.runs import Run, make_run, results, run_grid, trained
from ctrh.paper.tasks import InputConfig, TagConfig, hashing_task, variants_of
from ctrh.retrieval.metrics import Convention, evaluate
from ctrh.training import TrainingDiverged


def test_every_method_runs_and_rows_are_tidy(task):
    rows = run_grid([make_run(TINY, "mirflickr", method, 8) for method in METHODS], jobs=1)
    assert not rows.duplicated(["method", "bits", "seed", "metric"]).any()
    assert list(rows["method"].unique()) == list(METHODS)
    assert {"map_all", "map_10", "unique_codes", "fit_seconds", "encode_ms"} <= set(rows["metric"])
    tags = rows.groupby("method")["tags"].unique().str.join("").to_dict()
    weakly_supervised = dict.fromkeys(("WDHT", "MGRN", "EWSH", "WSHRCA"), "user")
    others = {"UHSCM": "concepts", "CTRH": "replaced"}
    assert tags == {**dict.fromkeys((*untaught(), *references()), ""), **weakly_supervised, **others}
    assert rows.loc[rows["metric"].str.startswith("map"), "value"].between(0, 100).all()
    score = rows.query("metric == 'map_all'").set_index("method")["value"]
    assert score["ITQ"] > score["random"] + 10


def test_vectors_are_scored_once_for_all_lengths_and_seeds(task):
    wanted = [make_run(TINY, "mirflickr", "features (float)", bits, seed) for bits, seed in ((8, 0), (16, 1))]
    assert len({run.key for run in wanted}) == 1
    first, second = results(wanted, jobs=1)
    assert (first.run.bits, second.run.bits, second.run.seed) == (8, 16, 1) and first.database_codes is None
    query, database = task.split.query, task.split.database
    relevance = task.labels[query], task.labels[database]
    expected = evaluate(task.features[query], task.features[database], *relevance, ks=(10,))
    np.testing.assert_array_equal(second.scores.ap_all, expected.ap_all)
    assert set(second.rows()["metric"]) == {"map_all", "map_10", "fit_seconds", "encode_ms"}
    assert set(second.rows()["note"]) == {""}


def test_scores_are_those_of_the_method_itself(task):
    (result,) = results([make_run(TINY, "mirflickr", "LSH", 16, seed=3)], jobs=1)
    split = task.split
    hasher = LSH(16, seed=3).fit(task.features[split.train])
    query, database = (hasher.transform(task.features[rows]) for rows in (split.query, split.database))
    np.testing.assert_array_equal(result.query_codes, query)
    np.testing.assert_array_equal(result.database_codes, database)
    expected = evaluate(
        query, database, task.labels[split.query], task.labels[split.database], ks=(10,)
    )
    assert result.scores.map_all == expected.map_all
    assert result.scores.map_at == expected.map_at
    np.testing.assert_array_equal(result.scores.precision_at, expected.precision_at)


def test_scores_follow_the_profile_s_convention(task):
    way = Convention("stable", "possible")
    runs = [make_run(TINY, "mirflickr", "LSH", 8), make_run(replace(TINY, convention=way), "mirflickr", "LSH", 8)]
    ours, theirs = results(runs, jobs=1)
    codes = ours.query_codes, ours.database_codes, task.labels[task.split.query], task.labels[task.split.database]
    assert theirs.scores.map_at == evaluate(*codes, ks=(10,), convention=way).map_at != ours.scores.map_at


@pytest.mark.parametrize("method", ["CTRH", "EWSH", "WSHRCA"])
def test_the_network_of_a_run_is_the_one_that_made_its_codes(task, method):
    run = make_run(TINY, "mirflickr", method, 8)
    (result,) = results([run], jobs=1)
    hasher = trained(run)
    np.testing.assert_array_equal(hasher.encode(task.inputs(task.split.query)), result.query_codes)
    with pytest.raises(ValueError, match="LSH trains no network"):
        trained(make_run(TINY, "mirflickr", "LSH", 8))


def test_finished_runs_are_not_computed_again(task, monkeypatch):
    wanted = [make_run(TINY, "mirflickr", "LSH", bits) for bits in (8, 16)]
    first = run_grid(wanted, jobs=1)

    def computed_again(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(Run, "compute", computed_again)
    pd.testing.assert_frame_equal(run_grid(wanted, jobs=1), first)
    with pytest.raises(AssertionError, match="computed again"):
        run_grid([make_run(TINY, "mirflickr", "LSH", 24)], jobs=1)


def test_a_run_that_diverges_lets_the_others_finish_and_is_not_tried_again(task, monkeypatch):
    def diverges(*_):
        raise TrainingDiverged("hinge", 2, 3, "lower the learning rates")

    monkeypatch.setattr(METHODS["WDHT"], "fit", diverges)
    wanted = [make_run(TINY, "mirflickr", "WDHT", 8), make_run(TINY, "mirflickr", "LSH", 8)]
    with pytest.raises(TrainingDiverged, match="'hinge' is not finite in epoch 2, step 3: lower") as raised:
        results(wanted, jobs=1)
    assert "WDHT on user tags" in raised.value.__notes__[0]
    monkeypatch.setattr(Run, "compute", lambda *_: pytest.fail("computed again"))
    diverged, result = runs.attempts(wanted, jobs=1)
    assert str(diverged) == str(raised.value) and diverged.term == "hinge"
    assert result.run == wanted[1]
    assert [each.run for each in runs.stored(wanted)] == wanted[1:]


def test_interrupted_grid_keeps_what_was_done(task, monkeypatch):
    wanted = [make_run(TINY, "mirflickr", "SH", bits) for bits in (4, 8, 16)]
    compute, done = Run.compute, []

    def stop_at_the_second(run, task):
        if done:
            raise KeyboardInterrupt
        done.append(run.bits)
        return compute(run, task)

    monkeypatch.setattr(Run, "compute", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_grid(wanted, jobs=1)
    monkeypatch.setattr(
        Run, "compute", lambda run, task: done.append(run.bits) or compute(run, task)
    )
    run_grid(wanted, jobs=1)
    assert done == [4, 8, 16]


def test_number_of_jobs_changes_nothing(task, tmp_path, monkeypatch):
    wanted = [make_run(TINY, "mirflickr", "CTRH", bits, tags="user") for bits in (8, 16)]
    frames = []
    for jobs in (1, 2):
        monkeypatch.setenv("CTRH_CACHE", str(tmp_path / str(jobs)))
        # Workers that outlive this test would go on with this test's cache folder.
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
        found = results(wanted, jobs)
        frames.append([(r.query_codes, r.database_codes, r.history["loss"].to_numpy()) for r in found])
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
    for one, two in zip(*frames, strict=True):
        for left, right in zip(one, two, strict=True):
            np.testing.assert_array_equal(left, right)


def test_key_sees_every_setting_but_the_label(task, monkeypatch):
    run = make_run(TINY, "mirflickr", "CTRH", 8)
    keys = {run.key}
    for other in (
        make_run(TINY, "mirflickr", "CTRH", 16),
        make_run(TINY, "mirflickr", "CTRH", 8, seed=1),
        make_run(TINY, "mirflickr", "CTRH", 8, tags="clean"),
        make_run(TINY, "nuswide", "CTRH", 8),
        make_run(TINY, "mirflickr", "CTRH", 8, settings=CTRHConfig(tag_weighting=False)),
        make_run(replace(TINY, top=20), "mirflickr", "CTRH", 8),
    ):
        assert other.key not in keys
        keys.add(other.key)
    assert make_run(TINY, "mirflickr", "CTRH", 8, label="+TR").key == run.key
    monkeypatch.setattr(runs, "hashing_task", lambda *configs: replace(task, key="other data"))
    assert run.key not in keys


def test_methods_without_tags_do_not_depend_on_them(task):
    assert make_run(TINY, "mirflickr", "ITQ", 8, tags="user") == make_run(
        TINY, "mirflickr", "ITQ", 8, tags="clean"
    )


def test_failure_names_the_run(task, monkeypatch):
    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(LSH, "fit", fail)
    with pytest.raises(ValueError, match="no") as failure:
        run_grid([make_run(TINY, "mirflickr", "LSH", 8, seed=4)], jobs=1)
    assert failure.value.__notes__ == ["in the run: LSH, scenes-mir, 8 bits, seed 4"]


def test_collapsed_codes_are_noted(task, monkeypatch):
    monkeypatch.setattr(LSH, "transform", lambda self, X: np.zeros((len(X), self.bits), bool))
    assert set(run_grid([make_run(TINY, "mirflickr", "LSH", 8)], jobs=1)["note"]) == {"collapsed"}


def test_unknown_names_raise():
    with pytest.raises(ValueError, match="no method is called 'DSH'"):
        make_run(TINY, "mirflickr", "DSH", 8)
    with pytest.raises(ValueError, match="no data set 'coco'"):
        make_run(TINY, "coco", "LSH", 8)
    with pytest.raises(ValueError, match="no data set is called 'flickr30k'"):
        load_photos("flickr30k")
    with pytest.raises(ValueError, match="tags must be one of"):
        TagConfig("good", GuideConfig(), FinetuneConfig(), RefineConfig())


def test_profile_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("CTRH_PROFILE", raising=False)
    assert Profile.current().name == "demo"
    monkeypatch.setenv("CTRH_PROFILE", "smoke")
    assert Profile.current().seeds == (0,)
    monkeypatch.setenv("CTRH_PROFILE", "smok")
    with pytest.raises(ValueError, match="smoke, demo, full, paper"):
        Profile.current()


def test_paper_profile_has_the_articles_settings():
    paper = Profile.named("paper")
    assert paper.end_to_end and paper.top == 5000 and paper.bits == (16, 32, 48, 64)
    assert (paper.finetune.epochs, paper.finetune.learning_rate) == (30, 1e-5)
    mir, nus = paper.dataset("mirflickr"), paper.dataset("nuswide")
    assert (mir.refine.alpha, nus.refine.alpha) == (0.5, 0.25)
    assert (mir.losses.margin, nus.losses.margin) == (0.7, 0.9)


@pytest.fixture
def real_path(tiny_photos, tiny_guide, monkeypatch):
    """Photos and guide of the shared fixtures where the data set and the shipped guide would be loaded."""
    labels = np.asarray(tiny_photos.truth.toarray()[:, :4])
    labelled = replace(tiny_photos, labels=labels, label_names=tiny_photos.vocabulary[:4])
    monkeypatch.setattr(profiles.DataConfig, "load", lambda self: labelled)
    monkeypatch.setattr(profiles.GuideConfig, "load", lambda self: tiny_guide)
    monkeypatch.setattr(tasks, "clean_tags", lambda photos: photos.truth)
    cached = (
        hashing_task,
        tasks.photos_of,
        tasks.frozen_features,
        tasks.guide_of,
        tasks.mixed_guide_of,
    )
    for function in cached:
        function.cache_clear()
    yield labelled
    for function in cached:
        function.cache_clear()


def tags_like(variant, alpha=0.0):
    return TagConfig(variant, GuideConfig(), FinetuneConfig(epochs=1, batch=6), RefineConfig(alpha=alpha))


def test_problem_has_features_tags_and_text(real_path, tiny_guide):
    inputs = InputConfig("guide", GuideConfig())
    found = {v: hashing_task(DataConfig("tiny"), inputs, tags_like(v)) for v in ("user", "replaced", "clean")}
    assert found["user"].features.shape == (20, tiny_guide.width)
    assert found["user"].text.shape == (6, tiny_guide.width)
    np.testing.assert_array_equal(found["user"].tags.toarray(), real_path.tags.toarray())
    np.testing.assert_array_equal(found["clean"].tags.toarray(), real_path.truth.toarray())
    assert found["replaced"].tags.shape == (20, 6)
    assert len({each.key for each in found.values()}) == 3
    again = hashing_task(DataConfig("tiny"), inputs, tags_like("replaced"))
    np.testing.assert_array_equal(again.tags.toarray(), found["replaced"].tags.toarray())


def test_fine_tuned_guide_describes_the_tags(real_path):
    inputs = InputConfig("guide", GuideConfig())
    zero_shot = hashing_task(DataConfig("tiny"), inputs, tags_like("user"))
    mixed = hashing_task(DataConfig("tiny"), inputs, tags_like("user", alpha=0.5))
    assert np.abs(zero_shot.text - mixed.text).max() > 0
    np.testing.assert_array_equal(zero_shot.features, mixed.features)


def test_photos_without_labels_raise_before_any_work(real_path, tiny_photos, monkeypatch):
    monkeypatch.setattr(profiles.DataConfig, "load", lambda self: tiny_photos)
    tasks.photos_of.cache_clear()
    with pytest.raises(ValueError, match="no labels"):
        hashing_task(DataConfig("tiny"), InputConfig("guide", GuideConfig()), None)


def test_first_photos_keep_their_pictures_and_tags(tiny_photos):
    few = first_photos(tiny_photos, 8, queries=2, train=5)
    assert len(few) == 8 and len(few.split.query) == 2 and len(few.split.train) == 5
    np.testing.assert_array_equal(few.tags.toarray(), tiny_photos.tags.toarray()[:8])
    assert few.images[7].tobytes() == tiny_photos.images[7].tobytes() == few.images[-1].tobytes()
    assert few.images.key != tiny_photos.images.key
    split = replace(tiny_photos.split, database=np.setdiff1d(tiny_photos.split.database, [0, 1]), train=[])
    used = first_photos(replace(tiny_photos, split=split), 12, queries=2, train=5).split
    assert not {0, 1} - set(split.query) & {*used.query, *used.database}
    with pytest.raises(IndexError):
        FirstImages(tiny_photos.images, 8)[8]
    with pytest.raises(ValueError, match="20 photos, not 21"):
        first_photos(tiny_photos, 21, 2, 5)
    whole = first_photos(tiny_photos, 12, queries=2).split
    np.testing.assert_array_equal(whole.train, whole.database)
    assert len(whole.train) == 10


def test_clean_tags_are_a_variant_only_where_the_truth_is_known(tiny_photos, monkeypatch):
    for truth, variants in ((tiny_photos.tags, ("user", "replaced", "clean")), (None, ("user", "replaced"))):
        photos = replace(tiny_photos, truth=truth)
        monkeypatch.setattr(tasks, "photos_of", lambda data, photos=photos: photos)
        assert variants_of(DataConfig("any")) == variants
