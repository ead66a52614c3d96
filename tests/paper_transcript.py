"""``python tests/paper_transcript.py FOLDER``: the whole paper profile on two dozen made-up photos, and what it said.

Needs some gigabytes in FOLDER and half an hour; what it says goes to docs/paper_profile_transcript.txt, which
notebook 09 shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from paper_fixture import write_everything

from ctrh.paper.report.provenance import machine
from ctrh.store import replacing

ROOT = Path(__file__).resolve().parents[1]
TRANSCRIPT = ROOT / "docs" / "paper_profile_transcript.txt"


def said(command: list[str], names: dict[str, str], environ: dict[str, str]) -> list[str]:
    """The command and its output, with folders called as a reader would call them. Raises where it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text = f"$ {' '.join(command)}\n{done.stdout.rstrip()}"
    for path, name in names.items():
        text = text.replace(path, name)
    if done.returncode:
        raise SystemExit(f"{text}\n\nended with {done.returncode}")
    return [*text.splitlines(), f"[{time.perf_counter() - began:.0f} s]", ""]


def main(folder: Path) -> None:
    outside = write_everything(folder)
    own = {"CTRH_CACHE": "cache", "CTRH_FIGURES": "figures", "TORCH_HOME": "home", "HF_HOME": "home"}
    environ = {name: str(folder / below) for name, below in own.items()} | {"HF_HUB_OFFLINE": "1"}
    names = {
        str(outside["data"]): "DATA",
        str(outside["weights"]): "WEIGHTS",
        str(folder): "FOLDER",
        f"{ROOT}/": "",
    }
    command = ["./run_all.sh", *(f"--{name}={path}" for name, path in outside.items())]
    lines = [
        "The paper profile with one epoch, one seed and short codes, on two dozen made-up photos in the official layouts and",
        "full-size networks with random weights. What it computes means nothing; that it runs to its end does.",
        f"Written by tests/paper_transcript.py, {date.today()}, on {machine()}.",
        "",
        *said([*command, "--check"], names, environ),
        *said(command, names, environ),
    ]
    with replacing(TRANSCRIPT) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    print(f"written: {TRANSCRIPT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
