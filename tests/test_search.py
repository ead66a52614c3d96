"""The index against a full sort of all distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrh.retrieval.codes import hamming_distances, pack
from ctrh.retrieval.search import HammingIndex


def sorted_search(queries, database, k):
    """Naive: all distances, stable sort, so equal distances by index."""
    distances = hamming_distances(queries, database).astype(np.int32)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**32 - 1), st.floats(0, 0.5)
)
def test_search_is_a_stable_sort(bits, items, k, seed, noise):
    random = np.random.default_rng(seed)
    # Few different bits give many ties, also at the k-th place.
    database, queries = (pack(random.random((n, bits)) < noise) for n in (items, 5))
    distances, indices = HammingIndex(database, bits).search(queries, k)
    assert distances.shape == indices.shape == (5, min(k, items))
    expected_distances, expected_indices = sorted_search(queries, database, k)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(indices, expected_indices)


def test_ties_stay_in_order_in_a_database_of_many_blocks():
    # FAISS scans 65,536 codes at a time; ties run over that border, and the nearest ones come last.
    random = np.random.default_rng(0)
    database, queries = pack(random.random((150_000, 5)) < 0.5), pack(random.random((3, 5)) < 0.5)
    database[-2:] = queries[0]
    for k in (1, 10, 6000):
        distances, indices = HammingIndex(database, 5).search(queries, k)
        expected_distances, expected_indices = sorted_search(queries, database, k)
        np.testing.assert_array_equal(distances, expected_distances)
        np.testing.assert_array_equal(indices, expected_indices)


def test_wrong_input_is_refused():
    codes = pack(np.ones((3, 12), bool))
    with pytest.raises(ValueError, match="after the first 10"):
        HammingIndex(codes, 10)
    with pytest.raises(ValueError, match="at least one"):
        HammingIndex(codes[:0], 12)
    index = HammingIndex(codes, 12)
    with pytest.raises(ValueError, match=r"\(N, 2\) uint8"):
        index.search(codes[:, :1], 1)
    with pytest.raises(ValueError, match="k must"):
        index.search(codes, 0)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "codes.index"
    HammingIndex(pack(np.random.default_rng(0).random((20, 13)) < 0.5), 13).save(path)
    return path


def test_load_gives_back_what_was_saved(saved):
    index = HammingIndex.load(saved)
    assert (len(index), index.bits) == (20, 13)
    assert [path.name for path in saved.parent.iterdir()] == ["codes.index"]
    np.testing.assert_array_equal(index.search(index.codes, 1)[0], 0)


def test_no_damage_goes_unnoticed(saved):
    whole, codes = saved.read_bytes(), HammingIndex.load(saved).codes
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in range(len(whole)):
        damaged.append(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
    refused = 0
    for content in damaged:
        saved.write_bytes(content)
        try:
            # A wrong byte in the zip's dates changes nothing.
            np.testing.assert_array_equal(HammingIndex.load(saved).codes, codes)
        except ValueError as error:
            assert "damaged" in str(error)
            refused += 1
    assert refused > 0.6 * len(damaged)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        HammingIndex.load(tmp_path / "none")


def test_a_failed_save_keeps_the_old_index(saved, monkeypatch):
    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    before, index = saved.read_bytes(), HammingIndex.load(saved)
    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space"):
        index.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["codes.index"]
