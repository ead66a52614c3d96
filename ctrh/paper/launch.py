"""What stands behind ``run_all.sh``: find or make the environment, then run the notebooks or the tests in it.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("smoke", "demo", "full", "paper", "openclipart")
# Written last, so that an interrupted set-up is known for what it is.
MARKER = "ctrh-ready"

EPILOG = """\
  ./run_all.sh test [PYTEST ARGUMENTS]   ruff, the tests, and every notebook under the smoke profile

profiles:
  smoke   tiny subsets of the embedded data, for the tests: under 2 minutes
  demo    the embedded data, all tables and figures: minutes on a laptop without a GPU or network
  full    all of the embedded data, longer trainings, five seeds: hours
  paper   MIRFLICKR-25K and NUS-WIDE with the article's own settings: needs --data and a GPU
  openclipart   the methods of Table 1 on drawings with their users' tags: needs --data (python -m ctrh data openclipart)
  FILE    NAME.py with what is other than in one of these (they are in profiles/), for example
          from dataclasses import replace
          from profiles.paper import PROFILE as PAPER
          PROFILE = replace(PAPER, seeds=(0,), bits=(48,))
          Results go to figures/NAME/.

Without an active environment that has the dependencies it makes .venv here (once). Interrupt it whenever you like:
started again, it goes on where it was. Results: figures/PROFILE/, all on one page in its
index.html. Cached work: $CTRH_CACHE, else .cache/ctrh here.
"""


def parser() -> argparse.ArgumentParser:
    """The options of ``run_all.sh`` and of ``python -m ctrh.paper``."""
    options = argparse.ArgumentParser(
        prog="run_all.sh",
        description="Make the tables and figures of the article by running the notebooks in order, and the report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = options.add_argument
    add("report", nargs="?", choices=["report"], help="only the report, out of what is there")
    profiles = "{" + ",".join(PROFILES) + ",FILE.py}"
    add("--profile", type=profile_file, default="demo", metavar=profiles, help="what to run (default: demo)")
    add("--data", type=_folder, metavar="DIR", help="where MIRFLICKR-25K and NUS-WIDE are (paper profile)")
    weights = "where weights and word vectors are, before any hub is asked (paper profile)"
    add("--weights", type=_folder, metavar="DIR", help=weights)
    add("--only", nargs="+", metavar="NN", help="only the notebooks with these numbers, for example: 01 02")
    jobs = "trainings at the same time (default: one for each core); with 2 or more, two notebooks at a time"
    add("--jobs", type=_positive, metavar="N", help=jobs)
    cluster = "trainings on the workers of this Dask scheduler, such as tcp://host:8786 (docs/cluster.md)"
    add("--cluster", metavar="ADDRESS", help=cluster)
    add("--check", action="store_true", help="only look whether data and weights are all there, and stop")
    add("--force", action="store_true", help="run notebooks even if nothing has changed")
    add("--save-outputs", action="store_true", help="also store the outputs in notebooks/ itself, for a commit")
    return options


def profile_file(text: str) -> Path:
    """The Python file of a profile, of ours by name or of the user's own by path; the profile is called as the file.

    Raises ``ArgumentTypeError`` for a file that is not there, has no name for a profile or is not Python.
    """
    if text in PROFILES:
        return ROOT / "profiles" / f"{text}.py"
    path = Path(text).resolve()
    if path.suffix != ".py":
        raise argparse.ArgumentTypeError(f"choose {', '.join(PROFILES)} or a file NAME.py, got {text!r}")
    if path.parent != ROOT / "profiles" and (path.stem in PROFILES or not re.fullmatch(r"[\w-]+", path.stem)):
        raise argparse.ArgumentTypeError(
            f"the file's name is the profile's, and must be of letters, digits, - and _, and none of {', '.join(PROFILES)}"
        )
    try:
        compile(path.read_bytes(), path, "exec")
    except (OSError, SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise argparse.ArgumentTypeError(f"{path}{line}: {getattr(error, 'msg', error)}") from error
    return path


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return Path(text).resolve()


def chosen(options: argparse.Namespace) -> dict[str, str]:
    """The environment variables that tell the library of profile, data and weights."""
    profile = options.profile
    variables = {"CTRH_PROFILE": profile.stem if profile.stem in PROFILES else str(profile)}
    if options.data:
        variables["CTRH_DATA"] = str(options.data)
    if options.weights:
        variables["CTRH_WEIGHTS"] = str(options.weights)
    return variables


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def requirements(pyproject: Path) -> list[str]:
    """Every requirement of ``pyproject``, those of the test extra included."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + project["optional-dependencies"]["test"]


def missing(wanted: Sequence[str]) -> list[str]:
    """Those requirements (``name>=version``) that the running Python's environment does not meet."""
    unmet = []
    for requirement in wanted:
        name, _, least = requirement.partition(">=")
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            unmet.append(requirement)
            continue
        if _release(installed) < _release(least):
            unmet.append(f"{requirement} (found {installed})")
    return unmet


