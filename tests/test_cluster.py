"""Runs on a Dask cluster: two worker processes of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from ctrh.paper.cluster import _there, on_cluster
from ctrh.store import cache_dir, stored_path


@dataclass(frozen=True)
class Named:
    """What a cluster needs to know of a run."""

    key: str


def note(key: str, run: Named) -> None:
    """Light, so that workers need not import PyTorch."""
    if run.key == "bad":
        raise ArithmeticError("in the run: bad")
    folder = cache_dir() / "noted"
    folder.mkdir(exist_ok=True)
    folder.joinpath(key).write_text(f"{os.getpid()} {os.environ['CTRH_DATA']}")


@pytest.fixture(scope="module")
def address() -> str:
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed: pip install 'ctrh[cluster]'"
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path))
    monkeypatch.setenv("CTRH_DATA", "/shared/data")


def test_runs_are_done_by_the_workers_and_left_in_the_cache(address, tmp_path):
    runs = {f"run-{i}": Named(f"run-{i}") for i in range(6)}
    assert len(list(on_cluster(address, note, runs))) == 6
    notes = {path.name: path.read_text().split() for path in (tmp_path / "noted").iterdir()}
    assert notes.keys() == runs.keys()
    assert {data for _, data in notes.values()} == {"/shared/data"}
    assert str(os.getpid()) not in {process for process, _ in notes.values()}
    assert not list((tmp_path / "cluster").iterdir())


def test_an_error_comes_back(address):
    with pytest.raises(ArithmeticError, match="in the run: bad"):
        list(on_cluster(address, note, {"bad": Named("bad")}))


def test_a_worker_with_other_code_or_another_cache_refuses(monkeypatch):
    mark = cache_dir() / "cluster" / "mark"
    mark.parent.mkdir()
    mark.touch()
    with pytest.raises(ValueError, match="other code, libraries or data"):
        _there({}, "mark", note, "expected", Named("found"))
    with pytest.raises(ValueError, match="does not see the cache .*: set CTRH_CACHE"):
        _there({"CTRH_CACHE": str(Path("/elsewhere"))}, "mark", note, "run", Named("run"))


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed: pip install 'ctrh[cluster]'"
    )

    def nobody(*_arguments, **_options):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", nobody)
    with pytest.raises(ValueError, match="no Dask scheduler answers at tcp://nowhere:8786"):
        list(on_cluster("tcp://nowhere:8786", note, {"run": Named("run")}))


def test_grids_go_to_the_cluster_that_is_asked_for(monkeypatch):
    from ctrh.paper import grid

    asked = []

    def somewhere(address, finish, runs):
        asked.append((address, list(runs)))
        yield from (finish(key, run) for key, run in runs.items())

    @dataclass(frozen=True)
    class Run:
        key: str
        task: int = 5

        def compute(self, task: int) -> dict[str, int]:
            return {"answer": task}

    monkeypatch.setattr(grid, "on_cluster", somewhere)
    monkeypatch.setenv("CTRH_CLUSTER", "tcp://scheduler:8786")
    runs = {name: Run(name) for name in ("a", "b")}
    for _ in range(2):
        grid.compute_missing(runs)
    assert asked == [("tcp://scheduler:8786", ["a", "b"])]  # the second time nothing is missing
    assert all(stored_path(grid.FOLDER, key).exists() for key in runs)
