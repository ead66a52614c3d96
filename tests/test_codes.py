"""Packing, distances and statistics of codes, against plain Python on rows of 0 and 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ctrh.retrieval.codes import as_words, code_statistics, hamming_distances, pack, unpack

codes = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))


def test_bit_order_is_least_significant_first_with_zeros_after_the_last():
    row = np.zeros((1, 10), dtype=bool)
    row[0, [0, 3, 9]] = True
    assert pack(row).tolist() == [[0b00001001, 0b00000010]]


@settings(deadline=None)
@given(codes)
def test_unpack_inverts_pack(bits):
    packed = pack(bits)
    assert packed.shape == (len(bits), (bits.shape[1] + 7) // 8)
    assert unpack(packed, bits.shape[1]).dtype == bool
    np.testing.assert_array_equal(unpack(packed, bits.shape[1]), bits)


@settings(deadline=None)
@given(codes, st.integers(0, 2**32 - 1))
def test_distances_count_differing_bits(a, seed):
    b = np.random.default_rng(seed).random((3, a.shape[1])) < 0.5
    naive = [[sum(x != y for x, y in zip(left, right, strict=True)) for right in b] for left in a]
    distances = hamming_distances(pack(a), pack(b))
    assert distances.dtype == np.uint16
    np.testing.assert_array_equal(distances, naive)


def test_words_keep_every_bit_of_long_rows():
    bits = np.zeros((2, 130), dtype=bool)
    bits[1, [0, 64, 129]] = True
    words = as_words(pack(bits))
    assert words.shape == (2, 3)
    assert np.bitwise_count(words).tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 3)), np.array([[-1, 1]]), np.ones(4, bool), np.ones((2, 0), bool)]
)
def test_only_rows_of_bools_are_codes(wrong):
    with pytest.raises(ValueError, match="bool"):
        pack(wrong)


def test_packed_codes_of_another_length_are_refused():
    packed = pack(np.ones((2, 12), bool))
    with pytest.raises(ValueError, match=r"\(N, 1\) uint8"):
        unpack(packed, 8)
    with pytest.raises(ValueError, match="after the first 11"):
        unpack(packed, 11)
    with pytest.raises(ValueError, match="packed codes"):
        hamming_distances(packed, pack(np.ones((2, 8), bool)))


@settings(deadline=None)
@given(codes)
def test_statistics_against_their_definitions(bits):
    statistics = code_statistics(bits)
    assert statistics.images == len(bits)
    assert statistics.unique == len({tuple(row) for row in bits.tolist()})
    for k in range(bits.shape[1]):
        ones = [int(bit) for bit in bits[:, k]]
        assert statistics.balance[k] == pytest.approx(sum(ones) / len(ones))
    varying = np.flatnonzero(bits.any(axis=0) & ~bits.all(axis=0))
    expected = np.zeros((bits.shape[1], bits.shape[1]))
    if len(varying):
        expected[np.ix_(varying, varying)] = np.corrcoef(bits[:, varying], rowvar=False)
    np.testing.assert_allclose(statistics.correlation, expected, atol=1e-12)


def test_mean_correlation_sees_copies_and_opposites():
    bit = np.random.default_rng(0).random((1000, 1)) < 0.5
    assert code_statistics(np.hstack([bit, ~bit, bit])).mean_correlation == pytest.approx(1)
    assert code_statistics(bit).mean_correlation == 0
    independent = np.random.default_rng(1).random((20_000, 16)) < 0.5
    assert code_statistics(independent).mean_correlation < 0.02


def test_collapse_is_one_code_or_mostly_constant_bits():
    healthy = np.random.default_rng(0).random((1000, 8)) < 0.5
    assert not code_statistics(healthy).collapsed
    assert code_statistics(np.repeat(healthy[:1], 50, axis=0)).collapsed
    half_dead = healthy.copy()
    half_dead[:, :4] = True
    assert code_statistics(half_dead).constant_bits == 4
    assert not code_statistics(half_dead).collapsed
    half_dead[:, 4] = np.arange(1000) == 0  # one image in a thousand says otherwise: as good as constant
    assert code_statistics(half_dead).constant_bits == 5
    assert code_statistics(half_dead).collapsed
    assert not code_statistics(healthy[:1]).collapsed
    with pytest.raises(ValueError, match="no codes"):
        code_statistics(healthy[:0])
