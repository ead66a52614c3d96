"""Finding and making the environment, without installing anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctrh.paper import launch

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = """
[project]
dependencies = ["numpy>=1.0"]
[project.optional-dependencies]
test = ["pytest>=7"]
"""


@pytest.fixture
def clone(tmp_path):
    """A clone with just what starting needs, in a folder with spaces in its name."""
    root = tmp_path / "my own clone"
    (root / "ctrh" / "paper").mkdir(parents=True)
    for name in ("run_all.sh", "ctrh/__init__.py", "ctrh/paper/__init__.py", "ctrh/paper/launch.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "pyproject.toml").write_text(PYPROJECT)
    return root


@pytest.fixture
def steps(monkeypatch):
    """Records the commands of a set-up instead of running them; .venv counts as usable once it was made."""
    commands = []

    def step(command, remedy):
        commands.append(" ".join(command[1:4]))
        if "venv" in command:
            Path(command[-1]).mkdir()

    monkeypatch.setattr(launch, "_step", step)
    monkeypatch.setattr(launch, "_works", lambda python: python.parents[1].is_dir())
    monkeypatch.setattr(launch, "in_environment", lambda: False)
    return commands


def test_versions_are_compared_as_numbers():
    assert launch._release("2.14.1+cpu") == (2, 14, 1)
    assert launch._release("2.9") < launch._release("2.14")
    assert launch.missing(["numpy>=1.0", "pytest>=7"]) == []
    assert launch.missing(["numpy>=999"])[0].startswith("numpy>=999 (found ")
    assert launch.missing(["no-such-package>=1"]) == ["no-such-package>=1"]


def test_all_own_requirements_are_met_here():
    assert launch.missing(launch.requirements(ROOT / "pyproject.toml")) == []


def test_active_environment_with_everything_is_used(clone, steps, monkeypatch):
    monkeypatch.setattr(launch, "in_environment", lambda: True)
    assert launch.environment_python(clone) == Path(sys.executable)
    assert steps == []


def test_active_environment_that_lacks_something_is_left_alone(clone, steps, monkeypatch, capsys):
    monkeypatch.setattr(launch, "in_environment", lambda: True)
    (clone / "pyproject.toml").write_text(PYPROJECT.replace("numpy>=1.0", "no-such-package>=1"))
    assert launch.environment_python(clone) == clone / ".venv" / "bin" / "python"
    assert "lacks no-such-package>=1" in capsys.readouterr().out
    assert len(steps) == 2


def test_set_up_is_made_once_and_again_after_a_change(clone, steps):
    made = ["-m venv --clear", "-m pip install"]
    launch.environment_python(clone)
    assert steps == made
    launch.environment_python(clone)
    assert steps == made
    (clone / "pyproject.toml").write_text(PYPROJECT + "# changed")
    launch.environment_python(clone)
    assert steps == [*made, "-m pip install"]


def test_interrupted_set_up_is_finished(clone, steps, monkeypatch, capsys):
    step = launch._step

    def interrupted(command, remedy):
        if "pip" in command:
            raise KeyboardInterrupt
        step(command, remedy)

    monkeypatch.setattr(launch, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch.environment_python(clone)
    monkeypatch.setattr(launch, "_step", step)
    launch.environment_python(clone)
    assert "Finishing the set-up" in capsys.readouterr().out
    assert steps == ["-m venv --clear", "-m pip install"]


def test_failed_step_tells_the_remedy():
    with pytest.raises(SystemExit, match="code 3(.|\n)*try again"):
        launch._step([sys.executable, "-c", "raise SystemExit(3)"], "try again")


def test_what_is_set_already_stays():
    environ = launch.settings(Path("/clone"), {"CTRH_CACHE": "/elsewhere", "HOME": "/h"})
    assert environ["CTRH_CACHE"] == "/elsewhere" and environ["HOME"] == "/h"
    assert environ["CTRH_FIGURES"] == str(Path("/clone/figures"))
    assert int(environ["OMP_NUM_THREADS"]) >= 1


def start(script, *arguments, cwd):
    return subprocess.run([script, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)


def test_script_starts_from_anywhere_through_links_and_spaces(clone, tmp_path):
    link = tmp_path / "bin" / "run everything"
    link.parent.mkdir()
    link.symlink_to(Path("..") / clone.name / "run_all.sh")
    for script in (clone / "run_all.sh", link):
        shown = start(script, "--help", cwd=tmp_path)
        assert shown.returncode == 0 and "--profile" in shown.stdout and "run_all.sh test" in shown.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--profle", "demo"],
        ["--profile", "big"],
        ["--jobs", "0"],
        ["tset"],
        ["--data", "nowhere"],
    ],
)
def test_slip_of_the_pen_is_told_before_the_set_up(clone, tmp_path, arguments):
    refused = start(clone / "run_all.sh", *arguments, cwd=tmp_path)
    assert refused.returncode == 2 and "error" in refused.stderr
    assert not (clone / ".venv").exists()


def test_without_python_the_remedy_is_told(clone, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "readlink", "env"):
        (tools / tool).symlink_to(shutil.which(tool))
    refused = subprocess.run(
        [shutil.which("bash"), clone / "run_all.sh"], env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert refused.returncode == 1 and "needs Python 3.11" in refused.stderr


def test_profiles_of_ones_own_and_folders_become_variables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("PROFILE = None")
    (tmp_path / "d").mkdir()
    options = launch.parser().parse_args(["--profile", "mine.py", "--data", "d", "--weights", "d"])
    assert options.profile == tmp_path / "mine.py"
    folder = str(tmp_path / "d")
    assert launch.chosen(options) == {
        "CTRH_PROFILE": str(tmp_path / "mine.py"),
        "CTRH_DATA": folder,
        "CTRH_WEIGHTS": folder,
    }
    assert launch.chosen(launch.parser().parse_args([])) == {"CTRH_PROFILE": "demo"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("big", "", "or a file NAME.py"),
        ("mine.json", "", "or a file NAME.py"),
        ("none.py", None, "No such file"),
        ("demo.py", "", "none of"),
        ("a b.py", "", "letters"),
        ("slip.py", "seeds = (0,)\nbits = (16\n", "slip.py, line 2: '(' was never closed"),
    ],
)
def test_files_that_cannot_be_a_profile(tmp_path, monkeypatch, capsys, name, text, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit):
        launch.parser().parse_args(["--profile", name])
    assert message in capsys.readouterr().err
