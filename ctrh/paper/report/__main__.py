"""``./run_all.sh report``: builds the report anew out of what is there."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from ctrh.paper.launch import chosen, report_parser, say
from ctrh.paper.profiles import Profile
from ctrh.paper.report.page import build


def main(arguments: Sequence[str] | None = None) -> None:
    options = report_parser().parse_args(arguments)
    os.environ.update(chosen(options))
    began = time.monotonic()
    try:
        path, *_ = build(Profile.named(options.profile.stem))
    except ValueError as error:
        raise SystemExit(f"run_all.sh report: {error}") from error
    say(f"Report: {path} ({path.stat().st_size / 2**20:.1f} MB, {time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main(sys.argv[1:])
