"""The runner on tiny made-up notebooks: failures are named, unchanged ones skipped, nothing half-written is left."""

import os
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

from ctrh.paper.execution import NotebookError, execute, store_outputs
from ctrh.paper.notebooks import find_notebooks, notebook_key, run_notebooks, run_report

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
    source = write_notebook(tmp_path / "nb" / "01_a.ipynb", "print('profile:', profile)")
    target = tmp_path / "out" / "01_a.ipynb"
    execute(source, target, {"profile": "smoke"})
    assert streams(target) == "profile: smoke\n"
    assert str(tmp_path) not in target.read_text()
    first = target.read_bytes()
    execute(source, target, {"profile": "smoke"})
    assert target.read_bytes() == first
    assert [path.name for path in target.parent.iterdir()] == ["01_a.ipynb"]


def test_failing_cell_is_named_and_leaves_no_result(tmp_path):
    source = write_notebook(
        tmp_path / "01_a.ipynb", "x = 1", "raise RuntimeError('the sky fell')", "print('later')"
    )
    with pytest.raises(NotebookError) as failure:
        execute(source, tmp_path / "out" / "01_a.ipynb", {"profile": "smoke"})
    for part in ("01_a.ipynb, cell", "RuntimeError: the sky fell", "raise RuntimeError", "failed"):
        assert part in str(failure.value)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "cache" / "notebooks" / "failed" / "01_a.ipynb").exists()


def test_unknown_parameter_raises_before_anything_runs(tmp_path):
    source = write_notebook(tmp_path / "01_a.ipynb", WRITES)
    with pytest.raises(ValueError, match=r"unknown parameters \['profil'\]"):
        execute(source, tmp_path / "out.ipynb", {"profil": "smoke"})
    assert not (tmp_path / "out.ipynb").exists() and not (tmp_path / "figures").exists()


def test_killed_kernel_is_noticed(tmp_path):
    source = write_notebook(
        tmp_path / "01_a.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(NotebookError, match="the kernel died"):
        execute(source, tmp_path / "out.ipynb", {"profile": "smoke"})


def test_cell_without_end_is_stopped(tmp_path):
    source = write_notebook(tmp_path / "01_a.ipynb", "import time\ntime.sleep(600)")
    with pytest.raises(NotebookError, match=r"cell 4 of 4(.|\n)*sleep(.|\n)*CellTimeout"):
        execute(source, tmp_path / "out.ipynb", {"profile": "smoke"}, seconds=1)


def test_unchanged_is_skipped_and_every_kind_of_change_runs_it_again(tmp_path, capsys):
    source = write_notebook(tmp_path / "nb" / "01_a.ipynb", WRITES)
    rows = tmp_path / "figures" / "smoke" / "rows.csv"

    def run(inputs=("library",), force=False):
        run_notebooks([source], "smoke", {"profile": "smoke"}, inputs, force)
        return rows.read_text().count("ran")

    assert run() == 1
    capsys.readouterr()
    assert run() == 1
    assert "unchanged, 2 files up to date" in capsys.readouterr().out
    assert run(inputs=("library changed",)) == 2
    write_notebook(source, WRITES + "# changed")
    assert run(inputs=("library changed",)) == 3
    rows.write_text("edited by hand\n")
    assert run(inputs=("library changed",)) == 1
    (tmp_path / "figures" / "smoke" / "notebooks" / "01_a.ipynb").unlink()
    assert run(inputs=("library changed",)) == 2
    assert run(inputs=("library changed",), force=True) == 3


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
    rows = tmp_path / "figures" / "smoke" / "rows.csv"
    with pytest.raises(NotebookError, match="02_b.*"):
        run_notebooks(find_notebooks(folder), "smoke", {"profile": "smoke"})
    assert rows.read_text() == "ran\n"
    write_notebook(folder / "02_b.ipynb", "1 / 1")
    (tmp_path / "cache" / "unrelated").touch()
    run_notebooks(find_notebooks(folder, ["1", "02"]), "smoke", {"profile": "smoke"})
    assert rows.read_text() == "ran\n"
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
    execute(source, tmp_path / "done.ipynb", {"profile": "smoke"})
    store_outputs(tmp_path / "done.ipynb", source)
    assert streams(source) == "2\n"
    assert len(nbformat.read(source, as_version=4).cells) == 3
    assert notebook_key(source, "smoke") == before
    assert notebook_key(source, "demo") != before
    write_notebook(source, "print(3)")
    assert notebook_key(source, "smoke") != before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_kernel_and_leaves_nothing_half_written(tmp_path, number):
    slow = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    write_notebook(tmp_path / "01_a.ipynb", slow)
    script = (
        "import sys; from pathlib import Path; from ctrh.paper import notebooks as n; import signal\n"
        "signal.signal(signal.SIGTERM, n._stop)\n"
        f"n.run_notebooks([Path({str(tmp_path / '01_a.ipynb')!r})], 'smoke', {{'profile': 'smoke'}})"
    )
    runner = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and runner.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    kernel = int(pid.read_text())
    os.kill(runner.pid, number)
    _, errors = runner.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert not psutil.pid_exists(kernel)
    assert not list((tmp_path / "figures").rglob("*.ipynb"))
    assert not list((tmp_path / "cache").rglob("*.json"))


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
    write_notebook(root / "notebooks" / "02_b.ipynb", "import time\ntime.sleep(600)")
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

    both = start(clone, "--jobs", "3", cwd=tmp_path)
    lines = iter(both.stdout.readline, "")
    assert any("01_a  unchanged" in line for line in lines)
    assert any("cell 3/3" in line or "02_b  0:0" in line for line in lines)
    time.sleep(3)
    both.send_signal(signal.SIGINT)
    told, _ = both.communicate(timeout=60)
    assert both.returncode == 130 and "Interrupted. Finished work is kept" in told
    assert {path.name for path in (results / "notebooks").iterdir()} == {"01_a.ipynb", "01_a.html"}

    refused = start(clone, "--only", "9")
    told, _ = refused.communicate(timeout=120)
    assert refused.returncode == 1 and "no notebook has the number 9" in told and "Traceback" not in told
