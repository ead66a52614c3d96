"""The runner on tiny made-up notebooks: failures are named, unchanged ones skipped, nothing half-written is left."""

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ctrh.paper.notebook import NotebookError, execute, store_outputs
from ctrh.paper.records import notebook_key
from ctrh.paper.run import find_notebooks, planned_runs, run_notebooks, run_report
from ctrh.store import UNFINISHED

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))


def write_notebook(path, *sources):
    default = 'import os\n\nprofile = os.environ.get("CTRH_PROFILE", "demo")'
    parameters = new_code_cell(default, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A title"), parameters, *map(new_code_cell, sources)]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def streams(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


WRITES = """
import os, pathlib
folder = pathlib.Path(os.environ["CTRH_FIGURES"]) / profile
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "rows.csv", "a") as rows:
    rows.write("ran\\n")
"""


@pytest.fixture(autouse=True)
def interruptible():
    """Tests started in the background ignore Ctrl-C, and so would the programs that they start and interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_profile_is_injected_and_the_copy_carries_no_times_or_paths(tmp_path):
    source = write_notebook(tmp_path / "nb" / "01_a.ipynb", WRITES + "print('profile:', profile, os.getcwd())")
    folder = tmp_path / "figures" / "smoke"
    assert execute(source, folder, {"profile": "smoke"}) == ["notebooks/01_a.ipynb", "rows.csv"]
    target = folder / "notebooks" / "01_a.ipynb"
    assert streams(target) == f"profile: smoke {source.parent}\n"
    assert target.read_text().count(str(tmp_path)) == 1
    first = target.read_bytes()
    execute(source, folder, {"profile": "smoke"})
    assert target.read_bytes() == first
    assert not list((tmp_path / "cache" / "notebooks").glob(f"{UNFINISHED}*"))


ENDS = {
    "raise RuntimeError('the sky fell')": "RuntimeError: the sky fell",
    "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)": "the kernel died",
    "import time\ntime.sleep(600)": "CellTimeout",
}


@pytest.mark.parametrize("cell", ENDS)
def test_failing_cell_is_named_and_leaves_no_result(tmp_path, cell):
    source = write_notebook(tmp_path / "01_a.ipynb", WRITES, cell, "print('later')")
    with pytest.raises(NotebookError) as failure:
        execute(source, tmp_path / "figures" / "smoke", {"profile": "smoke"}, seconds=3)
    kept = tmp_path / "cache" / "notebooks" / "failed" / "01_a.ipynb"
    for part in ("01_a.ipynb, cell 5 of 6", ENDS[cell], cell.splitlines()[-1], str(kept)):
        assert part in str(failure.value)
    assert not (tmp_path / "figures").exists() and kept.exists()


def test_unknown_parameter_raises_before_anything_runs(tmp_path):
    source = write_notebook(tmp_path / "01_a.ipynb", WRITES)
    with pytest.raises(ValueError, match=r"unknown parameters \['profil'\]"):
        execute(source, tmp_path / "figures" / "smoke", {"profil": "smoke"})
    assert not (tmp_path / "figures").exists()


def test_unchanged_is_skipped_and_every_kind_of_change_runs_it_again(tmp_path, capsys):
    source = write_notebook(tmp_path / "nb" / "01_a.ipynb", WRITES)
    folder = tmp_path / "figures" / "smoke"

    def ran(inputs=("library",), force=False):
        prepared = []
        run_notebooks([source], "smoke", {"profile": "smoke"}, inputs, force, prepare=prepared.extend)
        assert (folder / "rows.csv").read_text() == "ran\n"
        told = capsys.readouterr().out
        assert ("01_a  unchanged, 2 files up to date" in told) != ("01_a  done in" in told)
        return prepared == [1]

    assert ran() and not ran()
    assert ran(inputs=("library changed",))
    write_notebook(source, WRITES + "# changed")
    assert ran(inputs=("library changed",)) and not ran(inputs=("library changed",))
    (folder / "rows.csv").write_text("edited by hand\n")
    assert ran(inputs=("library changed",))
    (folder / "notebooks" / "01_a.ipynb").unlink()
    assert ran(inputs=("library changed",))
    assert ran(inputs=("library changed",), force=True)


def test_two_notebooks_run_at_a_time_and_each_has_written_its_own(tmp_path, capsys):
    meets = f"""
import pathlib, time
mine, other = pathlib.Path({str(tmp_path)!r}, name), pathlib.Path({str(tmp_path)!r}, neighbour)
mine.touch()
while not other.exists():
    time.sleep(0.1)
"""
    for name, neighbour in (("01_a", "02_b"), ("02_b", "01_a")):
        about = f"name, neighbour = {name!r}, {neighbour!r}"
        own = WRITES.replace("rows.csv", f"{name}.csv") + "print(os.environ['CTRH_JOBS'])"
        write_notebook(tmp_path / "nb" / f"{name}.ipynb", about, meets, own)
    both = find_notebooks(tmp_path / "nb")
    run_notebooks(both, "smoke", {"profile": "smoke"}, jobs=7)
    assert capsys.readouterr().out.count("2 files written") == 2
    assert streams(tmp_path / "figures" / "smoke" / "notebooks" / "01_a.ipynb") == "3\n"
    (tmp_path / "figures" / "smoke" / "01_a.csv").unlink()
    (tmp_path / "02_b").touch()
    prepared = []
    run_notebooks(both, "smoke", {"profile": "smoke"}, jobs=7, prepare=prepared.extend)
    assert prepared == [1]


def test_report_is_built_again_only_when_what_it_shows_has_changed(tmp_path, capsys):
    folder = tmp_path / "figures" / "smoke"
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("a,b\n1,2\n")

    def told(*arguments):
        run_report("smoke", *arguments)
        return capsys.readouterr().out

    assert "1 pages written" in told()
    assert "unchanged" in told()
    (folder / "rows.csv").write_text("a,b\n1,3\n")
    assert "done" in told()
    assert "done" in told(("another library",))
    (folder / "index.html").unlink()
    assert "done" in told(("another library",))
    assert "unchanged" in told(("another library",))
    assert "done" in told(("another library",), True)


def test_first_failure_stops_and_the_next_start_goes_on_from_there(tmp_path, capsys):
    folder = tmp_path / "nb"
    write_notebook(folder / "01_a.ipynb", WRITES)
    write_notebook(folder / "02_b.ipynb", "1 / 0")
    write_notebook(folder / "10_c.ipynb", WRITES)
    results = tmp_path / "figures" / "smoke" / "notebooks"
    with pytest.raises(NotebookError, match="02_b.*"):
        run_notebooks(find_notebooks(folder), "smoke", {"profile": "smoke"})
    assert [path.name for path in results.iterdir()] == ["01_a.ipynb"]
    write_notebook(folder / "02_b.ipynb", "1 / 1")
    run_notebooks(find_notebooks(folder, ["1", "02"]), "smoke", {"profile": "smoke"})
    assert sorted(path.name for path in results.iterdir()) == ["01_a.ipynb", "02_b.ipynb"]
    assert "01_a  unchanged" in capsys.readouterr().out


def test_notebooks_come_in_numeric_order_and_unknown_numbers_raise(tmp_path):
    for name in ("10_c", "02_b", "01_a", "draft", "1x_d"):
        write_notebook(tmp_path / f"{name}.ipynb")
    assert [path.stem for path in find_notebooks(tmp_path)] == ["01_a", "02_b", "10_c"]
    assert [path.stem for path in find_notebooks(tmp_path, ["10", "1"])] == ["01_a", "10_c"]
    with pytest.raises(ValueError, match="number 7, x; there are 01, 02, 10"):
        find_notebooks(tmp_path, ["7", "x", "02"])
    with pytest.raises(ValueError, match="no notebooks"):
        find_notebooks(tmp_path / "empty")


def test_key_ignores_outputs_and_sees_text(tmp_path):
    source = write_notebook(tmp_path / "01_a.ipynb", "print(2)")
    before = notebook_key(source, "smoke")
    execute(source, tmp_path / "smoke", {"profile": "smoke"})
    store_outputs(tmp_path / "smoke" / "notebooks" / source.name, source)
    assert streams(source) == "2\n"
    assert len(nbformat.read(source, as_version=4).cells) == 3
    assert notebook_key(source, "smoke") == before
    assert notebook_key(source, "demo") != before
    write_notebook(source, "print(3)")
    assert notebook_key(source, "smoke") != before


ENDLESS = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"


@pytest.fixture
def clone(tmp_path):
    """A copy of what ``run_all.sh`` needs, with two notebooks of its own, in a folder with spaces in its name."""
    root = tmp_path / "a clone"
    for name in ("run_all.sh", "pyproject.toml"):
        root.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "ctrh", root / "ctrh", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copytree(ROOT / "profiles", root / "profiles")
    write_notebook(root / "notebooks" / "01_a.ipynb", WRITES + "print(profile, os.environ['CTRH_JOBS'])")
    write_notebook(root / "notebooks" / "99_b.ipynb", ENDLESS)
    return root


def start(clone, *arguments, **options):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CTRH_")}
    command = [clone / "run_all.sh", "--profile", "smoke", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env={**environ, "PYTHON": sys.executable}, **streams, **options)


def test_whole_command_runs_skips_fails_and_is_interrupted(clone, tmp_path):
    first = start(clone, "--only", "1", "--jobs", "3", cwd=tmp_path)
    told, _ = first.communicate(timeout=300)
    assert first.returncode == 0, told
    results = clone / "figures" / "smoke"
    assert f"Tables and figures: {results}" in told and "Report  done" in told
    assert (
        "rows.csv" in (results / "index.html").read_text()
        and "01_a.html" in (results / "index.html").read_text()
    )
    assert streams(results / "notebooks" / "01_a.ipynb") == "smoke 3\n"
    assert (clone / ".cache" / "ctrh").is_dir() and not (clone / ".venv").exists()

    refused = start(clone, "--only", "9")
    told, _ = refused.communicate(timeout=120)
    assert refused.returncode == 1 and "no notebook has the number 9" in told and "Traceback" not in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_kernel_and_leaves_nothing_half_written(clone, number):
    runner = start(clone)
    pid = clone / "notebooks" / "pid"
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text()) and runner.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    kernel = int(pid.read_text())
    runner.send_signal(number)
    told, _ = runner.communicate(timeout=60)
    assert runner.returncode == 128 + number
    assert told.endswith("Interrupted. Finished work is kept; start it again and it goes on from here.\n")
    assert "Traceback" not in told and not psutil.pid_exists(kernel)
    assert not (clone / "figures" / "smoke" / "notebooks" / "99_b.ipynb").exists()


def test_every_list_of_runs_in_a_notebook_is_planned():
    planned = inspect.getsource(planned_runs)
    for path in find_notebooks(ROOT / "notebooks"):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        for name in set(re.findall(r"\.(\w+_runs)\(", code)):
            assert f".{name}" in planned, (path.name, name)
