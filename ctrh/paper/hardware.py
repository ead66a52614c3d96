"""What measurements depend on beside the code."""

from __future__ import annotations

import platform
from pathlib import Path

from ctrh.paper.launch import cores


def processor() -> str:
    """The processor's model where the system tells, else its kind."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> list[object]:
    """Processor, system, cores: names stored measurements."""
    return [processor(), platform.platform(), cores()]
