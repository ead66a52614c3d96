"""Scores against plain loops, all orders of the ties written out, scikit-learn, and rankings made by hand."""

import subprocess
import sys
import tracemalloc
from fractions import Fraction
from itertools import permutations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from sklearn.metrics import average_precision_score

from ctrh.retrieval.codes import as_words, pack
from ctrh.retrieval.metrics import Convention, evaluate
from ctrh.retrieval.ranking import TILE, compiled, count_groups


def naive_ap(relevant, k, denominator):
    """Average precision of one ranking, a list of bools, nearest first: METHOD's definition word for word."""
    hits, total = 0, Fraction(0)
    for rank, is_relevant in enumerate(relevant if denominator == "first relevant" else relevant[:k], start=1):
        if is_relevant:
            hits += 1
            total += Fraction(hits, rank)
            if denominator == "first relevant" and hits == k:
                break
    below = hits if denominator == "hits" else min(k, sum(relevant))
    return total / below if below else Fraction(0)


def ranked(distances, relevant, order):
    """The relevance of the items, which come in ``order``, after a stable sort by distance."""
    return [bool(relevant[i]) for i in sorted(order, key=lambda i: distances[i])]


def one_query(distances, relevant, bits=None, **options):
    """Scores of a query of zeros against codes with as many ones as the distance asked for."""
    distances = np.asarray(distances)
    bits = bits or max(int(distances.max()), 1)
    database = np.arange(bits) < distances[:, None]
    labels = np.asarray(relevant, dtype=bool)[:, None]
    return evaluate(np.zeros((1, bits), bool), database, np.ones((1, 1), bool), labels, **options)


def random_problem(seed, queries, items, bits, labels, share=0.3):
    random = np.random.default_rng(seed)
    return (
        random.random((queries, bits)) < 0.5,
        random.random((items, bits)) < 0.5,
        random.random((queries, labels)) < share,
        random.random((items, labels)) < share,
    )


def assert_same(a, b):
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, vars(b)[name], err_msg=name)


items = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)
denominators = st.sampled_from(["hits", "possible", "first relevant"])


@settings(deadline=None, max_examples=80)
@given(items, denominators)
def test_expected_is_the_mean_over_all_orders_of_the_ties(ranking, denominator):
    distances, relevant = zip(*ranking, strict=True)
    every = range(1, len(ranking) + 1)
    scores = one_query(distances, relevant, ks=every, ns=every, convention=Convention(denominator=denominator))
    orders = [ranked(distances, relevant, order) for order in permutations(range(len(ranking)))]
    for k in every:
        ap = sum(naive_ap(order, k, denominator) for order in orders) / len(orders)
        assert scores.map_at[k] == pytest.approx(float(ap), abs=1e-12)
        hits = Fraction(sum(sum(order[:k]) for order in orders), len(orders))
        assert scores.precision_at[k - 1] == pytest.approx(float(hits / k))
        assert scores.curve_recall[k - 1] == pytest.approx(float(hits / max(sum(relevant), 1)))
    assert scores.map_all == scores.map_at[len(ranking)]


@settings(deadline=None, max_examples=120)
@given(items, denominators)
def test_stable_is_a_stable_sort(ranking, denominator):
    distances, relevant = zip(*ranking, strict=True)
    every = range(1, len(ranking) + 1)
    scores = one_query(distances, relevant, ks=every, ns=every, convention=Convention("stable", denominator))
    order = ranked(distances, relevant, range(len(ranking)))
    for k in every:
        assert scores.map_at[k] == pytest.approx(float(naive_ap(order, k, denominator)))
        assert scores.precision_at[k - 1] == pytest.approx(sum(order[:k]) / k)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 140), st.integers(1, 140), denominators)
