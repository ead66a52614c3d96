"""Runs one notebook by papermill, in processes of its own; what it writes appears when all of it is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from ctrh.paper.outputs import compact_png
from ctrh.paper.records import files_in
from ctrh.store import cache_dir, replacing, unfinished


class NotebookError(RuntimeError):
    """A notebook failed; the message names the notebook, the cell and the error."""


def execute(
    source: Path,
    folder: Path,
    parameters: Mapping[str, Any],
    seconds: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    """Runs ``source`` with ``parameters`` in a fresh kernel; the files that it has written into ``folder``, the results of
    a profile, by name, with the executed copy in ``notebooks/``.

    ``seconds``: the longest a cell may take; ``variables`` are added to the environment. Raises ``ValueError`` for a
    parameter that the notebook does not have (papermill would run its defaults), :class:`NotebookError` when a cell
    fails, takes too long or kills its kernel.
    """
    import papermill  # a second, which a run with nothing to do should not take

    unknown = set(parameters) - set(papermill.inspect_notebook(str(source)))
    if unknown:
        raise ValueError(
            f"{source.name}: unknown parameters {sorted(unknown)} (no such name in its parameters cell)"
        )
    kept = cache_dir().resolve() / "notebooks"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept, prefix=f"{unfinished()}-") as running:
        staged = Path(running) / folder.name
        copy = staged / "notebooks" / source.name
        copy.parent.mkdir(parents=True)
        command = [sys.executable, "-P", "-m", "papermill", str(source), str(copy), "--kernel", "python3"]
        command += ["--parameters_yaml", json.dumps(dict(parameters)), "--cwd", str(source.parent)]
        command += ["--no-progress-bar", "--log-level", "CRITICAL", "--start-timeout", "120"]
        command += ["--execution-timeout", str(seconds)] if seconds else []
        # Two notebooks may run at a time: each has results of its own, so that it is known who wrote what.
        environ = {**os.environ, **(variables or {}), "CTRH_FIGURES": running, "TQDM_DISABLE": "1"}
        # A session of its own: Ctrl-C is for the runner, which ends it.
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if done.returncode:
            raise NotebookError(_explain(source, copy, done.stderr, kept / "failed" / source.name))
        _tidy(copy)
        names = files_in(staged)
        for name in names:
            with replacing(folder / name) as temporary:
                shutil.copyfile(staged / name, temporary)
        return names


def _explain(source: Path, copy: Path, errors: str, kept: Path) -> str:
    """Says which cell failed and how, and keeps what was done until then."""
    told = errors.strip().splitlines() or ["papermill said nothing"]
    if not copy.exists():
        return f"{source.name}: {told[-1]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(copy, kept)
    cells = nbformat.read(copy, as_version=4).cells
    # papermill puts cells of its own above the one that failed.
    cells = [cell for cell in cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    begun = [i for i, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    number = begun[-1] if begun else 0
    cell = cells[number]
    code = "\n".join(f"    | {line}" for line in cell.source.strip().splitlines()[:15])
    trace, what = "", told[-1]
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            trace = "\n".join(output.traceback) + "\n"
            what = f"{output.ename}: {output.evalue}"
    if "DeadKernelError" in errors:
        what = "the kernel died (out of memory? the system's log may tell)"
    elif "CellTimeoutError" in errors:
        what = "CellTimeoutError: the cell took longer than it may"
    place = f"{source.name}, cell {number + 1} of {len(cells)}"
    return f"{trace}{place}:\n{code}\n{what}\nWhat it had done until then: {kept}"


def _tidy(path: Path) -> None:
    """Removes times, paths and random ids, which would make equal runs differ."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    nbformat.write(notebook, path)


def store_outputs(executed: Path, source: Path) -> None:
    """Copies the outputs of ``executed`` into ``source``, cell by cell (by id), with small pictures, for a commit."""
    notebook = nbformat.read(source, as_version=4)
    done = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = done[cell.id].outputs
            for output in cell.outputs:
                if png := output.get("data", {}).get("image/png"):
                    output.data["image/png"] = b64encode(compact_png(b64decode(png))).decode() + "\n"
            cell.execution_count = done[cell.id].execution_count
    with replacing(source) as temporary:
        nbformat.write(notebook, temporary)
