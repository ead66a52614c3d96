"""Where the numbers of a page come from: the machine and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil
import torch

from ctrh.paper.launch import cores
from ctrh.paper.timing import processor


def machine() -> str:
    """Processor, cores, memory and graphics card of this machine; never its name."""
    memory = psutil.virtual_memory().total / 2**30
    graphics = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor()}, {cores()} cores, {memory:.0f} GiB, {platform.system()}{graphics}"


def commit(root: Path) -> str:
    """The commit of the clone at ``root`` and whether its code has been changed since; "unknown" outside a clone."""
    # Without locks: looking must not disturb whoever works in the clone.
    how = {"text": True, "env": {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}, "stderr": subprocess.DEVNULL}
    git = ["git", "-C", str(root)]
    try:
        short = subprocess.check_output([*git, "rev-parse", "--short=12", "HEAD"], **how).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain", "--", "ctrh", "notebooks"], **how)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{short} with changes" if changed else short
