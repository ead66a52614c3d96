"""Codes on one or many PostgreSQL servers, searched through pgvector: for collections that outgrow one machine.

Server i of n holds the ids with ``id % n == i``. A query goes to all of them at once, and their answers are merged by
distance, which needs no correction: a code's Hamming distance does not depend on where it lies.

Needs ``pip install ctrh[postgres]`` and servers with the extension ``vector`` (pgvector 0.8 or newer). The table is plain
SQL, so whatever else is known of a photo can be joined to it: columns ``id`` bigint and ``code`` bit.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from ctrh.retrieval.codes import check_packed
from ctrh.retrieval.search import EXACT, NO_ITEM, IndexConfig, checked_ids, next_ids, whole_ids

try:
    import psycopg
    from psycopg import sql
except ImportError as error:
    raise ImportError("codes on PostgreSQL need its driver: pip install 'ctrh[postgres]'") from error

VERSION = 1  # of what a table's comment says
ROWS_AT_ONCE = 1 << 20
COPY_BEGINS, COPY_ENDS = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
MEMORY_TO_BUILD = "1GB"  # of each server, at most: enough for a graph of some millions of codes
LONGEST_WAIT = 5  # seconds, for another one that makes the same table
LONGEST_NAME = 50  # of PostgreSQL's 63 bytes, which the name of the table's index shares
# pgvector's own limits of m, of hnsw.ef_search, and of lists and probes
MOST_LINKS, MOST_KEPT, MOST_CELLS = 100, 1000, 32_768


T = TypeVar("T")


class PartialAnswer(UserWarning):
    """Some of the servers have not answered: what they hold was not looked at."""


class PostgresIndex:
    """The codes of a table that lies on ``servers``: ``search``, ``add``, ``remove`` and ``len`` as those of
    :class:`ctrh.retrieval.search.HammingIndex`, but that it may be empty, and that equal distances come by id.

    ``servers``: connection strings ("postgresql://user@host/database"), in the order in which :meth:`create` got them.
    ``timeout``: the most seconds that a statement may take on a server, building an approximate index left out.
    A lost connection is made again at the next call. Raises ``ValueError`` when there is no such table or the servers are
    others, ``psycopg.OperationalError`` when one does not answer, or not in time. Use it as a context manager, or call
    :meth:`close`.
    """

    def __init__(self, servers: Sequence[str], name: str, timeout: float | None = None) -> None:
        _check_servers(servers)
        _check_name(name)
        self.name, self.servers, self.timeout = name, tuple(servers), timeout
        self._table = sql.Identifier(name)
        with ExitStack() as stack:
            self._connections: list[psycopg.Connection | None] = [None] * len(servers)
            stack.callback(lambda: [each.close() for each in self._connections if each])
            for part in range(len(servers)):
                self._connect(part)
            abouts = [_about(connection, name) for connection in self._connections]
            parts = [about["part"] for about in abouts]
            if parts != list(range(abouts[0]["parts"])) or len({about["set"] for about in abouts}) != 1:
                raise ValueError(
                    f"table {name!r} lies on {abouts[0]['parts']} servers, and these are its parts {parts}: name all of "
                    "them, in the order in which it was created"
                )
            self.bits: int = abouts[0]["bits"]
            self.config = IndexConfig(**abouts[0]["config"])
            self._built = self.config.kind == "exact"
            self._threads = stack.enter_context(ThreadPoolExecutor(len(servers)))
            self._open = stack.pop_all()

    @classmethod
    def create(
        cls, servers: Sequence[str], name: str, bits: int, config: IndexConfig = EXACT
    ) -> PostgresIndex:
        """A new, empty table of codes of ``bits`` bits on each server. ``config``: "exact", "hnsw" or "ivf".

        Raises ``ValueError`` for another kind, settings that pgvector does not take, and a table that is there already.
        """
        _check_servers(servers)
        if config.kind == "hnsw" and config.links > MOST_LINKS:
            raise ValueError(f"pgvector's graphs have {MOST_LINKS} links at most, got {config.links}")
        if config.kind == "multi-hash":
            raise ValueError('pgvector has no multi-index hashing: choose "exact", "hnsw" or "ivf"')
        _check_name(name)
        if bits < 1:
            raise ValueError(f"codes need at least one bit, got {bits}")
        table, width = sql.Identifier(name), 8 * -(-bits // 8)
        with ExitStack() as stack:
            connections = [stack.enter_context(psycopg.connect(each)) for each in servers]
            try:
                for connection in connections:
                    # The same database under two names would wait for itself.
                    connection.execute(f"SET LOCAL lock_timeout = {1000 * LONGEST_WAIT:.0f}")
                (stamp,) = connections[0].execute("SELECT gen_random_uuid()::text").fetchone()
                for part, connection in enumerate(connections):
                    about = {"ctrh": VERSION, "set": stamp, "bits": bits, "config": asdict(config)}
                    about |= {"part": part, "parts": len(servers)}
                    if _there(connection, table):  # in any schema that is looked in, PostgreSQL's own among them
                        raise psycopg.errors.DuplicateTable
                    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                    connection.execute(
                        sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, code bit({}) NOT NULL)").format(
                            table, sql.Literal(width)
                        )
                    )
                    comment = sql.SQL("COMMENT ON TABLE {} IS {}")
                    connection.execute(comment.format(table, sql.Literal(json.dumps(about))))
            # The second: somebody made it between the look and the making.
            except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation) as error:
                raise ValueError(f"there is a table {name!r} already: open it, or drop it first") from error
            except psycopg.errors.LockNotAvailable as error:
                raise ValueError(
                    f"table {name!r} is being made elsewhere, or two of the servers are the same database"
                ) from error
        return cls(servers, name)

    @classmethod
    def drop(cls, servers: Sequence[str], name: str) -> None:
        """Deletes the table from all servers, also what is left of one whose making was cut off.

        Raises ``ValueError``, and deletes nothing, where a table of this name holds something else.
        """
        _check_servers(servers)
        _check_name(name)
        table = sql.Identifier(name)
        with ExitStack() as stack:
            for connection in [stack.enter_context(psycopg.connect(each)) for each in servers]:
                if _there(connection, table):
                    _about(connection, name)
                    connection.execute(sql.SQL("DROP TABLE {}").format(table))

    def __len__(self) -> int:
        return sum(self._everywhere(_number(sql.SQL("SELECT count(*) FROM {}").format(self._table))))

    def search(
        self, queries: np.ndarray, k: int, partial: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest codes of each query, nearest first and equal distances in the order of their ids.

        ``queries``: (Q, ceil(K/8)) uint8 -> distances (Q, min(k, N)) int32 and ids (Q, min(k, N)) int64. Where an
        approximate index finds fewer, the rest has the distance K + 1 and the id ``NO_ITEM``. It is built at the first
        search; which of equally distant codes an approximate one finds is left to it. Among many rows of one code pgvector's
        graph may lose others: choose "exact" where few codes serve many photos.
        ``partial``: the answer of those servers that answer, with a `PartialAnswer` warning about the others.
        Raises ``ValueError`` for ``k`` < 1 or queries of another width.
        """
        check_packed(queries, self.bits, "queries")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        some = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS found")
        counts = self._everywhere(_number(some.format(self._table, sql.Literal(k))), partial)
        k = min(k, sum(counts))
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        self._build(partial)
        texts = _bit_strings(queries)
        answers = self._everywhere(lambda connection: self._nearest(connection, texts, k), partial)
        distances, ids = (np.concatenate(part, axis=1) for part in zip(*answers, strict=True))
        order = np.lexsort((ids, distances))[:, :k]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)

    def add(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """More items. codes: (M, ceil(K/8)) uint8, ids: (M,), from the largest one on if None.

        All of them or none, as long as no server fails while they commit, one after the other. Raises ``ValueError`` for
        an id that is taken.
        """
        check_packed(codes, self.bits)
        if ids is None:
            largest = sql.SQL("SELECT coalesce(max(id), -1) FROM {}").format(self._table)
            ids = next_ids(max(self._everywhere(_number(largest))), len(codes))
        ids = checked_ids(ids, len(codes))
        copy = sql.SQL("COPY {} (id, code) FROM STDIN (FORMAT binary)").format(self._table)
        try:
            with self._all_or_none():
                for part, connection in enumerate(self._connections):
                    mine = np.flatnonzero(ids % len(self._connections) == part)
                    with connection.cursor().copy(copy) as stream:
                        stream.write(COPY_BEGINS)
                        for start in range(0, len(mine), ROWS_AT_ONCE):
                            rows = mine[start : start + ROWS_AT_ONCE]
                            stream.write(_binary_rows(codes[rows], ids[rows]))
                        stream.write(COPY_ENDS)
        except psycopg.errors.UniqueViolation as error:
            raise ValueError(f"an id can be given to one code only: {error.diag.message_detail}") from error

    def remove(self, ids: np.ndarray) -> None:
        """Takes items away. Raises ``ValueError``, and takes none, for an id that is not there."""
        ids = np.unique(whole_ids(ids))
        delete = sql.SQL("DELETE FROM {} WHERE id = ANY(%s) RETURNING id").format(self._table)
        with self._all_or_none():
            gone = [
                row[0]
                for connection in self._connections
                for row in connection.execute(delete, [ids.tolist()], binary=True)
            ]
            if len(gone) != len(ids):
                missing = np.setdiff1d(ids, gone)
                raise ValueError(f"{len(missing)} of the ids are not in the index, such as {missing[0]}")

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> PostgresIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _connect(self, part: int) -> psycopg.Connection:
        """The connection to a server, made again if it was lost."""
        if self._connections[part] is None or self._connections[part].closed:
            made = psycopg.connect(self.servers[part], autocommit=True)
            self._connections[part] = made
            made.execute("SELECT set_config('statement_timeout', %s, false)", [f"{1000 * (self.timeout or 0):.0f}"])
        return self._connections[part]

    def _everywhere(self, work: Callable[[psycopg.Connection], T], partial: bool = False) -> list[T]:
        """``work``, which changes nothing, on all servers at once; begun again where a connection was lost.

        ``partial``: without those that do not answer, as long as one does.
        """

        def attempt(part: int) -> tuple[T | None, psycopg.OperationalError | None]:
            try:
                try:
                    return work(self._connect(part)), None
                except psycopg.OperationalError:
                    if not self._connections[part].closed:
                        raise  # it is there, and was not lost: too slow, out of memory
                    return work(self._connect(part)), None
            except psycopg.OperationalError as error:
                return None, error

        outcomes = list(self._threads.map(attempt, range(len(self.servers))))
        errors = [error for _, error in outcomes if error]
        if errors and (not partial or len(errors) == len(outcomes)):
            raise errors[0]
        if errors:
            silent = f"{len(errors)} of {len(outcomes)} servers do not answer, their codes are missing"
            warnings.warn(f"{silent}: {errors[0]}", PartialAnswer, stacklevel=3)
        return [found for found, error in outcomes if not error]

    def _nearest(
        self, connection: psycopg.Connection, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of one server: distances (Q, k) and ids (Q, k), unordered, filled up as :meth:`search` says."""
        nearest = sql.SQL("SELECT code <~> %s::{} AS distance, id FROM {} ORDER BY {} LIMIT {}").format(
            sql.SQL(f"bit({queries.dtype.itemsize})"),
            self._table,
            # An approximate index gives an order by distance only.
            sql.SQL("distance, id" if self.config.kind == "exact" else "distance"),
            sql.Literal(k),
        )
        distances = np.full((len(queries), k), self.bits + 1, np.int32)
        ids = np.full((len(queries), k), NO_ITEM, np.int64)
        with connection.transaction():
            for setting, value in self._effort(k).items():
                connection.execute("SELECT set_config(%s, %s, true)", [setting, str(value)])
            for row, text in enumerate(queries.tolist()):
                found = connection.execute(nearest, [text.decode()], prepare=True).fetchall()
                if found:
                    distances[row, : len(found)], ids[row, : len(found)] = zip(*found, strict=True)
        return distances, ids

    def _build(self, partial: bool) -> None:
        """The approximate index on every server, where it is not there yet."""
        if self._built:
            return
        if self.config.kind == "hnsw":
            links = self.config.links
            method = f"hnsw (code bit_hamming_ops) WITH (m = {links}, ef_construction = {max(64, 2 * links)})"
        else:
            # Cells are cut from what is there now; later codes go into the nearest ones.
            count = _number(sql.SQL("SELECT count(*) FROM {}").format(self._table))
            cells = self.config.cells or max(1, round(np.mean(self._everywhere(count, partial)) ** 0.5))
            method = f"ivfflat (code bit_hamming_ops) WITH (lists = {min(cells, MOST_CELLS)})"
        name = sql.Identifier(f"{self.name}_{self.config.kind}")
        create = sql.SQL("CREATE INDEX {} ON {} USING ").format(name, self._table) + sql.SQL(method)

        def there(connection: psycopg.Connection) -> bool:
            names = [each.as_string(connection) for each in (name, self._table)]
            is_index_of = (
                "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND indrelid = to_regclass(%s)"
            )
            return connection.execute(f"SELECT EXISTS ({is_index_of})", names).fetchone()[0]

        def build(connection: psycopg.Connection) -> None:
            if there(connection):  # and so who may only read can search
                return
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name.as_string(connection)])
                if there(connection):  # made by somebody else meanwhile
                    return
                # A graph that outgrows the default, 64 MB, takes many times as long; a worker beside this one would need
                # as much of shared memory, of which containers have little.
                connection.execute(f"SET LOCAL maintenance_work_mem = '{MEMORY_TO_BUILD}'")
                connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
                connection.execute("SET LOCAL statement_timeout = 0")
                try:
                    connection.execute(create)
                except psycopg.errors.DuplicateTable as error:
                    raise ValueError(
                        f"{self.name}_{self.config.kind} is something else than the index of {self.name!r}: rename it"
                    ) from error

        self._built = len(self._everywhere(build, partial)) == len(self.servers)

    def _effort(self, k: int) -> dict[str, str | int]:
        if self.config.kind == "hnsw":
            return {
                "hnsw.ef_search": min(MOST_KEPT, max(self.config.effort or 128, k)),
                "hnsw.iterative_scan": "relaxed_order",
            }
        if self.config.kind == "ivf":
            return {
                "ivfflat.probes": min(MOST_CELLS, self.config.effort or 32),
                "ivfflat.iterative_scan": "relaxed_order",
            }
        return {}

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """A transaction on every server. They commit one after the other at the end; an error before rolls all back."""
        self._everywhere(lambda connection: connection.execute("SELECT"))  # lost connections are made again
        with ExitStack() as stack:
            for connection in self._connections:
                stack.enter_context(connection.transaction())
            yield


def _check_servers(servers: Sequence[str]) -> None:
    if isinstance(servers, str):
        raise ValueError("servers are a list of connection strings, got one string")
    if not servers:
        raise ValueError("codes need at least one server")
    if len(set(servers)) != len(servers):
        raise ValueError("one of the servers is named twice: its part would be another's too")


def _check_name(name: str) -> None:
    # The driver takes a percent sign for the place of a value, also within quotes.
    if not 0 < len(name.encode()) <= LONGEST_NAME or "%" in name or "\0" in name:
        raise ValueError(f"a table's name has 1 to {LONGEST_NAME} bytes, without % and NUL, got {name!r}")


def _there(connection: psycopg.Connection, table: sql.Identifier) -> bool:
    query = "SELECT to_regclass(%s) IS NOT NULL"
    return connection.execute(query, [table.as_string(connection)]).fetchone()[0]


def _number(query: sql.Composed) -> Callable[[psycopg.Connection], int]:
    """What asks a server for the one number of ``query``."""
    return lambda connection: connection.execute(query).fetchone()[0]


def _about(connection: psycopg.Connection, name: str) -> dict:
    """What :meth:`PostgresIndex.create` has noted at the table."""
    quoted = sql.Identifier(name).as_string(connection)
    (text,) = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [quoted]).fetchone()
    try:
        about = json.loads(text or "")
        if about["ctrh"] != VERSION:
            raise ValueError(f"version {about['ctrh']}, where this program reads {VERSION}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{name!r} on {connection.info.host} is no table of codes ({error}): create it first"
        ) from error
    return about


def _bit_strings(codes: np.ndarray) -> np.ndarray:
    """(N, B) uint8 -> (N,) bytes of the digits 0 and 1, as PostgreSQL reads them."""
    digits = np.unpackbits(np.ascontiguousarray(codes), axis=1) + np.uint8(ord("0"))
    return digits.view(f"S{8 * codes.shape[1]}").ravel()


def _binary_rows(codes: np.ndarray, ids: np.ndarray) -> bytes:
    """Rows (id, code) as ``COPY ... (FORMAT binary)`` takes them: the number of fields, then each behind its length."""
    width = codes.shape[1]
    layout = [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("code_bytes", ">i4"), ("bits", ">i4")]
    rows = np.empty(len(codes), [*layout, ("code", "u1", (width,))])
    rows["fields"], rows["id_bytes"], rows["id"] = 2, 8, ids
    rows["code_bytes"], rows["bits"], rows["code"] = 4 + width, 8 * width, codes
    return rows.tobytes()
