"""Counting by matrix products, on whatever device torch has, against a plain loop and the compiled way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrh.retrieval.counting import group_counts
from ctrh.retrieval.metrics import Convention, evaluate

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def problem(seed, queries, items, bits, labels):
    random = np.random.default_rng(seed)
    return (
        random.random((queries, bits)) < 0.5,
        random.random((items, bits)) < 0.5,
        random.random((queries, labels)) < 0.3,
        random.random((items, labels)) < 0.3,
    )


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 99),
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 40),
)
def test_counts_are_those_of_a_plain_loop(seed, queries, items, bits, labels, pairs):
    given = problem(seed, queries, items, bits, labels)
    expected = np.zeros((queries, bits + 1, 2), dtype=int)
    for q in range(queries):
        for i in range(items):
            distance = sum(a != b for a, b in zip(given[0][q], given[1][i]))
            relevant = any(a and b for a, b in zip(given[2][q], given[3][i]))
            expected[q, distance, int(relevant)] += 1
    np.testing.assert_array_equal(group_counts(*given, "cpu", pairs), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("denominator", ["hits", "possible"])
def test_scores_are_the_same_on_every_device(device, denominator):
    given = problem(0, 40, 3000, 24, 30)
    options = {"ks": (1, 7, 500), "ns": (1, 10, 5000), "convention": Convention(denominator=denominator)}
    there, here = evaluate(*given, **options, device=device), evaluate(*given, **options)
    for name, value in vars(here).items():
        np.testing.assert_array_equal(vars(there)[name], value, err_msg=name)


def test_only_counts_can_be_had_elsewhere():
    with pytest.raises(ValueError, match="stable.*device"):
        evaluate(*problem(0, 2, 9, 8, 3), convention=Convention("stable"), device="cpu")


def test_long_codes_stay_exact_in_single_precision():
    given = problem(1, 3, 50, 4096, 5)
    counts = group_counts(*given, torch.device("cpu"))
    distances = (given[0][:, None] != given[1]).sum(axis=2)
    for row, found in zip(distances, counts.sum(axis=2)):
        np.testing.assert_array_equal(found, np.bincount(row, minlength=4097))