def test_every_score_of_real_codes_in_stable_order(seed, size, bits, labels, denominator):
    queries, database, query_labels, labels = random_problem(seed, 4, size, bits, labels, share=0.1)
    ks, ns = (1, 7, 50), (1, 2, 10)
    scores = evaluate(
        queries, database, query_labels, labels, ks=ks, ns=ns, convention=Convention("stable", denominator)
    )
    distances = (queries[:, None] != database).sum(axis=2)
    relevant = (query_labels[:, None] & labels).any(axis=2)
    rankings = [ranked(d, r, range(size)) for d, r in zip(distances, relevant, strict=True)]
    for q, ranking in enumerate(rankings):
        assert scores.relevant[q] == sum(ranking)
        assert scores.ap_all[q] == pytest.approx(float(naive_ap(ranking, size, "hits")))
        for row, k in zip(scores.ap_at, ks, strict=True):
            assert row[q] == pytest.approx(float(naive_ap(ranking, k, denominator)))
    for n, precision in zip(ns, scores.precision_at, strict=True):
        assert precision == pytest.approx(np.mean([sum(ranking[:n]) / n for ranking in rankings]))
    assert scores.curve_ranks.tolist() == list(range(1, size + 1))
    for rank, precision, recall in zip(
        scores.curve_ranks, scores.curve_precision, scores.curve_recall, strict=True
    ):
        assert precision == pytest.approx(np.mean([sum(ranking[:rank]) / rank for ranking in rankings]))
        assert recall == pytest.approx(
            np.mean([sum(ranking[:rank]) / max(sum(ranking), 1) for ranking in rankings])
        )
    for radius in range(bits + 1):
        found = [
            (r[d <= radius].sum(), (d <= radius).sum()) for d, r in zip(distances, relevant, strict=True)
        ]
        precision = np.mean([hits / within if within else 0 for hits, within in found])
        recall = np.mean([hits / max(r.sum(), 1) for (hits, _), r in zip(found, relevant, strict=True)])
        assert scores.radius_precision[radius] == pytest.approx(precision)
        assert scores.radius_recall[radius] == pytest.approx(recall)


def test_agrees_with_scikit_learn_where_there_are_no_ties():
    random = np.random.default_rng(0)
    distances, relevant = random.permutation(200), random.random(200) < 0.3
    for ties in ("expected", "stable"):
        scores = one_query(distances, relevant, convention=Convention(ties))
        assert scores.map_all == pytest.approx(average_precision_score(relevant, -distances))


def test_all_codes_equal_give_the_value_of_a_random_ranking():
    size, relevant_items = 100_000, 300
    relevant = np.arange(size) < relevant_items  # the best case for a stable sort
    expected = one_query(np.zeros(size, int), relevant, ks=(5000,))
    harmonic = np.sum(1 / np.arange(1, size + 1))
    by_hand = harmonic / size + (relevant_items - 1) / (size - 1) * (1 - harmonic / size)
    assert expected.map_all == pytest.approx(by_hand, rel=1e-9)
    np.testing.assert_allclose(expected.precision_at, relevant_items / size)
    assert one_query(np.zeros(size, int), relevant, convention=Convention("stable")).map_all == 1
    assert one_query(np.zeros(size, int), relevant[::-1], convention=Convention("stable")).map_all < 0.01


def test_large_cut_groups_keep_their_precision():
    # The hypergeometric sum written with scipy's distribution, and precisions added place by place.
    before, size, relevant_items, places, relevant_before, k = 400, 50_000, 9_000, 4_600, 150, 5_000
    relevant = np.zeros(before + size, dtype=bool)
    relevant[:relevant_before] = relevant[before : before + relevant_items] = True
    scores = one_query(np.repeat([0, 1], [before, size]), relevant, ks=(k,))

    def precisions(start, found, count, hits):
        """Mean sum of precisions at hits, ``hits`` of them spread over ``count`` places after ``start``."""
        j = np.arange(1, count + 1)
        return np.sum(hits / count * (found + 1 + (j - 1) * (hits - 1) / (count - 1)) / (start + j))

    nearer = precisions(0, 0, before, relevant_before)
    hits = np.arange(600, 1100)  # 14 standard deviations around the mean of 828
    values = [(nearer + precisions(before, relevant_before, places, h)) / (relevant_before + h) for h in hits]
    by_hand = np.sum(hypergeom(size, relevant_items, places).pmf(hits) * values)
    assert scores.map_at[k] == pytest.approx(by_hand, rel=1e-9)


def test_the_first_relevant_items_of_a_large_group_keep_their_precision():
    # Truncated means of scipy's distribution, place by place.
    before, size, relevant_items, k = 40, 4_000, 900, 500
    relevant = np.zeros(before + size, dtype=bool)
    relevant[before : before + relevant_items] = True
    way = Convention(denominator="first relevant")
    scores = one_query(np.repeat([0, 1], [before, size]), relevant, ks=(k,), convention=way)
    x = np.arange(size)
    among = hypergeom(size - 1, relevant_items - 1, x).cdf(k - 1)
    found = hypergeom(size - 2, relevant_items - 2, np.maximum(x - 1, 0)).cdf(k - 2) * x * (relevant_items - 1) / (size - 1)
    by_hand = np.sum(relevant_items / size * (among + found) / (before + x + 1)) / k
    assert scores.map_at[k] == pytest.approx(by_hand, rel=1e-9)