def _release(version: str) -> tuple[int, ...]:
    """ "2.4.1+cpu" -> (2, 4, 1). The bounds are plain releases, so nothing finer is needed before pip is there."""
    return tuple(int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number)


def in_environment() -> bool:
    """Whether an environment is active (venv or conda), so that using its packages is what the user meant."""
    return sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX") == sys.prefix


def environment_python(root: Path) -> Path:
    """The Python to use: the active environment's when it has everything, else that of ``root/.venv``.

    Makes ``.venv`` where there is none, finishes an interrupted set-up, and installs again after
    ``pyproject.toml`` has changed. Raises ``SystemExit`` with the remedy when that fails.
    """
    pyproject = root / "pyproject.toml"
    unmet = missing(requirements(pyproject))
    if in_environment() and not unmet:
        return Path(sys.executable)
    if in_environment():
        say(f"The active environment ({sys.prefix}) lacks {', '.join(unmet)}.")
        say("Using .venv here instead; to use yours: python -m pip install -e '.[test]'")

    folder = root / ".venv"
    python = folder / "bin" / "python"
    marker = folder / MARKER
    state = hashlib.sha256(pyproject.read_bytes()).hexdigest()
    if marker.exists() and marker.read_text() == state and _works(python):
        return python
    if not _works(python):
        say(f"Making an environment in {folder} (once; a few minutes and some gigabytes, mostly PyTorch) ...")
        remedy = "Install venv (on Debian and Ubuntu: apt install python3-venv), or activate an environment."
        _step([sys.executable, "-m", "venv", "--clear", str(folder)], remedy)
    elif marker.exists():
        say("pyproject.toml has changed: bringing .venv up to date ...")
    else:
        say("Finishing the set-up of .venv ...")
    marker.unlink(missing_ok=True)
    began = time.monotonic()
    remedy = "Nothing is lost: the next start goes on from here (is there a connection, is the disk full?)."
    _step([str(python), "-m", "pip", "install", "--disable-pip-version-check", "-e", f"{root}[test]"], remedy)
    marker.write_text(state)
    say(f"The environment is ready ({time.monotonic() - began:.0f} s).")
    return python


def _works(python: Path) -> bool:
    # A half-made or moved environment has the file but does not run pip.
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _step(command: list[str], remedy: str) -> None:
    # The launcher's own PYTHONPATH would make pip believe that ctrh is installed already.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = subprocess.run(command, env=environ).returncode
    if code:
        raise SystemExit(f"run_all.sh: failed with code {code}: {shlex.join(command)}\n{remedy}")


def say(text: str) -> None:
    print(text, flush=True)


def settings(root: Path, environ: dict[str, str]) -> dict[str, str]:
    """``environ`` with the defaults of a run from the repository ``root``; what is set already stays."""
    defaults = {
        "CTRH_CACHE": str(root / ".cache" / "ctrh"),
        "CTRH_FIGURES": str(root / "figures"),
        "OMP_NUM_THREADS": str(cores()),
        # glibc would give every tensor over 128 kB back to the kernel and fault its pages in anew, at each step
        # of each training: a fifth to a third of the time of small networks.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**32),
        "MALLOC_TOP_PAD_": str(2**27),
        # Kernels start with this environment's Python even where the user has registered another one.
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return {**defaults, **environ}


def cores() -> int:
    """The cores that this process may use (a container or ``taskset`` may allow fewer than there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: Sequence[str]) -> None:
    """Replaces this process by the notebooks' runner or by pytest, so that signals reach it directly."""
    testing = list(arguments[:1]) == ["test"]
    if not testing:
        parser().parse_args(arguments)  # a slip of the pen is told before minutes of set-up, not after
    python = str(environment_python(ROOT))
    environ = settings(ROOT, dict(os.environ))
    if not testing:
        os.execve(python, [python, "-P", "-m", "ctrh.paper", *arguments], environ)
    os.chdir(ROOT)
    say("ruff check")
    code = subprocess.run([python, "-m", "ruff", "check", "."], env=environ).returncode
    if code:
        raise SystemExit(code)
    say("pytest")
    notebooks = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900"]
    # A file at a time to each core, with one thread each: the cells of a notebook stay together, and in order.
    shared = ["-n", str(cores()), "--dist", "loadfile", "--no-loadscope-reorder"]
    command = [python, "-m", "pytest", *notebooks, *shared, *arguments[1:]]
    environ["OMP_NUM_THREADS"] = "1"
    # No display is needed, and none should be looked for.
    os.execve(python, command, {"MPLBACKEND": "Agg", **environ, "CTRH_PROFILE": "smoke"})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit("run_all.sh: interrupted; start it again and it goes on from here") from None
