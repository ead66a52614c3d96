"""CTRH+'s study: runs that differ in tags alone, and re-ranking against sorting by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

from ctrh.data.photos import Split
from ctrh.guide.features import ImageFeatures
from ctrh.paper import tasks
from ctrh.paper.studies import beyond
from ctrh.paper.tasks import CALIBRATED, tags_of
from profiles.smoke import PROFILE as SMOKE

PROFILE = replace(SMOKE, seeds=(0, 1), bits=(16, 32), study=replace(SMOKE.study, noise_rates=(0.0, 1.0), bits=16))


def test_runs_differ_in_tags_alone():
    runs = beyond.beyond_runs(PROFILE)
    assert len(set(runs)) == len(runs) == len(PROFILE.datasets) * 2 * 2 * (len(beyond.TAUGHT) + len(beyond.RIVALS))
    ours = [run for run in runs if run.method == "CTRH"]
    plain = {replace(run, label="", tags=replace(run.tags, variant="user")) for run in ours}
    assert len(plain) == len(PROFILE.datasets) * 2 * 2
    assert {run.label: run.tags.variant for run in ours} == beyond.TAUGHT


def test_noise_asks_for_the_curves_alone(monkeypatch):
    monkeypatch.setattr(beyond, "photos_of", lambda data: SimpleNamespace(truth=0 if data.name == "scenes-mir" else None))
    runs = beyond.noise_runs(PROFILE)
    assert len(set(runs)) == len(runs) == 2 * 3 * 2
    assert {(run.label, run.data.name, run.tags.refine.alpha) for run in runs} == {
        (label, "scenes-mir", 0.0) for label in beyond.CURVE
    }


def test_calibrated_variants(monkeypatch, tiny_photos, tmp_path):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path))
    count, words = tiny_photos.tags.shape
    given = np.random.default_rng(0).random((count, words)).astype(np.float32)
    found = SimpleNamespace(probability=sp.csr_array(given[tiny_photos.split.train]))
    monkeypatch.setattr(tasks, "calibration_of", lambda *_: found)
    monkeypatch.setattr(tasks, "mixed_guide_of", lambda *_: SimpleNamespace(key="guide"))
    run = beyond.beyond_runs(PROFILE)[0]
    users = tiny_photos.tags.toarray()
    for variant in CALIBRATED:
        tags = tags_of(tiny_photos, run.data, replace(run.tags, variant=variant)).toarray()
        for i in tiny_photos.split.train:
            p = given[i] * users[i] if variant == "users' probable" else given[i]
            many = int((p > 0.5).sum()) or min(1, int(users[i].sum()))
            if variant == "calibrated":
                common = int((users[i] & tiny_photos.common).sum())
                many = common or int(users[i].sum()) or many
            expected = [c for c in sorted(range(words), key=lambda c: -p[c])[:many] if p[c] > 0]
            assert set(np.flatnonzero(tags[i])) == set(expected), variant


def test_reranking_sorts_the_shortlist_alone(monkeypatch, tiny_photos):
    rng = np.random.default_rng(1)
    tokens = rng.normal(size=(len(tiny_photos), 5)).astype(np.float32)
    split = Split(np.arange(4), np.arange(4, len(tiny_photos)), np.arange(4, len(tiny_photos)))
    labels = rng.random((len(tiny_photos), 3)) < 0.4
    photos = replace(tiny_photos, split=split, labels=labels, label_names=("a", "b", "c"))
    monkeypatch.setattr(beyond, "photos_of", lambda data: photos)
    monkeypatch.setattr(beyond, "guide_of", lambda config: None)
    monkeypatch.setattr(beyond, "image_features", lambda guide, images: ImageFeatures(tokens, tokens))
    query, database = rng.random((4, 6)) < 0.5, rng.random((len(photos) - 4, 6)) < 0.5
    result = SimpleNamespace(run=SimpleNamespace(data=None), query_codes=query, database_codes=database)
    rows = beyond.reranked_rows(PROFILE, result, depths=(12,)).set_index("shortlist")["P@10"]
    for depth in (0, 12):
        hits = []
        for q in range(4):
            order = sorted(range(len(database)), key=lambda j: int((query[q] != database[j]).sum()))[: max(depth, 10)]
            if depth:
                order.sort(key=lambda j: -float(tokens[q] @ tokens[4 + j] / np.linalg.norm(tokens[4 + j])))
            hits += [bool((labels[q] & labels[4 + j]).any()) for j in order[:10]]
        assert rows[depth] == 100 * np.mean(hits)
