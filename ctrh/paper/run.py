"""What ``run_all.sh`` does in its environment: it trains all that is missing, runs the notebooks that show it, and builds
the report. What has not changed is not done again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from ctrh.paper.launch import chosen, cores, parser, say
from ctrh.paper.notebook import NotebookError, execute, store_outputs
from ctrh.paper.outputs import ROOT, results_dir
from ctrh.paper.records import (
    Record,
    digests,
    environment_key,
    files_in,
    library_key,
    notebook_key,
    record_that_holds,
)
from ctrh.store import cache_dir, content_key, prepare_cache, prepare_folder

if TYPE_CHECKING:  # PyTorch's seconds are for those who have something to train
    from ctrh.paper.grid import AnyRun
    from ctrh.paper.profiles import Profile

# No cell of these profiles comes near; without a bound a deadlock would wait for ever.
# The profiles that have one take nothing from outside.
CELL_SECONDS = {"smoke": 900, "demo": 3600}
NOTEBOOKS_AT_ONCE = 2


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


def _number(notebook: Path) -> int:
    return int(notebook.name.partition("_")[0])


def planned_runs(profile: Profile) -> dict[int, Callable[[], Sequence[AnyRun]]]:
    """The runs that each notebook shows, by its number; those that are missing here train nothing."""
    from ctrh.paper import claims, comparisons, selection, teachers
    from ctrh.paper.cross_modal import tables as cross_modal
    from ctrh.paper.studies import ablation, backbones, beyond, guides, readings, sensitivity, training

    names = [settings.data.name for settings in profile.datasets]
    present, _ = cross_modal.with_present_data(profile)
    return {
        2: lambda: training.training_runs(profile) + training.longer_runs(profile),
        3: lambda: [
            *selection.trial_runs(profile).values(),
            *comparisons.comparison_runs(profile),
            *(run for name in names for run in teachers.taught_runs(profile, name)),
            *(run for name in names for run in teachers.step_runs(profile, name)),
            *teachers.noise_runs(profile, names[0]),
        ],
        4: lambda: ablation.variant_runs(profile) + ablation.without_runs(profile),
        5: lambda: sensitivity.sensitivity_runs(profile),
        6: lambda: backbones.backbone_runs(profile),
        7: lambda: guides.guide_runs(profile),
        8: lambda: readings.reading_runs(profile) + readings.feature_runs(profile),
        10: lambda: [
            *cross_modal.comparison_runs(present),
            *cross_modal.ablation_runs(present),
            *cross_modal.choice_runs(present),
        ],
        11: lambda: [run for runs in claims.runs_of_studies(profile).values() for run in runs],
        12: lambda: beyond.beyond_runs(profile) + beyond.noise_runs(profile),
    }


def measurements(profile: Profile) -> dict[int, Callable[[], object]]:
    """What each notebook measures of this machine's time, by its number: once, then it is read from the cache."""
    from ctrh.paper import costs, estimates
    from ctrh.paper.cross_modal.speed import speed_rows
    from ctrh.paper.studies import backbones
    from ctrh.paper.tasks import guide_of

    return {
        3: lambda: costs.cost_rows(profile),
        6: lambda: backbones.cost_rows(profile),
        9: estimates.measured_steps,
        10: lambda: speed_rows(profile.cross, guide_of(profile.guide)),
        11: lambda: costs.cost_rows(profile),
    }


def train(profile: Profile, numbers: Sequence[int], jobs: int) -> None:
    """Measures and computes what the notebooks ``numbers`` show and the cache does not hold yet.

    Measurements come first, with nothing beside them; then all runs, ``jobs`` at a time.
    """
    from ctrh.paper.grid import compute_missing
    from ctrh.progress import progress

    began = time.monotonic()
    plans, timings = planned_runs(profile), measurements(profile)
    for number in progress([number for number in numbers if number in timings], "measuring times"):
        timings[number]()
    planned = [run for number in numbers if number in plans for run in plans[number]()]
    # A label is no content: many a run is in several notebooks.
    distinct = list(dict.fromkeys(replace(run, label="") for run in planned))
    # A key needs the photos, features and tags of its run, which this makes where they are missing.
    keyed = {run.key: run for run in progress(distinct, "features and tags")}
    say(f"Trainings: {len(keyed)}, {jobs} at a time; finished ones are read from the cache")
    compute_missing(keyed, jobs)
    say(f"Trained in {_clock(time.monotonic() - began)}")


