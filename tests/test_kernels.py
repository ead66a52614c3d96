"""Forked kernels: as fresh as others, heard when they fail, gone when their runner is."""

import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ctrh.paper import kernels
from ctrh.paper.execution import NotebookError, execute
from ctrh.paper.kernels import Nursery

pytestmark = pytest.mark.skipif(not kernels.POSSIBLE, reason="kernels are forked on Linux only")


@pytest.fixture
def nursery(monkeypatch):
    """One with little to import; what a kernel finds imported is looked at with ``statistics``."""
    started = subprocess.Popen
    # A kernel shows no figures where this says where else they go.
    monkeypatch.delenv("MPLBACKEND", raising=False)

    def with_less(command, **options):
        if command[-1] == kernels.__name__:
            few = "('matplotlib.pyplot', 'statistics')"
            code = f"from {kernels.__name__} import _serve; import {kernels.__name__} as k; k.LIBRARIES = {few}; _serve()"
            command = [sys.executable, "-P", "-c", code]
        return started(command, **options)

    monkeypatch.setattr(subprocess, "Popen", with_less)
    with Nursery() as each:
        each.start()
        yield each


def run(folder, *sources, spared=(), **options):
    source, target = folder / "nb" / "01_a.ipynb", folder / "out" / "01_a.ipynb"
    parameters = new_code_cell("profile = ''", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new_notebook(cells=[parameters, *map(new_code_cell, sources)], metadata={"kernelspec": kernel})
    source.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, source)
    execute(source, target, {"profile": "smoke"}, spared=spared, **options)
    return [cell.outputs for cell in nbformat.read(target, as_version=4).cells[-len(sources) :]]


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


ABOUT = "import os, sys; print(os.getppid(), os.getcwd(), os.environ['MARK'], 'statistics' in sys.modules, __name__)"
PICTURE = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"


def test_a_forked_kernel_is_like_any_other(tmp_path, monkeypatch, nursery):
    monkeypatch.setenv("MARK", "one")
    told, _, drawn = run(tmp_path, ABOUT, "left = sys.left = 1", PICTURE, spared=nursery.pids)
    parent, cwd, mark, imported, name = told[0].text.split()
    assert (cwd, mark, imported, name) == (str(tmp_path / "nb"), "one", "True", "__main__")
    assert int(parent) == nursery.pids[0]
    # The next one sees this process's environment as it is now, and nothing of the one before.
    monkeypatch.setenv("MARK", "two")
    again, state = run(
        tmp_path, ABOUT, "print(hasattr(sys, 'left'), 'left' in globals())", spared=nursery.pids
    )
    assert again[0].text.split()[2] == "two" and state[0].text.split() == ["False", "False"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Nursery, "current", None)
        (started,) = run(tmp_path, PICTURE)
    assert drawn[0].data["image/png"] == started[0].data["image/png"]


def test_a_killed_kernel_is_noticed_and_the_next_one_starts(tmp_path, nursery):
    with pytest.raises(NotebookError, match="the kernel died"):
        run(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", spared=nursery.pids)
    (told,) = run(tmp_path, "print(1)", spared=nursery.pids)
    assert told[0].text == "1\n"


def test_a_cell_without_end_is_stopped_and_its_children_with_it(tmp_path, nursery):
    endless = (
        "import pathlib, subprocess, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(subprocess.Popen(['sleep', '1000']).pid))\n"
        "time.sleep(600)"
    )
    with pytest.raises(NotebookError, match="CellTimeout"):
        run(tmp_path, endless, seconds=4, spared=nursery.pids)
    assert not alive(int((tmp_path / "pid").read_text()))
    assert nursery.process.poll() is None
    assert not psutil.Process(nursery.pids[0]).children(recursive=True)


def test_without_the_process_kernels_start_as_ever(tmp_path, nursery):
    nursery.process.kill()
    nursery.process.wait()
    (told,) = run(tmp_path, "import sys; print('statistics' in sys.modules, 'matplotlib' in sys.modules)")
    assert told[0].text.split()[1] == "False"


def test_all_ends_with_the_runner_however_it_ends(tmp_path):
    code = (
        "import os, sys, time\n"
        "from ctrh.paper import kernels\n"
        "with kernels.Nursery() as nursery:\n"
        "    kernel = nursery.fork(['-f', sys.argv[1]], os.environ, '.')\n"
        "    print(nursery.pids[0], kernel.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "connection.json")], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in runner.stdout.readline().split()]
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    began = time.monotonic()
    while any(alive(pid) for pid in pids) and time.monotonic() - began < 60:
        time.sleep(0.2)
    assert not any(alive(pid) for pid in pids)
