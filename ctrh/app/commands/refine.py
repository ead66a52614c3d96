"""``python -m ctrh refine``."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from pathlib import Path

from ctrh.app.inputs import encoder_spec, read_photos, say, tag_rows
from ctrh.app.model_folder import check_file, check_writable
from ctrh.data.keywords import write_sidecar
from ctrh.data.photos import Photos
from ctrh.data.tables import LENIENT, inert, write_table
from ctrh.store import prepare_cache


def run(args: Namespace) -> None:
    spec = encoder_spec(args)
    if args.write_xmp:
        check_writable(Path(args.folder))
    if args.out is not None:
        check_file(Path(args.out), "a table")
    prepare_cache()
    photos = read_photos(args)
    # From here on nothing can be wrong any more that a user could have been told without waiting for PyTorch.
    from ctrh.app.photo_search import guide_of
    from ctrh.app.refining import refined

    tags, _ = refined(photos, guide_of(spec, args.device), args.alpha)
    rows = tag_rows(photos, tags)
    if args.write_xmp:
        _write_sidecars(photos, rows)
    elif args.out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([("image", "tags"), *(map(inert, row) for row in rows)])
    else:
        write_table(args.out, ("image", "tags"), rows)
        say(f"written: {args.out}")


def _write_sidecars(photos: Photos, rows: list[tuple[str, str]]) -> None:
    tagged = [(photos.images.root / name, words.split(", ")) for name, words in rows if words]
    others = [path.name for path, words in tagged if not write_sidecar(path, words)]
    say(f"written: {len(tagged) - len(others)} sidecars, photo.jpg.xmp")
    LENIENT.about(photos.images.root, "sidecars of other programs, left as they are", others, "move them to have others")
