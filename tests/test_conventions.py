"""Conventions of public code, each beside what that code does, written anew as a plain loop over the sorted database."""

from dataclasses import replace

import numpy as np
import pytest

from ctrh.retrieval.metrics import CONVENTIONS, OURS, evaluate

K = 40


@pytest.fixture(scope="module")
def problem():
    """Queries (the third without any relevant item), 300 items of 6 bits: ties everywhere."""
    random = np.random.default_rng(0)
    codes, database = random.random((12, 6)) < 0.5, random.random((300, 6)) < 0.5
    labels, database_labels = random.random((12, 5)) < 0.4, random.random((300, 5)) < 0.1
    labels[2], database_labels[:, 4] = np.arange(5) == 4, False
    return codes, database, labels, database_labels


def rankings(problem, kind="stable"):
    """The relevance of the sorted database, query by query, as all of them begin."""
    codes, database, labels, database_labels = problem
    for code, label in zip(codes, labels, strict=True):
        order = np.argsort((code != database).sum(axis=1).astype(float), kind=kind)
        yield (label & database_labels).any(axis=1)[order]


def precisions(relevant):
    ranks = np.flatnonzero(relevant) + 1
    return [(hit + 1) / rank for hit, rank in enumerate(ranks)]


def wshrca(problem, k=None, **options):
    """Precisions at the hits of the top k, 0 without one; the mean over all queries."""
    total, count = 0.0, 0
    for relevant in rankings(problem, **options):
        hits = precisions(relevant[:k])
        total += np.mean(hits) if hits else 0
        count += 1
    return total / count


def deephash(problem, k=-1, **options):
    """The same; ``topk`` is -1 where the whole ranking is meant."""
    return wshrca(problem, k, **options)


def wdht(problem, k=None, **options):
    """Queries with nothing relevant in the database are passed over; with nothing in the top k 0 (theirs: NaN)."""
    found = [precisions(relevant[:k]) for relevant in rankings(problem, **options) if relevant.any()]
    return sum(np.mean(hits) if hits else 0 for hits in found) / len(found)


def first_relevant(problem, k=None, **options):
    """The first min(k, relevant) relevant items; NaN for a query without one, which is left out here."""
    found = [np.mean(precisions(relevant)[:k]) for relevant in rankings(problem, **options) if relevant.any()]
    return np.mean(found)


CODE = {
    "wshrca": wshrca,
    "deephash-pytorch": deephash,
    "wdht": wdht,
    "clip-based-cross-modal-hash-first-k-relevant": first_relevant,
}


@pytest.mark.parametrize("name", CODE)
def test_a_convention_prints_what_the_code_of_its_name_prints(problem, name):
    stable = evaluate(*problem, ks=(3, K), convention=replace(CONVENTIONS[name], ties="stable"))
    assert stable.map_all == pytest.approx(CODE[name](problem), abs=1e-12)
    for k in (3, K):
        assert stable.map_at[k] == pytest.approx(CODE[name](problem, k), abs=1e-12)


@pytest.mark.parametrize("name", CODE)
def test_their_unstable_sort_of_a_shuffled_database_is_a_draw_around_ours(problem, name):
    codes, database, labels, database_labels = problem
    expected, random, draws = evaluate(*problem, ks=(K,), convention=CONVENTIONS[name]), np.random.default_rng(1), []
    for _ in range(100):
        order = random.permutation(len(database))
        shuffled = codes, database[order], labels, database_labels[order]
        draws.append([CODE[name](shuffled, kind=None), CODE[name](shuffled, K, kind=None)])
    error = np.abs(np.mean(draws, axis=0) - [expected.map_all, expected.map_at[K]])
    assert (error < 4 * np.std(draws, axis=0) / np.sqrt(len(draws))).all()


def test_what_the_conventions_differ_in(problem):
    """One query without a relevant item of twelve, one item of 300, and the top k of items or of relevant items."""
    scores = {name: evaluate(*problem, ks=(K,), convention=way) for name, way in CONVENTIONS.items()}
    assert CONVENTIONS["ctrh"] == CONVENTIONS["wshrca"] == OURS and len(scores["ctrh"].ap_all) == 12
    assert scores["wdht"].map_all == pytest.approx(scores["ctrh"].map_all * 12 / 11)
    assert 0 < abs(scores["deephash-pytorch"].map_all - scores["ctrh"].map_all) < 1e-3
    few = scores["ctrh"].relevant.max()
    assert few > K and len(scores["clip-based-cross-modal-hash-first-k-relevant"].ap_all) == 11