def run_notebooks(
    notebooks: Sequence[Path],
    profile: str,
    parameters: Mapping[str, Any],
    inputs: Sequence[Any] = (),
    force: bool = False,
    jobs: int = 1,
    prepare: Callable[[list[int]], None] = lambda numbers: None,
) -> None:
    """Runs ``notebooks``, with two ``jobs`` or more two at a time; those that are as their last success left them are
    skipped. ``inputs``: what their results depend on besides their own text.

    ``prepare`` is called once before, with the numbers of those that are not skipped. Raises what :func:`execute` raises,
    at the first failure, once the notebook beside it has ended.
    """
    folder = results_dir(profile)
    width = max(len(path.stem) for path in notebooks)
    keys = {path: notebook_key(path, profile, dict(parameters), *inputs) for path in notebooks}
    changed = []
    for path in notebooks:
        record = None if force else record_that_holds(folder, path.stem, keys[path])
        if record:
            say(f"{path.stem:{width}}  unchanged, {len(record.outputs)} files up to date")
        else:
            changed.append(path)
    if not changed:
        return
    prepare([_number(path) for path in changed])
    at_once = min(NOTEBOOKS_AT_ONCE, jobs, len(changed))
    variables = {"CTRH_JOBS": str(max(1, jobs // at_once))}

    def run(path: Path) -> str:
        began = time.monotonic()
        try:
            names = execute(path, folder, parameters, CELL_SECONDS.get(profile), variables)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # here, or the next one would begin first
            raise
        Record(keys[path], digests(folder, names)).write(folder, path.stem)
        seconds = _clock(time.monotonic() - began)
        return f"{path.stem:{width}}  done in {seconds}, {len(names)} files written"

    pool = ThreadPoolExecutor(at_once)
    waiting = [pool.submit(run, path) for path in changed]
    interrupted = False
    try:
        for number, done in enumerate(as_completed(waiting), 1):
            say(f"[{number}/{len(waiting)}] {done.result()}")
    except KeyboardInterrupt:
        interrupted = True  # the notebooks' processes are ended by who catches this: waiting for them would be in vain
        raise
    finally:
        pool.shutdown(wait=not interrupted, cancel_futures=True)


def _end_children() -> None:
    """Ends all processes that this one has started, and theirs; those that have not ended after three seconds, by force."""
    processes = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that ends by itself meanwhile must not keep the others alive
            # joblib's tracker clears what its workers shared, and ends with this process by itself.
            if "resource_tracker" not in " ".join(process.cmdline()):
                processes.append(process)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                end(process)
        deadline = time.monotonic() + 3
        while any(map(_runs, processes)) and time.monotonic() < deadline:
            time.sleep(0.05)


def _runs(process: psutil.Process) -> bool:
    """Whether a process is still there; a child of ours of which only the exit code is left is not.

    psutil's own waiting would take papermill's exit code away from the thread that waits for it, which would then be told
    0 and take the notebook for finished.
    """
    with suppress(psutil.NoSuchProcess):
        return not (process.status() == psutil.STATUS_ZOMBIE and process.ppid() == os.getpid())
    return False


def run_report(profile: str, inputs: Sequence[Any] = (), force: bool = False) -> None:
    """Builds the report, unless it is as the last build left it and so is what it shows.

    ``inputs`` as in :func:`run_notebooks`. Raises ``ValueError`` for a result that cannot be read.
    """
    folder = results_dir(profile)
    # Pages are what is built, not what it is built from.
    sources = [name for name in files_in(folder) if not name.endswith(".html")]
    key = content_key(profile, digests(folder, sources), *inputs)
    if not force and record_that_holds(folder, "report", key):
        say("Report  unchanged")
        return
    began = time.monotonic()
    from ctrh.paper.profiles import Profile
    from ctrh.paper.report.page import build

    pages = [str(path.relative_to(folder)) for path in build(Profile.named(profile))]
    Record(key, digests(folder, pages)).write(folder, "report")
    say(f"Report  done in {_clock(time.monotonic() - began)}, {len(pages)} pages written")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    began = time.monotonic()
    profile, jobs = options.profile.stem, options.jobs or cores()
    os.environ.update(chosen(options))
    os.environ["CTRH_JOBS"] = str(jobs)
    if options.cluster:
        os.environ["CTRH_CLUSTER"] = options.cluster
    try:
        prepare_cache()
        if options.report:
            run_report(profile, force=True)
            return
        notebooks = find_notebooks(ROOT / "notebooks", options.only)
        say(f"Profile {profile}: {len(notebooks)} notebooks, cache in {cache_dir()}")
        inputs = (library_key(), environment_key(), *_outside(options))
        if options.check:
            say("Everything is there.")
            return
        prepare_folder(results_dir(profile), "set CTRH_FIGURES to another folder")
        if profile not in CELL_SECONDS and _on_own_data(_profile(profile)):
            run_report(profile, inputs, options.force)
            return

        def prepare(numbers: list[int]) -> None:
            train(_profile(profile), numbers, jobs)

        run_notebooks(notebooks, profile, {"profile": profile}, inputs, options.force, jobs, prepare)
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


def _profile(name: str) -> Profile:
    from ctrh.paper.profiles import Profile

    return Profile.named(name)


def _outside(options: Namespace) -> tuple[str, ...]:
    """Names what the profile takes from outside; ``ValueError`` when something is missing."""
    if options.profile.stem in CELL_SECONDS:
        return ()  # everything comes with the package, and finding that out would take PyTorch's seconds
    from ctrh.paper.check import preflight

    say("Looking at what it takes from outside:")
    profile = _profile(options.profile.stem)
    return preflight(profile), content_key(profile), options.profile.read_text(encoding="utf-8")


def _on_own_data(profile: Profile) -> bool:
    """Writes the tables of a profile whose data stand for none of the article's; False, and nothing, for other profiles."""
    if any(settings.article for settings in profile.datasets):
        return False
    from ctrh.paper.own_data import write_tables

    write_tables(profile)
    return True


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def interruptible() -> None:
    """:func:`main`; Ctrl-C and SIGTERM end it, and its child processes, with one line."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except KeyboardInterrupt as stop:
        _end_children()
        print("\nInterrupted. Finished work is kept; start it again and it goes on from here.", flush=True)
        sys.stdout.flush()
        # Without the interpreter's own farewell, which would wait for the workers that are gone.
        os._exit(143 if stop.args == ("SIGTERM",) else 130)
