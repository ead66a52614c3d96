"""Trainings ahead of the notebooks: nothing is done twice, nobody is disturbed while measuring, nothing is left behind."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from filelock import Timeout

from ctrh.paper import ahead, plans
from ctrh.paper.cross_modal.runs import CrossRun
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import Run
from ctrh.store import cache_dir, cached_arrays, file_lock

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "cache"))


def is_held(name):
    try:
        with file_lock(name).acquire(timeout=0):
            return False
    except Timeout:
        return True


def test_what_two_want_at_once_is_computed_once():
    computed, results = [], []
    started = threading.Event()

    def compute():
        started.set()
        computed.append(1)
        time.sleep(0.3)
        return {"x": np.arange(3)}

    def want():
        results.append(cached_arrays("things", "key", compute)["x"].tolist())

    first = threading.Thread(target=want)
    first.start()
    started.wait(10)
    want()
    first.join()
    assert results == [[0, 1, 2]] * 2 and computed == [1]
    assert sorted(path.name for path in (cache_dir() / "things").iterdir()) == ["key.npz", "key.npz.sha256"]


def test_a_failure_lets_the_next_one_try():
    with pytest.raises(ZeroDivisionError):
        cached_arrays("things", "key", lambda: {"x": np.array(1 / 0)})
    assert cached_arrays("things", "key", lambda: {"x": np.array(1)})["x"] == 1


def test_who_measures_waits_for_one_training_and_holds_off_the_next():
    events, training = [], threading.Event()

    def trainings():
        for number in range(3):
            with ahead.turn():
                events.append(f"begins {number}")
                training.set()
                time.sleep(0.2)
                events.append(f"ends {number}")

    thread = threading.Thread(target=trainings)
    thread.start()
    training.wait(10)
    with ahead.quiet():
        events.append("measuring")
        time.sleep(0.4)
        events.append("measured")
    thread.join()
    place = events.index("measuring")
    assert events[place + 1] == "measured"
    assert events[place - 1].startswith("ends")
    assert events[-1] == "ends 2" and len(events) == 8
    assert not is_held("turn") and not is_held("asked")


def test_one_failing_run_does_not_stop_the_others(monkeypatch, capsys):
    done = []

    def complete(run):
        if run.seed == 0:
            raise RuntimeError("diverged")
        done.append((run.method, run.seed, is_held("turn")))

    monkeypatch.setattr(plans.runs, "complete", complete)
    profile = replace(Profile.named("smoke"), seeds=(0, 1), bits=(16,), methods=("LSH",))
    monkeypatch.setattr(plans, "PLANS", {3: plans.claim_numbers.comparison_runs})
    plans.go_ahead(profile, [1, 3])
    assert done == [("LSH", 1, True)] * 2
    assert capsys.readouterr().err.count("RuntimeError: diverged") == 2


@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_plans_are_lists_of_runs(name):
    profile = Profile.named(name)
    for number in (2, 3, 4, 5, 6, 7, 8):
        runs = plans.PLANS[number](profile)
        assert runs and all(isinstance(run, Run) for run in runs)
    assert {type(run) for run in plans.PLANS[10](profile)} == {CrossRun}


def test_every_list_of_runs_in_a_notebook_is_planned():
    planned = (ROOT / "ctrh" / "paper" / "plans.py").read_text()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        number = int(path.name.partition("_")[0])
        lists = set(re.findall(r"\.(\w+_runs)\(", code))
        assert all(f".{name}" in planned for name in lists), (path.name, lists)
        assert not lists or number in plans.PLANS


def test_the_process_ends_with_the_block(monkeypatch):
    monkeypatch.setenv("CTRH_JOBS", "8")
    with ahead.Ahead("smoke", 4) as helper:
        assert helper.pids == () and os.environ["CTRH_JOBS"] == "8"
        helper.start([])
        (pid,) = helper.pids
        helper.start([2, 3])
        assert helper.pids == (pid,) and os.environ["CTRH_JOBS"] == "3"
        assert psutil.Process(pid).is_running()
    assert not psutil.pid_exists(pid)


def test_the_process_ends_with_a_runner_that_was_killed(tmp_path):
    runner = (
        "import os, signal\nfrom ctrh.paper.ahead import Ahead\n"
        "helper = Ahead('smoke', 2)\nhelper.start([1, 2, 3])\nprint(helper.pids[0], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", runner], capture_output=True, text=True, cwd=tmp_path)
    process = int(killed.stdout)
    # It notices once its libraries are imported.
    for _ in range(1200):
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                break
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the process still runs")
