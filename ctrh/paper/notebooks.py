"""Runs the notebooks in order, then the report: only what changed, one at a time, written whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import psutil

from ctrh.paper.ahead import Ahead
from ctrh.paper.execution import NotebookError, Position, execute, store_outputs
from ctrh.paper.kernels import POSSIBLE, Nursery
from ctrh.paper.launch import chosen, cores, parser, say
from ctrh.paper.outputs import ROOT, results_dir
from ctrh.paper.records import Record, digests, record_path, written
from ctrh.store import CACHE_REMEDY, cache_dir, content_key, prepare_folder, unfinished

# No cell of these profiles comes near; without a bound a deadlock would wait for ever.
# The profiles that have one take nothing from outside.
CELL_SECONDS = {"smoke": 900, "demo": 3600}
# Many short trainings on a processor: where one runs beside the notebooks, they need not wait for it.
AHEAD = ("demo",)


def find_notebooks(folder: Path, only: Sequence[str] | None = None) -> list[Path]:
    """The notebooks ``NN_name.ipynb`` of ``folder`` in numeric order; ``only``: those numbers.

    Raises ``ValueError`` for a number that no notebook has, and when there are none.
    """
    found = (path for path in folder.glob("[0-9]*_*.ipynb") if path.name.partition("_")[0].isdigit())
    ordered = sorted(found, key=lambda path: (_number(path), path.name))
    if not ordered:
        raise ValueError(f"no notebooks (NN_name.ipynb) in {folder}: run from a clone of the repository")
    if only is None:
        return ordered
    numbers = {_number(path): path for path in ordered}
    unknown = [number for number in only if not number.isdigit() or int(number) not in numbers]
    if unknown:
        have = ", ".join(f"{number:02d}" for number in numbers)
        raise ValueError(f"no notebook has the number {', '.join(unknown)}; there are {have}")
    return [numbers[number] for number in sorted({int(number) for number in only})]


def library_key() -> str:
    """Names the package's source and data and the profiles, byte by byte."""
    folders = (ROOT / "ctrh", ROOT / "profiles")
    files = sorted(
        p for folder in folders for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    )
    return content_key(
        [[str(p.relative_to(ROOT)), hashlib.sha256(p.read_bytes()).hexdigest()] for p in files]
    )


def environment_key() -> str:
    """Names the Python and the version of every installed package."""
    packages = {f"{each.metadata['Name']}=={each.version}" for each in importlib.metadata.distributions()}
    return content_key(sys.version, sorted(packages))


def notebook_key(path: Path, *inputs: Any) -> str:
    """Names what a notebook's results depend on: its cells (not their outputs) and ``inputs``."""
    notebook = nbformat.read(path, as_version=4)
    cells = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in notebook.cells]
    return content_key(path.name, cells, *inputs)


def run_notebooks(
    notebooks: Sequence[Path],
    profile: str,
    parameters: Mapping[str, Any],
    inputs: Sequence[Any] = (),
    force: bool = False,
    ahead: Ahead | None = None,
    nursery: Nursery | None = None,
) -> None:
    """Runs ``notebooks`` one after the other; those that are as their last success left them are skipped.

    ``inputs``: what their results depend on besides their own text. ``ahead`` trains for those behind the first, which
    makes what all need; kernels come from ``nursery``. Raises what :func:`execute` raises, at the first failure.
    """
    folder = results_dir(profile)
    width = max(len(path.stem) for path in notebooks)
    for number, path in enumerate(notebooks, 1):
        label = f"[{number}/{len(notebooks)}] {path.stem:{width}}"
        kept = record_path(folder, path.stem)
        key = notebook_key(path, profile, dict(parameters), *inputs)
        record = Record.read(kept)
        if record and not force and record.holds(key, folder):
            say(f"{label}  unchanged, {len(record.outputs)} files up to date")
            continue
        if ahead and number > 1:
            ahead.start([_number(each) for each in notebooks[number - 1 :]])
        before = written(folder)
        line = StatusLine(label)
        target = folder / "notebooks" / path.name
        try:
            if nursery:
                nursery.start()
            spared = [pid for each in (ahead, nursery) if each for pid in each.pids]
            execute(path, target, parameters, CELL_SECONDS.get(profile), line.show, spared)
        finally:
            line.clear()
        changed = [name for name, when in written(folder).items() if before.get(name) != when]
        Record(key, digests(folder, changed)).write(kept)
        say(f"{label}  done in {_clock(line.seconds)}, {len(changed)} files written")


def _number(notebook: Path) -> int:
    return int(notebook.name.partition("_")[0])


def run_report(profile: str, inputs: Sequence[Any] = (), force: bool = False) -> None:
    """Builds the report, unless it is as the last build left it and so is what it shows.

    ``inputs`` as in :func:`run_notebooks`. Raises ``ValueError`` for a result that cannot be read.
    """
    folder = results_dir(profile)
    # Pages are what is built, not what it is built from.
    sources = sorted(name for name in written(folder) if not name.endswith(".html"))
    key = content_key(profile, digests(folder, sources), *inputs)
    kept = record_path(folder, "report")
    record = Record.read(kept)
    if record and not force and record.holds(key, folder):
        say("Report  unchanged")
        return
    began = time.monotonic()
    # Here, because a report that has not changed should not wait for PyTorch.
    from ctrh.paper.profiles import Profile
    from ctrh.paper.report.page import build

    pages = [str(path.relative_to(folder)) for path in build(Profile.named(profile))]
    Record(key, digests(folder, pages)).write(kept)
    say(f"Report  done in {_clock(time.monotonic() - began)}, {len(pages)} pages written")


