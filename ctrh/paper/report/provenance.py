"""Where the numbers of a page come from: settings, versions, machine, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch

from ctrh.paper.launch import cores
from ctrh.paper.outputs import ROOT
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import versions
from ctrh.paper.timing import processor


def provenance(profile: Profile, training_seconds: float | None = None) -> list[tuple[str, str]]:
    """What a reader needs to make the same page, as (what, value); ``training_seconds``: of the explorer's runs."""
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    train, finetune = profile.train, profile.finetune
    facts = [
        ("profile", profile.name),
        ("data", ", ".join(settings.data.name for settings in profile.datasets)),
        ("seeds", ", ".join(map(str, profile.seeds))),
        ("code lengths", ", ".join(map(str, profile.bits))),
        (
            "training",
            f"{train.epochs} epochs in batches of {train.batch_size}, "
            f"{'end to end' if profile.end_to_end else 'on frozen features'} of {profile.backbone}; "
            f"guide {profile.guide.name}, fine-tuned for {finetune.epochs} epochs",
        ),
        ("versions", f"Python {platform.python_version()}, {libraries}"),
        ("machine", machine()),
        ("commit", commit(ROOT)),
        ("page built", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]
    if training_seconds is not None:
        facts.insert(
            5, ("time", f"{training_seconds:,.0f} s of learning for the runs of the explorer, one core each")
        )
    return facts


def settings_text(profile: Profile) -> str:
    """Every setting of the profile, one a line, nested names joined by dots."""
    return "\n".join(f"{name} = {value}" for name, value in _flat("", asdict(profile)))


def _flat(prefix: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [line for name, inner in value.items() for line in _flat(f"{prefix}.{name}".strip("."), inner)]
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        return [line for number, inner in enumerate(value) for line in _flat(f"{prefix}[{number}]", inner)]
    return [(prefix, value)]


def machine() -> str:
    """Processor, cores, memory and graphics card of this machine; never its name."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{processor()}, {cores()} cores", f"{memory:.0f} GiB", platform.system()]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def commit(root: Path) -> str:
    """The commit of the clone at ``root`` and whether its code has been changed since; "unknown" outside a clone."""

    def git(*arguments: str) -> str:
        # Without locks: looking must not disturb whoever works in the clone.
        environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, env=environ
        )
        return done.stdout.strip()

    try:
        short = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "ctrh", "notebooks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{short} with changes" if changed else short
