"""Codes on PostgreSQL, run for real: a server from a package, with two databases in the place of two machines."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.postgres import local_servers
from ctrh.retrieval.codes import pack
from ctrh.retrieval.postgres import PartialAnswer, PostgresIndex
from ctrh.retrieval.search import EXACT, NO_ITEM, HammingIndex, IndexConfig


@pytest.fixture(scope="module")
def servers():
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(local_servers(2))
        except PermissionError as error:
            pytest.skip(str(error))
        yield urls


@pytest.fixture
def create(servers):
    """Makes tables that are gone after the test."""
    made = []

    def made_table(bits, config=EXACT, parts=2, name="codes"):
        made.append(PostgresIndex.create(servers[:parts], name, bits, config))
        return made[-1]

    yield made_table
    for index in made:
        index.close()
    for server in servers:
        with psycopg.connect(server) as connection:
            connection.execute("DROP TABLE IF EXISTS codes")


def random_codes(random, count, bits, share=0.5):
    return pack(random.random((count, bits)) < share)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2),
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=5),
)
def test_items_come_and_go_as_in_memory(create, servers, bits, seed, parts, steps):
    random = np.random.default_rng(seed)
    fresh = iter(random.permutation(1000).tolist())
    queries = random_codes(random, 3, bits, 0.2)
    index, kept = create(bits, parts=parts), {}
    try:
        for adding, count in [(True, 12), *steps]:
            if adding:
                names = [next(fresh) for _ in range(count)]
                # Few ones: many equal distances, also at the last place.
                codes = random_codes(random, count, bits, 0.2)
                index.add(codes, np.array(names, dtype=np.int64))
                kept |= zip(names, codes, strict=True)
            else:
                names = random.choice(list(kept), min(count, len(kept) - 1), replace=False)
                index.remove(names)
                for name in names.tolist():
                    del kept[name]
            ids = np.array(sorted(kept))  # equal distances come in the order of the ids
            in_memory = HammingIndex(np.array([kept[i] for i in ids.tolist()]), bits, ids)
            assert len(index) == len(in_memory)
            for k in (1, 7, 100):
                found, expected = index.search(queries, k), in_memory.search(queries, k)
                for ours, theirs in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(ours, theirs)
                    assert ours.dtype == theirs.dtype
    finally:
        index.close()
        PostgresIndex.drop(servers, "codes")


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_is_used_and_finds_near_codes(create, kind, servers):
    random = np.random.default_rng(0)
    centres = random.random((100, 64)) < 0.5
    database = pack(centres[random.integers(0, 100, 8000)] ^ (random.random((8000, 64)) < 0.05))
    queries = pack(centres[:20] ^ (random.random((20, 64)) < 0.05))
    index = create(64, IndexConfig(kind))
    index.add(database)
    distances, ids = index.search(queries, 10)
    exact, _ = HammingIndex(database, 64).search(queries, 10)
    assert (distances <= exact[:, -1:]).mean() > 0.9
    true = np.bitwise_count(database[ids] ^ queries[:, None]).sum(axis=2)
    np.testing.assert_array_equal(distances, true)
    assert (np.diff(distances) >= 0).all()
    with psycopg.connect(servers[0]) as connection:
        connection.execute("ANALYZE codes")
        plan = connection.execute(
            f"EXPLAIN SELECT id FROM codes ORDER BY code <~> '{'01' * 32}'::bit(64) LIMIT 10"
        ).fetchall()
    assert f"codes_{kind}" in str(plan)
    # More than the graph's own limit is asked for.
    distances, ids = index.search(queries[:2], 3000)
    assert distances.shape == (2, 3000) and (np.diff(distances) >= 0).all()
    assert ((ids == NO_ITEM) == (distances == 65)).all()
    # What comes later is found as well, and so is what is there after another process opened the table.
    index.add(queries[:1], np.array([10**12]))
    with PostgresIndex(servers, "codes") as again:
        assert (again.config, again.bits, len(again)) == (IndexConfig(kind), 64, 8001)
        assert again.search(queries[:1], 1)[0][0, 0] == 0


def test_who_may_only_read_can_search(create, servers):
    codes = random_codes(np.random.default_rng(0), 50, 16)
    index = create(16, IndexConfig("hnsw"))
    index.add(codes)
    expected = index.search(codes[:3], 1)
    for server in servers:
        with psycopg.connect(server) as connection:
            connection.execute(
                "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
            )
            connection.execute("GRANT SELECT ON codes TO reader")
    with PostgresIndex([f"{server}&user=reader" for server in servers], "codes") as read:
        np.testing.assert_array_equal(read.search(codes[:3], 1)[0], expected[0])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            read.add(codes)


def test_many_first_searches_build_one_index(create, servers):
    codes = random_codes(np.random.default_rng(0), 3000, 32)
    create(32, IndexConfig("hnsw")).add(codes)
    with ExitStack() as stack:
        clients = [stack.enter_context(PostgresIndex(servers, "codes")) for _ in range(4)]
        threads = stack.enter_context(ThreadPoolExecutor(len(clients)))
        answers = list(threads.map(lambda each: each.search(codes[:5], 1)[0].ravel().tolist(), clients))
    assert answers == [[0] * 5] * 4


def test_a_making_that_was_cut_off_can_be_dropped(create, servers):
    create(12)
    with psycopg.connect(servers[1]) as connection:
        connection.execute("DROP TABLE codes")
    PostgresIndex.drop(servers, "codes")
    create(12)


def test_items_lie_where_their_ids_say(create, servers):
    index = create(20)
    index.add(random_codes(np.random.default_rng(0), 5, 20))
    index.add(random_codes(np.random.default_rng(1), 2, 20))
    for part, server in enumerate(servers):
        with psycopg.connect(server) as connection:
            ids = [row[0] for row in connection.execute("SELECT id FROM codes ORDER BY id")]
        assert ids == list(range(part, 7, 2))


def test_a_refused_change_changes_nothing_on_any_server(create):
    codes = random_codes(np.random.default_rng(0), 4, 12)
    index = create(12)
    index.add(codes)
    with pytest.raises(ValueError, match="one code only: Key .id.=.3. already exists"):
        index.add(codes[:3], np.array([10, 11, 3]))
    with pytest.raises(ValueError, match="one code only"):
        index.add(codes[:2], np.array([9, 9]))
    with pytest.raises(ValueError, match="not in the index, such as 9"):
        index.remove(np.array([0, 1, 9]))
    with pytest.raises(ValueError, match="after the first 12"):
        index.add(codes | np.uint8(0x80))
    assert len(index) == 4
    index.add(codes[:0])
    index.remove(np.arange(4))
    assert len(index) == 0
    assert index.search(codes, 3)[0].shape == index.search(codes, 3)[1].shape == (4, 0)


def test_wrong_requests_are_refused(create, servers, monkeypatch):
    monkeypatch.setattr("ctrh.retrieval.postgres.LONGEST_WAIT", 0.2)
    with pytest.raises(ValueError, match="create it first"):
        PostgresIndex(servers, "codes")
    index = create(12)
    index.add(random_codes(np.random.default_rng(0), 4, 12))
    with pytest.raises(ValueError, match="already: open it"):
        PostgresIndex.create(servers, "codes", 12)
    for wrong in (servers[::-1], servers[:1]):
        with pytest.raises(ValueError, match=re.escape("name all of them, in the order")):
            PostgresIndex(wrong, "codes")
    with pytest.raises(ValueError, match="at least one server"):
        PostgresIndex([], "codes")
    with pytest.raises(ValueError, match="at least one server"):
        PostgresIndex.create([], "codes", 12)
    with pytest.raises(ValueError, match="named twice"):
        PostgresIndex.create(servers[:1] * 2, "other", 12)
    with pytest.raises(ValueError, match="the same database"):
        PostgresIndex.create([servers[0], servers[0] + "&application_name=again"], "other", 12)
    with pytest.raises(ValueError, match="got one string"):
        PostgresIndex(servers[0], "codes")
    with pytest.raises(ValueError, match="100 links"):
        PostgresIndex.create(servers, "other", 12, IndexConfig("hnsw", links=101))
    with pytest.raises(ValueError, match="50 bytes"):
        PostgresIndex.create(servers, "o" * 51, 12)
    with pytest.raises(ValueError, match="multi-index"):
        PostgresIndex.create(servers, "other", 12, IndexConfig("multi-hash"))
    with pytest.raises(ValueError, match="at least one bit"):
        PostgresIndex.create(servers, "other", 0)
    with pytest.raises(ValueError, match=r"\(N, 2\) uint8"):
        index.search(np.zeros((1, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="k must"):
        index.search(np.zeros((1, 2), np.uint8), 0)


def test_a_table_of_something_else_is_left_alone(servers, create):
    with psycopg.connect(servers[0]) as connection:
        connection.execute("CREATE TABLE codes (id int)")
    with pytest.raises(ValueError, match="no table of codes"):
        PostgresIndex(servers, "codes")
    with pytest.raises(ValueError, match="already"):
        PostgresIndex.create(servers, "codes", 12)
    with pytest.raises(ValueError, match="no table of codes"):
        PostgresIndex.drop(servers, "codes")
    # Nothing was made on the other server either.
    with psycopg.connect(servers[1]) as connection:
        assert connection.execute("SELECT to_regclass('codes')").fetchone() == (None,)
        connection.rollback()
    with psycopg.connect(servers[0]) as connection:
        connection.execute("DROP TABLE codes")


def test_any_name_is_a_table_and_nothing_else(create, servers):
    name = 'a "name"; DROP TABLE codes; --'
    index = create(12)
    with PostgresIndex.create(servers, name, 12) as other:
        other.add(random_codes(np.random.default_rng(0), 4, 12))
        assert (len(other), len(index)) == (4, 0)
    PostgresIndex.drop(servers, name)
    with pytest.raises(ValueError, match="create it first"):
        PostgresIndex(servers, name)
    assert len(index) == 0


def test_a_server_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(psycopg.OperationalError, match="no-such-socket"):
        PostgresIndex([f"postgresql:///codes?host={tmp_path / 'no-such-socket'}"], "codes")


@pytest.mark.parametrize("name", ["", "100%", "%s", "a\0b", "é" * 26])
def test_names_that_the_driver_cannot_carry_are_refused(servers, name):
    for use in (PostgresIndex, PostgresIndex.drop):
        with pytest.raises(ValueError, match="without % and NUL"):
            use(servers, name)
    with pytest.raises(ValueError, match="without % and NUL"):
        PostgresIndex.create(servers, name, 12)


@pytest.mark.parametrize("name", ["pg_class", "pg_stat_activity"])
def test_postgresqls_own_relations_are_left_alone(servers, name):
    with pytest.raises(ValueError, match="already"):
        PostgresIndex.create(servers, name, 12)
    with pytest.raises(ValueError, match="no table of codes"):
        PostgresIndex.drop(servers, name)


def test_something_else_under_the_name_of_the_index_is_told(create, servers):
    index = create(12, IndexConfig("hnsw"))
    index.add(random_codes(np.random.default_rng(0), 9, 12))
    with psycopg.connect(servers[1], autocommit=True) as connection:
        connection.execute("CREATE TABLE codes_hnsw (id int)")
    with pytest.raises(ValueError, match="codes_hnsw is something else than the index of 'codes'"):
        index.search(random_codes(np.random.default_rng(1), 1, 12), 3)
    with psycopg.connect(servers[1], autocommit=True) as connection:
        connection.execute("DROP TABLE codes_hnsw")
    assert index.search(random_codes(np.random.default_rng(1), 1, 12), 3)[1].min() >= 0


def test_ids_beyond_64_bits_are_refused(create):
    index, codes = create(12), random_codes(np.random.default_rng(0), 2, 12)
    for ids in (np.array([1, 2**63], np.uint64), np.array([-1, 1]), np.array([0.0, 1.0])):
        with pytest.raises(ValueError, match="ids must"):
            index.add(codes, ids)
    index.add(codes, np.array([1, 2**63 - 1], np.uint64))
    with pytest.raises(ValueError, match="no 2 ids after"):
        index.add(codes)
    with pytest.raises(ValueError, match="ids must be at most"):
        index.remove(np.array([2**63], np.uint64))
    assert index.search(codes[1:], 1)[1][0, 0] in (1, 2**63 - 1)


def cut(server):
    """Ends the connections of all others to a database, as a restart of the server would."""
    with psycopg.connect(server, autocommit=True) as connection:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(f"{mine} AND pid != pg_backend_pid()")


def test_lost_connections_are_made_again(create, servers):
    index, codes = create(12), random_codes(np.random.default_rng(0), 6, 12)
    index.add(codes)
    expected = index.search(codes, 3)
    for server in servers:
        cut(server)
        np.testing.assert_array_equal(index.search(codes, 3), expected)
        cut(server)
        index.add(codes[:1])
        cut(server)
        index.remove(np.array([6]))


def test_without_one_server_nothing_is_added_and_answers_are_partial_on_request(create, servers):
    index, codes = create(12), random_codes(np.random.default_rng(0), 6, 12)
    index.add(codes)
    working, index.servers = index.servers, (servers[0], servers[1].replace("/sock", "/none").replace("part1", "gone"))
    cut(servers[1])
    with pytest.raises(psycopg.OperationalError):
        index.search(codes, 6)
    with pytest.raises(psycopg.OperationalError):
        index.add(codes)
    with pytest.warns(PartialAnswer, match="1 of 2 servers"):
        distances, ids = index.search(codes, 6, partial=True)
    assert distances.shape == (6, 3) and not (ids % 2).any()
    index.servers = working
    assert len(index) == 6


def test_a_statement_that_takes_too_long_is_ended(create, servers):
    create(12).add(random_codes(np.random.default_rng(0), 6, 12))
    with PostgresIndex(servers, "codes", timeout=0.2) as index, psycopg.connect(servers[0]) as other:
        assert len(index) == 6
        other.execute("LOCK TABLE codes IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
            len(index)
        other.rollback()
        assert len(index) == 6
