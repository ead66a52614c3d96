"""``python -m ctrh data openclipart``."""

from __future__ import annotations

from argparse import Namespace

from ctrh.data.openclipart import convert


def run(args: Namespace) -> None:
    result = convert(args.source, args.out, args.size)
    untagged = sum(not drawing.tags for drawing in result.written)
    words = {word for drawing in result.written for word in drawing.tags}
    print(
        f"{len(result.written)} drawings with {len(words)} different tags, {untagged} without any: {args.out}"
    )
    for problems, what in (
        (result.skipped, "pictures skipped"),
        (result.unread, "SVGs without readable tags"),
    ):
        if problems:
            print(
                f"{len(problems)} {what}, listed in {args.out}/skipped.csv, first: {': '.join(problems[0])}"
            )
    print(f"next: python -m ctrh fit {args.out} --out MODEL_DIR")
