"""``python -m ctrh refine``."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace

from ctrh.app.commands.inputs import encoder_spec, read_photos, refined, say, tag_rows
from ctrh.data.tables import inert, write_table


def run(args: Namespace) -> None:
    photos = read_photos(args)
    tags, _ = refined(photos, encoder_spec(args).load_guide(args.device), args.alpha)
    rows = tag_rows(photos, tags)
    if args.out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([("image", "tags"), *(map(inert, row) for row in rows)])
    else:
        write_table(args.out, ("image", "tags"), rows)
        say(f"written: {args.out}")