# The traps of public code that METHOD.md lists.


def test_the_last_item_counts():
    # topk = -1 as a slice would lose the only hit.
    scores = one_query([0, 1, 2, 3], [0, 0, 0, 1], ks=(3, 4, 5000))
    assert scores.map_at == {3: 0, 4: 0.25, 5000: 0.25}
    assert scores.map_all == 0.25
    with pytest.raises(ValueError, match="ranks from 1 on, got -1"):
        one_query([0, 1], [1, 1], ks=(-1,))


def test_the_top_k_are_items_not_relevant_items():
    # Of the first three relevant items only one is in the top 3: AP@3 = 1/1, not (1 + 2/4 + 3/5) / 3.
    scores = one_query([0, 1, 2, 3, 4], [1, 0, 0, 1, 1], ks=(3,))
    assert scores.map_at[3] == 1
    assert one_query([0, 1, 2, 3, 4], [1, 0, 0, 1, 1], ks=(3,), convention=Convention(denominator="possible")).map_at[3] == 1 / 3


@pytest.mark.parametrize("ties", ["expected", "stable"])
@pytest.mark.parametrize("denominator", ["hits", "possible"])
def test_queries_without_hits_count_as_zero(ties, denominator):
    codes = np.array([[0, 0], [0, 1], [1, 1]], dtype=bool)
    labels = np.array([[1, 0], [1, 0], [0, 0]], dtype=bool)
    query_labels = np.array([[1, 0], [0, 1], [0, 0]], dtype=bool)  # two hits, no hit, no label at all
    scores = evaluate(codes, codes, query_labels, labels, ks=(1,), convention=Convention(ties, denominator))
    assert scores.relevant.tolist() == [2, 0, 0]
    assert scores.ap_all.tolist() == [1, 0, 0]
    assert scores.map_all == scores.map_at[1] == pytest.approx(1 / 3)
    assert scores.curve_recall[-1] == scores.radius_recall[-1] == pytest.approx(1 / 3)
    assert all(np.isfinite(value).all() for value in vars(scores).values())


def test_precision_at_n_divides_by_n_in_a_small_database():
    assert one_query([0, 1], [1, 1], ns=(1, 2, 4)).precision_at.tolist() == [1, 1, 0.5]


def test_the_order_of_the_database_matters_to_stable_only():
    problem = random_problem(0, 20, 400, 6, 5)
    order = np.random.default_rng(1).permutation(400)
    shuffled = (problem[0], problem[1][order], problem[2], problem[3][order])
    assert_same(evaluate(*problem, ks=(50,)), evaluate(*shuffled, ks=(50,)))
    stable = [evaluate(*p, ks=(50,), convention=Convention("stable")).ap_at for p in (problem, shuffled)]
    assert np.abs(stable[0] - stable[1]).max() > 0.01


def test_expected_is_where_stable_orders_settle():
    problem = random_problem(2, 3, 300, 4, 3)
    expected, random = evaluate(*problem, ks=(20,)), np.random.default_rng(0)
    orders = [random.permutation(300) for _ in range(400)]
    stable = [
        evaluate(problem[0], problem[1][o], problem[2], problem[3][o], ks=(20,), convention=Convention("stable"), threads=1)
        for o in orders
    ]
    for name in ("ap_all", "ap_at", "precision_at"):
        samples = np.array([vars(scores)[name] for scores in stable])
        error = np.abs(samples.mean(axis=0) - vars(expected)[name])
        assert (error <= 5 * samples.std(axis=0) / np.sqrt(len(orders)) + 1e-12).all()


@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_threads_and_blocks_of_queries_change_nothing(ties):
    problem = random_problem(3, 150, 5000, 24, 70, share=0.02)
    together = evaluate(*problem, ks=(10, 3000), convention=Convention(ties), threads=1)
    for threads in (2, 5):
        assert_same(together, evaluate(*problem, ks=(10, 3000), convention=Convention(ties), threads=threads))
    queries, database, query_labels, labels = problem
    for part in (slice(0, 1), slice(1, 90), slice(90, 150)):
        alone = evaluate(queries[part], database, query_labels[part], labels, ks=(10, 3000), convention=Convention(ties))
        np.testing.assert_array_equal(alone.ap_all, together.ap_all[part])
        np.testing.assert_array_equal(alone.ap_at, together.ap_at[:, part])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.sampled_from([1, 3, 4, TILE - 1, TILE, TILE + 5, 2 * TILE + 2]),
    st.integers(1, 140),
    st.integers(1, 140),
    st.sampled_from([0.5, 0.02, 0.0]),
)
def test_groups_are_counted_to_the_item(seed, queries, size, bits, labels, share):
    codes, database, query_labels, labels = random_problem(seed, queries, size, bits, labels, share)
    if share < 0.5:
        database[:] = database[0]  # nearly collapsed codes: all of a tile in a few groups
    words = [as_words(pack(part)) for part in (codes, query_labels, database, labels)]
    counts = np.full((queries, bits + 1, 2), -1)
    count_groups(words[0], words[1], *(np.ascontiguousarray(part.T) for part in words[2:]), counts)
    distances = (codes[:, None] != database).sum(axis=2)
    relevant = (query_labels[:, None] & labels).any(axis=2)
    for q in range(queries):
        for r in (0, 1):
            expected = np.bincount(distances[q][relevant[q] == r], minlength=bits + 1)
            np.testing.assert_array_equal(counts[q, :, r], expected)


