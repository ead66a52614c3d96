"""The index against a full sort of all distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrh.retrieval import code_file, nearest, search
from ctrh.retrieval.codes import hamming_distances, pack
from ctrh.retrieval.search import NO_ITEM, HammingIndex, IndexConfig

APPROXIMATE = ("hnsw", "ivf", "multi-hash")


@pytest.fixture(autouse=True, scope="module")
def structures_for_few_codes():
    """Below: even the smallest index is searched by its structure, if a test does not say otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SCANNED", 0)
        yield


def sorted_search(queries, database, k):
    """Naive: all distances, stable sort, so equal distances by index."""
    distances = hamming_distances(queries, database).astype(np.int32)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def random_codes(random, count, bits, share=0.5):
    return pack(random.random((count, bits)) < share)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**32 - 1), st.floats(0, 0.5)
)
def test_search_is_a_stable_sort(bits, items, k, seed, noise):
    random = np.random.default_rng(seed)
    # Few different bits give many ties, also at the k-th place.
    database, queries = (random_codes(random, n, bits, noise) for n in (items, 5))
    distances, ids = HammingIndex(database, bits).search(queries, k)
    assert distances.shape == ids.shape == (5, min(k, items))
    expected_distances, expected_ids = sorted_search(queries, database, k)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(ids, expected_ids)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(("exact", *APPROXIMATE)),
    st.integers(2, 40),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=6),
)
def test_items_come_and_go(kind, bits, seed, steps):
    """After any adding and removing: the answers of an index made of what is left, kept as a dict by id."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)
    codes = random_codes(random, 20, bits)
    index = HammingIndex(codes, bits, ids[:20], IndexConfig(kind, effort=1000 if kind == "ivf" else 0))
    kept = dict(zip(ids[:20].tolist(), codes, strict=True))
    queries = random_codes(random, 3, bits)
    fresh = iter(ids[20:].tolist())
    for adding, count in steps:
        if adding:
            more = random_codes(random, count, bits)
            names = np.array([next(fresh) for _ in range(count)], dtype=np.int64)
            index.add(more, names)
            kept |= zip(names.tolist(), more, strict=True)
        else:
            names = random.choice(list(kept), min(count, len(kept) - 1), replace=False)
            index.remove(names)
            for name in names.tolist():
                del kept[name]
        distances, found = index.search(queries, 7)
        left = np.array(list(kept.values()))
        expected, rows = sorted_search(queries, left, 7)
        if kind in ("exact", "ivf"):
            np.testing.assert_array_equal(distances, expected)
        if kind == "exact":
            np.testing.assert_array_equal(found, np.array(list(kept))[rows])
        for query, far, names in zip(queries, distances, found, strict=True):
            some = names != NO_ITEM
            assert len(set(names[some])) == some.sum() and (np.diff(far) >= 0).all()
            true = [np.bitwise_count(kept[name] ^ query).sum() for name in names[some].tolist()]
            np.testing.assert_array_equal(far[some], true)
            assert (far[~some] == bits + 1).all()


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_approximate_search_finds_near_codes(kind):
    random = np.random.default_rng(0)
    centres = random.random((100, 64)) < 0.5
    database = pack(centres[random.integers(0, 100, 5000)] ^ (random.random((5000, 64)) < 0.05))
    queries = pack(centres[:50] ^ (random.random((50, 64)) < 0.05))
    distances, _ = HammingIndex(database, 64, config=IndexConfig(kind)).search(queries, 10)
    exact, _ = HammingIndex(database, 64).search(queries, 10)
    assert (distances <= exact[:, -1:]).mean() > 0.9


def repeated_codes(name):
    """(N, B) codes, K and queries of the same kind: what trained and collapsed networks give."""
    random = np.random.default_rng(0)
    if name == "16 bits":
        items = random.random((12, 16))[random.integers(0, 12, 2215)] ** 2
        return pack(items > 0.3 + 0.2 * random.random(items.shape)), 16
    centres, items, share = {"69 codes": (69, 4000, 0), "skewed groups": (300, 6000, 0.02)}[name]
    codes = random.random((centres, 32)) < 0.5
    group = np.minimum(random.zipf(1.3, items) - 1, centres - 1)
    return pack(codes[group] ^ (random.random((items, 32)) < share)), 32


@pytest.mark.parametrize("scanned", [0, 2**16])
@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("name", ["16 bits", "69 codes", "skewed groups"])
def test_many_equal_codes_hide_no_neighbour(name, kind, scanned, monkeypatch):
    monkeypatch.setattr(search, "SCANNED", scanned)
    codes, bits = repeated_codes(name)
    queries = codes[::9]
    config = IndexConfig(kind, effort=2 if kind == "multi-hash" else 0)
    distances, ids = HammingIndex(codes, bits, config=config).search(queries, 10)
    exact, _ = sorted_search(queries, codes, 10)
    # Hash tables find what lies within the flipped bits, and of that they miss nothing.
    near = exact <= 2 if kind == "multi-hash" and not scanned else exact >= 0
    assert (distances == exact)[near].mean() >= 0.99
    assert (distances[:, 0] == 0).all()
    for row in ids:
        assert len(set(row[row != NO_ITEM])) == (row != NO_ITEM).sum()


def test_ids_that_are_rows_take_no_memory(tmp_path):
    codes = random_codes(np.random.default_rng(0), 5000, 64)
    sizes = []
    for name, ids in (("none", None), ("rows", np.arange(5000)), ("others", np.arange(5000) + 1)):
        index = HammingIndex(codes, 64, ids)
        index.save(tmp_path / name)
        sizes.append((tmp_path / name).stat().st_size // 5000)
        index.add(codes[:3])
        assert index.ids.tolist() == list(range(name == "others", 5003 + (name == "others")))
        index.remove(index.ids[[0]])
        np.testing.assert_array_equal(index.search(codes[1:2], 1)[1][0], index.ids[:1])
    assert sizes == [8, 8, 16]


@pytest.mark.parametrize("bits", [5, 16, 24, 32, 64, 100, 128, 300])
def test_ties_stay_in_order_in_a_database_of_many_tiles(bits):
    """Of every width of word; ties run over the borders of tiles, and the nearest codes come last."""
    random = np.random.default_rng(0)
    database, queries = random_codes(random, 9000, bits, 0.1), random_codes(random, 3, bits, 0.1)
    database[-2:] = queries[0]
    for k in (1, 10, 2000, 9000):
        np.testing.assert_array_equal(
            HammingIndex(database, bits).search(queries, k), sorted_search(queries, database, k)
        )


@pytest.mark.parametrize("falling", [False, True])
def test_any_order_of_distances_is_ranked(falling):
    """Ever nearer codes, each of which drives out what was found before; and ever farther ones."""
    ones = np.sort(np.random.default_rng(0).integers(0, 65, 5000))
    codes = pack(np.arange(64) < (ones[::-1] if falling else ones)[:, None])
    query = pack(np.zeros((1, 64), bool))
    for k in (1, 7, 300):
        np.testing.assert_array_equal(HammingIndex(codes, 64).search(query, k), sorted_search(query, codes, k))


def test_blocks_of_queries_and_threads_change_nothing(monkeypatch):
    random = np.random.default_rng(1)
    database, queries = random_codes(random, 300, 24), random_codes(random, 50, 24)
    whole = HammingIndex(database, 24).search(queries, 9)
    monkeypatch.setattr(nearest, "PAIRS_A_THREAD", 1)
    monkeypatch.setattr(nearest.numba.config, "NUMBA_NUM_THREADS", 3)
    for kept in (2**22, 7 * 18, 1):
        monkeypatch.setattr(nearest, "KEPT_AT_ONCE", kept)
        np.testing.assert_array_equal(HammingIndex(database, 24).search(queries, 9), whole)
    assert HammingIndex(database, 24).search(queries[:0], 9)[0].shape == (0, 9)


@pytest.mark.parametrize("kind", ["ivf", "multi-hash"])
def test_codes_that_hardly_repeat_are_held_as_they_are(kind, tmp_path):
    """... and those that come later, however often they repeat; anew only once items are removed."""
    random = np.random.default_rng(0)
    codes = random_codes(random, 400, 24)
    index = HammingIndex(codes, 24, config=IndexConfig(kind, effort=20))
    for times in range(3):
        assert (index.search(codes[:50], 3)[0][:, : times + 1] == 0).all()
        assert index._structure.ntotal == len(index)
        index.save(tmp_path / "codes.index")
        index = HammingIndex.load(tmp_path / "codes.index")
        index.add(codes)
    index.remove(np.arange(5))
    assert (index.search(codes[:50], 3)[0] == 0).all() and index._structure.ntotal == 400


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
    with pytest.raises(ValueError, match="one code only"):
        HammingIndex(codes, 12, np.array([1, 1, 2]))
    with pytest.raises(ValueError, match="not be negative"):
        HammingIndex(codes, 12, np.array([-1, 1, 2]))
    with pytest.raises(ValueError, match=r"\(3,\) whole numbers"):
        HammingIndex(codes, 12, np.arange(2))
    with pytest.raises(ValueError, match="65535 bits"):
        HammingIndex(np.zeros((1, 8192), np.uint8), 65_536)
    with pytest.raises(ValueError, match="one of exact, hnsw"):
        IndexConfig("magic")
    with pytest.raises(ValueError, match="not negative"):
        IndexConfig("ivf", effort=-1)


def test_a_refused_change_changes_nothing():
    codes = random_codes(np.random.default_rng(0), 4, 12)
    index = HammingIndex(codes, 12)
    with pytest.raises(ValueError, match="one code only"):
        index.add(codes[:1], np.array([3]))
    with pytest.raises(ValueError, match="not in the index, such as 9"):
        index.remove(np.array([0, 9]))
    with pytest.raises(ValueError, match="at least one"):
        index.remove(np.arange(4))
    assert index.ids.tolist() == [0, 1, 2, 3]
    index.add(codes[:2])
    assert index.ids.tolist() == [0, 1, 2, 3, 4, 5] and len(index) == 6


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "codes.index"
    HammingIndex(random_codes(np.random.default_rng(0), 20, 13), 13, np.arange(20) * 3).save(path)
    return path


@pytest.mark.parametrize("mapped", [False, True])
def test_load_gives_back_what_was_saved(saved, mapped):
    index = HammingIndex.load(saved, mapped)
    assert (len(index), index.bits) == (20, 13)
    assert [path.name for path in saved.parent.iterdir()] == ["codes.index"]
    np.testing.assert_array_equal(index.ids, np.arange(20) * 3)
    np.testing.assert_array_equal(index.search(index.codes, 1)[0], 0)
    before = saved.read_bytes()
    index.add(index.codes[:1])
    index.remove(np.array([3, 6]))
    assert (len(index), saved.read_bytes()) == (19, before)
    index.save(saved)
    np.testing.assert_array_equal(HammingIndex.load(saved).ids, index.ids)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_an_approximate_index_is_stored_as_it_is(tmp_path, kind):
    random = np.random.default_rng(0)
    index = HammingIndex(random_codes(random, 300, 32), 32, config=IndexConfig(kind))
    queries = random_codes(random, 9, 32)
    index.save(tmp_path / "codes.index")
    loaded = HammingIndex.load(tmp_path / "codes.index")
    assert loaded.config == index.config
    np.testing.assert_array_equal(loaded.search(queries, 5), index.search(queries, 5))
    with pytest.raises(ValueError, match="only exact"):
        HammingIndex.load(tmp_path / "codes.index", mapped=True)


@pytest.mark.parametrize("mapped", [False, True])
def test_no_damage_goes_unnoticed(saved, mapped):
    whole = saved.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 7)] + [whole + b"\0", b"ctrhcode" * 20]
    damaged += [
        whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in range(len(whole))
    ]
    for content in damaged:
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=r"codes.index is damaged .* anew"):
            HammingIndex.load(saved, mapped)


def test_a_truncated_file_is_noticed_without_the_checksum(saved):
    saved.write_bytes(saved.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        HammingIndex.load(saved, mapped=True, verify=False)


def test_another_version_is_named(saved, monkeypatch):
    monkeypatch.setattr(code_file, "VERSION", 9)
    with pytest.raises(ValueError, match="version 2, where this program reads 9"):
        HammingIndex.load(saved)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        HammingIndex.load(tmp_path / "none")


def test_a_failed_save_keeps_the_old_index(saved, monkeypatch):
    def full_disk(*parts):
        raise OSError("no space left on device")

    before, index = saved.read_bytes(), HammingIndex.load(saved)
    monkeypatch.setattr("ctrh.store.os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        index.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["codes.index"]


def test_ids_beyond_64_bits_are_refused_and_large_ones_kept():
    codes = pack(np.eye(4, 12, dtype=bool))
    for ids in (np.array([1, 2, 3, 2**63], np.uint64), np.array([-1, 1, 2, 3]), np.arange(4.0)):
        with pytest.raises(ValueError, match="ids must"):
            HammingIndex(codes, 12, ids)
    index = HammingIndex(codes, 12, np.array([1, 2, 3, 2**63 - 2], np.uint64))
    with pytest.raises(ValueError, match="no 2 ids after"):
        index.add(codes[:2])
    with pytest.raises(ValueError, match="ids must be at most"):
        index.remove(np.array([2**63], np.uint64))
    with pytest.raises(ValueError, match="not in the index"):
        index.remove(np.array([2**63 - 1], np.uint64))  # as floats it would be its neighbour
    index.add(codes[:1], np.array([7], np.uint64))
    assert index.search(codes[3:], 1)[1].tolist() == [[2**63 - 2]] and len(index) == 5
