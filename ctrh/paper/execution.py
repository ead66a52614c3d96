"""Runs one notebook in a fresh kernel, and ends the kernel whatever happens."""

from __future__ import annotations

import copy
import os
import threading
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from ctrh.store import cache_dir, replacing


class NotebookError(RuntimeError):
    """A notebook failed; the message names the notebook, the cell and the error."""


@dataclass
class Position:
    """How far a running notebook is, for the status line and for error messages."""

    cell: int = 0
    cells: int = 0
    source: str = ""


class _Engine(NBClientEngine):
    """papermill's own engine, telling where it is."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, position: Position, **options):
        plain_start = nb_man.cell_start

        def cell_start(cell, cell_index=None, **rest):
            position.cell, position.cells = cell_index + 1, len(nb_man.nb.cells)
            position.source = cell.source
            return plain_start(cell, cell_index, **rest)

        nb_man.cell_start = cell_start
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register("ctrh", _Engine)


def execute(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    seconds: float | None = None,
    status: Callable[[Position], None] = lambda position: None,
    spared: Collection[int] = (),
) -> None:
    """Runs ``source`` with ``parameters`` in a fresh kernel and writes the executed copy to ``target``.

    ``seconds``: the longest a cell may take. ``status`` is called about twice a second. Raises ``ValueError``
    for a parameter that the notebook does not have (papermill would run its defaults), :class:`NotebookError` when
    a cell fails, takes too long or kills its kernel. However it ends, kernel and workers end with it: all children of
    this process that were started meanwhile, but for the process ids ``spared``.
    """
    unknown = set(parameters) - set(papermill.inspect_notebook(str(source)))
    if unknown:
        raise ValueError(
            f"{source.name}: unknown parameters {sorted(unknown)} (no such name in its parameters cell)"
        )
    # papermill saves after every cell: that copy lives apart, and the result appears only when it is whole.
    running = cache_dir() / "notebooks" / f"running-{os.getpid()}" / source.name
    running.parent.mkdir(parents=True, exist_ok=True)
    position, outcome, began = Position(), {}, time.time()

    def work() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbformat and asyncio talk about their own future
                outcome["notebook"] = papermill.execute_notebook(
                    str(source),
                    str(running),
                    dict(parameters),
                    engine_name="ctrh",
                    kernel_name="python3",
                    progress_bar=False,
                    # ipykernel announces on every start that it listens on this machine.
                    extra_arguments=["--log-level=CRITICAL"],
                    start_timeout=120,
                    execution_timeout=seconds,
                    cwd=str(source.parent),
                    position=position,
                )
        except BaseException as error:
            outcome["error"] = error

    # In a thread, so that an interrupt reaches this one at once, whatever papermill is waiting for.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.5)
            status(position)
        if "error" in outcome:
            raise NotebookError(_explain(source, running, position, outcome["error"])) from outcome["error"]
        with replacing(target) as temporary:
            nbformat.write(_tidied(outcome["notebook"]), temporary)
    finally:
        _end_descendants(began, spared)
        running.unlink(missing_ok=True)
        running.parent.rmdir()


def _end_descendants(since: float, spared: Collection[int]) -> None:
    started = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.pid not in spared and process.create_time() >= since - 1:
                process.terminate()
                started.append(process)
        except psutil.NoSuchProcess:
            continue
    for process in psutil.wait_procs(started, timeout=3)[1]:
        process.kill()


def _explain(source: Path, running: Path, position: Position, error: BaseException) -> str:
    place = f"{source.name}, cell {position.cell} of {position.cells}"
    code = "\n".join(f"    | {line}" for line in position.source.strip().splitlines()[:15])
    kept = cache_dir() / "notebooks" / "failed" / source.name
    trace = ""
    if isinstance(error, PapermillExecutionError):
        what = f"{error.ename}: {error.evalue}"
        trace = str(error).strip() + "\n"
    elif "DeadKernel" in type(error).__name__:
        what = "the kernel died (out of memory? the system's log may tell)"
    else:
        what = f"{type(error).__name__}: {error}"
    where = ""
    if running.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.replace(running, kept)
        where = f"\nWhat it had done until then: {kept}"
    return f"{trace}{place}:\n{code}\n{what}{where}"


def _tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times, paths and random ids, which would make equal runs differ."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    return notebook


def store_outputs(executed: Path, source: Path) -> None:
    """Copies the outputs of ``executed`` into ``source``, cell by cell (by id), for a commit."""
    notebook = nbformat.read(source, as_version=4)
    done = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = done[cell.id].outputs
            cell.execution_count = done[cell.id].execution_count
    with replacing(source) as temporary:
        nbformat.write(notebook, temporary)