def test_sums_run_in_the_order_of_the_queries():
    """To the bit what queries that are scored alone add up to, one after the other."""
    queries, database, query_labels, labels = random_problem(7, 200, 3000, 20, 9)
    together = evaluate(queries, database, query_labels, labels, ks=(50,), threads=3)
    sums = dict.fromkeys(("curve_recall", "radius_precision", "radius_recall"), 0)
    for q in range(200):
        alone = vars(evaluate(queries[[q]], database, query_labels[[q]], labels, ks=(50,)))
        assert alone["ap_all"][0] == together.ap_all[q] and alone["ap_at"][0, 0] == together.ap_at[0, q]
        for name in sums:
            sums[name] = sums[name] + alone[name]
    for name, total in sums.items():
        np.testing.assert_array_equal(vars(together)[name], total / 200)


def test_a_database_of_many_tiles_in_stable_order():
    queries, database, query_labels, labels = random_problem(4, 2, 5000, 16, 3)
    scores = evaluate(queries, database, query_labels, labels, ks=(2500,), convention=Convention("stable"))
    for q in range(2):
        distances = (queries[q] != database).sum(axis=1)
        ranking = (query_labels[q] & labels).any(axis=1)[np.argsort(distances, kind="stable")][:2500]
        precision = np.cumsum(ranking) / np.arange(1, 2501)
        assert scores.ap_at[0, q] == pytest.approx(precision[ranking].mean())