class StatusLine:
    """One line on a terminal, rewritten in place; elsewhere a line at the start and then one a minute."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.began = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.next = 0.0
        self.progress = Path(os.environ["CTRH_PROGRESS"]) if "CTRH_PROGRESS" in os.environ else None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def show(self, position: Position) -> None:
        if self.seconds < self.next:
            return
        self.next = self.seconds + (0.5 if self.terminal else 60)
        text = f"{self.label}  {_clock(self.seconds)}"
        if position.cells:
            text += f"  cell {position.cell}/{position.cells}"
        text += self._inner()
        if self.terminal:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
            print(f"\r\x1b[K{text[: columns - 1]}", end="", flush=True)
        else:
            say(text)

    def _inner(self) -> str:
        """The library's own progress bar inside the running cell (:mod:`ctrh.progress`)."""
        if self.progress is None or not self.progress.exists():
            return ""
        with self.progress.open("rb") as bars:
            bars.seek(max(0, self.progress.stat().st_size - 400))
            tail = bars.read().decode("utf-8", "replace")
        latest = tail.replace("\x1b[A", "").strip("\n").split("\r")[-1].strip()
        return f"  {latest}" if latest else ""

    def clear(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", flush=True)
        if self.progress is not None:
            self.progress.unlink(missing_ok=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    began = time.monotonic()
    profile = options.profile.stem
    os.environ.update(chosen(options))
    os.environ["TQDM_DISABLE"] = "1"  # other libraries' bars would be stored in the notebooks, line by line
    if options.jobs:
        os.environ["CTRH_JOBS"] = str(options.jobs)
    if options.cluster:
        os.environ["CTRH_CLUSTER"] = options.cluster
    try:
        prepare_folder(cache_dir(), CACHE_REMEDY)
        prepare_folder(results_dir(profile), "set CTRH_FIGURES to another folder")
        cache_dir().joinpath("notebooks").mkdir(exist_ok=True)
        _sweep(cache_dir() / "notebooks")
        notebooks = find_notebooks(ROOT / "notebooks", options.only)
        say(f"Profile {profile}: {len(notebooks)} notebooks, cache in {cache_dir()}")
        inputs = (library_key(), environment_key(), *_outside(options))
        if options.check:
            say("Everything is there.")
            return
        if profile not in CELL_SECONDS and _on_own_data(profile):
            run_report(profile, inputs, options.force)
            return
        os.environ["CTRH_PROGRESS"] = str(cache_dir() / "notebooks" / f"{unfinished()}-progress")
        jobs = options.jobs or cores()
        helped = profile in AHEAD and not options.cluster and jobs > 1
        forked = profile in CELL_SECONDS and POSSIBLE  # a process that has met a GPU cannot be forked
        with (
            Ahead(profile, jobs) if helped else nullcontext() as ahead,
            Nursery() if forked else nullcontext() as nursery,
        ):
            run_notebooks(notebooks, profile, {"profile": profile}, inputs, options.force, ahead, nursery)
        if options.save_outputs:
            for path in notebooks:
                store_outputs(results_dir(profile) / "notebooks" / path.name, path)
        run_report(profile, inputs, options.force)
    except (NotebookError, ValueError, OSError) as error:
        raise SystemExit(f"\nrun_all.sh: {error}") from error
    say(f"All done in {_clock(time.monotonic() - began)}.")
    say(f"Tables and figures: {results_dir(profile)}")
    say(f"Executed notebooks: {results_dir(profile) / 'notebooks'}")
    say(f"All on one page: {results_dir(profile) / 'index.html'}")


def _outside(options: Namespace) -> tuple[str, ...]:
    """Names what the profile takes from outside; ``ValueError`` when something is missing."""
    if options.profile.stem in CELL_SECONDS:
        return ()  # everything comes with the package, and finding that out would take PyTorch's seconds
    from ctrh.paper.check import preflight
    from ctrh.paper.profiles import Profile

    say("Looking at what it takes from outside:")
    profile = Profile.named(options.profile.stem)
    return preflight(profile), content_key(profile), options.profile.read_text(encoding="utf-8")


def _on_own_data(name: str) -> bool:
    """Writes the tables of a profile whose data stand for none of the article's; False, and nothing, for other profiles."""
    from ctrh.paper.own_data import write_tables
    from ctrh.paper.profiles import Profile

    profile = Profile.named(name)
    if any(settings.article for settings in profile.datasets):
        return False
    write_tables(profile)
    return True


def _sweep(folder: Path) -> None:
    """Removes what killed runs (SIGKILL, a power cut) had no chance to remove."""
    for leftover in folder.glob("running-*"):
        if not psutil.pid_exists(int(leftover.name.partition("-")[2])):
            shutil.rmtree(leftover)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except KeyboardInterrupt as stop:
        terminated = stop.args == ("SIGTERM",)
        print("\nInterrupted. Finished work is kept; start it again and it goes on from here.", flush=True)
        # Without the interpreter's own farewell: papermill's thread may still wait for the kernel that is gone.
        os._exit(143 if terminated else 130)
