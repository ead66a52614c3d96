"""``python -m ctrh refine``."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from pathlib import Path

import scipy.sparse as sp

from ctrh.app.inputs import encoder_spec, read_photos, say, tag_rows
from ctrh.app.model_folder import check_file, check_writable
from ctrh.data.folder import picture_words
from ctrh.data.keywords import write_sidecar
from ctrh.data.photos import Photos
from ctrh.data.tables import EXPLAINED, LENIENT, inert, write_table
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

    tags, _ = refined(photos, guide_of(spec, args.device), args.alpha, args.published)
    header, rows = ("image", "tags"), tag_rows(photos, tags)
    if not args.published:
        header, rows = ("image", "tags", *EXPLAINED), _compared(photos, tags, args)
    if args.write_xmp:
        _write_sidecars(photos, [row[:2] for row in rows])
    elif args.out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *(map(inert, row) for row in rows)])
    else:
        write_table(args.out, header, rows)
        say(f"written: {args.out}")


def _compared(photos: Photos, tags: sp.csr_array, args: Namespace) -> list[tuple[str, str, str, str]]:
    """Name, new tags, these with their probabilities, the most probable first, and the user's; words that are too rare for
    the vocabulary are kept as the user wrote them, without a probability."""
    names, known, rows = set(photos.names), set(photos.vocabulary), []
    written = picture_words(Path(args.folder), names, LENIENT, args.separators, args.words_from)
    for i, name in enumerate(photos.names):
        row = slice(tags.indptr[i], tags.indptr[i + 1])
        best = sorted(zip(-tags.data[row], tags.indices[row], strict=True))
        words = [photos.vocabulary[column] for _, column in best]
        told = [f"{word} {-p:.2f}" for word, (p, _) in zip(words, best, strict=True)]
        rare = [word for word in written[name] if word not in known]
        rows.append((name, ", ".join(words + rare), ", ".join(told + rare), ", ".join(written[name])))
    return rows


def _write_sidecars(photos: Photos, rows: list[tuple[str, str]]) -> None:
    tagged = [(photos.images.root / name, words.split(", ")) for name, words in rows if words]
    others = [path.name for path, words in tagged if not write_sidecar(path, words)]
    say(f"written: {len(tagged) - len(others)} sidecars, photo.jpg.xmp")
    LENIENT.about(photos.images.root, "sidecars of other programs, left as they are", others, "move them to have others")