def test_memory_stays_far_below_queries_times_database():
    problem = random_problem(5, 1000, 20_000, 16, 10)
    evaluate(*problem)  # compiled once, outside the measurement
    tracemalloc.start()
    evaluate(*problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 20_000  # one byte a pair would be too much, float64 takes eight


def test_one_query_and_one_item():
    scores = one_query([1], [1])
    assert scores.map_all == scores.precision_at[0] == 1
    assert scores.radius_recall.tolist() == [0, 1]


def test_input_that_would_be_scored_wrongly_is_refused():
    queries, database, query_labels, labels = random_problem(6, 3, 5, 8, 2)
    with pytest.raises(ValueError, match="database codes must be .* bool"):
        evaluate(queries, np.where(database, 1, -1), query_labels, labels)
    with pytest.raises(ValueError, match="8 bits, database codes 7"):
        evaluate(queries, database[:, :7], query_labels, labels)
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(5, 1\)"):
        evaluate(queries, database, query_labels, labels[:, :1])
    with pytest.raises(ValueError, match="L > 0"):
        evaluate(queries, database, query_labels[:, :0], labels[:, :0])
    with pytest.raises(ValueError, match="query labels must be bool"):
        evaluate(queries, database, query_labels.astype(int), labels)
    # What a padded distributed sampler hands back.
    with pytest.raises(ValueError, match="6 database codes but 5 rows of labels"):
        evaluate(queries, database[[0, 1, 2, 3, 4, 0]], query_labels, labels)
    with pytest.raises(ValueError, match="no query codes"):
        evaluate(queries[:0], database, query_labels[:0], labels)
    with pytest.raises(ValueError, match="ties must be one of"):
        Convention(ties="best")
    with pytest.raises(ValueError, match="denominator must be one of"):
        Convention(denominator="k")
    with pytest.raises(ValueError, match="no query has a relevant item"):
        evaluate(queries, database, query_labels, ~labels & False, convention=Convention(queries="answerable"))


def test_importing_compiles_nothing_and_starts_no_thread():
    check = (
        "import threading, ctrh.retrieval.metrics as m;"
        "assert threading.active_count() == 1 and not m.count_groups.signatures"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_compiles_where_nothing_can_be_kept():
    # numba keeps compiled code beside the source or at home; a function without a file has neither.
    names = {}
    exec(compile("def double(x): return 2 * x", "<nowhere>", "exec"), names)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(names["double"])
    assert compiled(names["double"])(4) == 8


def vectors_problem(dtype=np.float32):
    """Vectors of 7 queries and 40 items, a zero one and doubles among them, and labels; the last query has no answer."""
    random = np.random.default_rng(3)
    queries, items = random.normal(size=(7, 5)).astype(dtype), random.normal(size=(40, 5)).astype(dtype)
    items[4], items[10:13] = 0, items[9]
    asked, labels = random.random((7, 3)) < 0.4, random.random((40, 3)) < 0.3
    asked[-1] = False
    return queries, items, asked, labels


@pytest.mark.parametrize("denominator", ["hits", "possible"])
def test_vectors_are_ranked_by_cosine_as_plain_loops_do(denominator):
    queries, items, asked, labels = vectors_problem(np.float64)
    scores = evaluate(queries, items, asked, labels, ks=(1, 10), ns=(1, 5, 99), convention=Convention(denominator=denominator))
    lengths = [float(np.sqrt((item * item).sum())) for item in items]
    rankings = []
    for query, wanted in zip(queries, asked, strict=True):
        # The query's own length changes no order; equal vectors have equal cosines, rounding aside.
        cosines = [round(float(query @ item) / length, 9) if length else 0 for item, length in zip(items, lengths)]
        order = sorted(range(40), key=lambda i: -cosines[i])
        rankings.append([bool((wanted & labels[i]).any()) for i in order])
    for k, ap in ((1, scores.ap_at[0]), (10, scores.ap_at[1]), (40, scores.ap_all)):
        np.testing.assert_allclose(ap, [float(naive_ap(ranking, k, denominator)) for ranking in rankings])
    np.testing.assert_allclose(
        scores.precision_at, [np.mean([sum(ranking[:n]) / n for ranking in rankings]) for n in (1, 5, 99)]
    )
    recall = [np.mean([sum(r[:n]) / max(sum(r), 1) for r in rankings]) for n in scores.curve_ranks]
    np.testing.assert_allclose(scores.curve_recall, recall)
    assert scores.ap_all[-1] == 0 and len(scores.radius_precision) == len(scores.radius_recall) == 0


def test_vectors_against_scikit_learn():
    queries, items, asked, labels = (part[:-1] if len(part) == 7 else part for part in vectors_problem())
    items = items[[i for i in range(40) if i not in (10, 11, 12)]]  # scikit-learn has another rule for ties
    labels = labels[: len(items)]
    asked[:, 0] = True  # it has no rule for queries without an answer
    scores = evaluate(queries, items, asked, labels, ks=(5,), threads=2)
    lengths = np.linalg.norm(items, axis=1)
    cosines = queries @ items.T / np.where(lengths > 0, lengths, 1)
    expected = [
        average_precision_score((wanted & labels).any(axis=1), cosine) for wanted, cosine in zip(asked, cosines)
    ]
    np.testing.assert_allclose(scores.ap_all, expected, rtol=1e-9)


def test_signs_as_vectors_score_as_codes_where_nothing_is_tied():
    """K - 2 times the Hamming distance is K times the cosine of signs; labels are the same for the items of a distance."""
    random = np.random.default_rng(0)
    codes = random.permutation(np.tri(12, 11, -1, dtype=bool))
    labels = random.random((12, 2)) < 0.5
    query, asked = np.zeros((1, 11), dtype=bool), np.ones((1, 2), dtype=bool)
    as_codes, as_vectors = (
        evaluate(one, other, asked, labels, ks=(3,))
        for one, other in ((query, codes), (2.0 * query - 1, 2.0 * codes - 1))
    )
    for name in ("ap_all", "ap_at", "relevant", "precision_at", "curve_precision", "curve_recall"):
        np.testing.assert_allclose(getattr(as_codes, name), getattr(as_vectors, name), err_msg=name)


def test_vectors_that_are_none_are_refused():
    queries, items, asked, labels = vectors_problem()
    for broken, message in (
        ((queries, items > 0), "query codes must be"),
        ((queries, items[:, :3]), "5 bits, database codes 3"),
        ((queries, np.full_like(items, np.nan)), "NaN or infinite"),
        ((queries.astype(int), items), "query codes must be"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(*broken, asked, labels)
    with pytest.raises(ValueError, match="leave device out"):
        evaluate(queries, items, asked, labels, device="cpu")
