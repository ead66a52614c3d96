"""``python -m ctrh tag``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ctrh.app.inputs import encoder_spec, say
from ctrh.app.model_folder import check_file
from ctrh.data.folder import list_pictures, picture_folder, picture_words, readable
from ctrh.data.keywords import pyexiv2
from ctrh.data.tables import LENIENT, SEPARATORS, FolderError, split_words, write_table
from ctrh.data.vocabulary import build_vocabulary
from ctrh.store import prepare_cache


def run(args: Namespace) -> None:
    spec = encoder_spec(args)
    if args.out is not None:
        check_file(Path(args.out), "a table")
    prepare_cache()
    root = Path(args.folder)
    pictures = list_pictures(picture_folder(root), LENIENT, root)
    # A folder without any tags is what this is for.
    nothing = pyexiv2 is None and not (root / "tags.csv").exists()
    words_of = picture_words(root, pictures, LENIENT, sources=() if nothing else None)
    words = build_vocabulary(words_of.values())
    if args.words is not None:
        words = split_words(Path(args.words).read_text(encoding="utf-8-sig"), SEPARATORS)
    if not words:
        raise FolderError(f"no words to choose from: {root} has no tags, so give --words FILE, one word a line")
    names = sorted(name for name in pictures if args.all or not words_of[name])
    if not names:
        say(f"every photo in {root} has tags: give --all to have words for all of them")
        return
    images = readable(picture_folder(root), names, LENIENT)
    # PyTorch takes seconds: only now, when what can be wrong with the folder and the words has been said.
    from ctrh.app.photo_search import guide_of
    from ctrh.app.refining import likely_words

    count = len(words) if args.k is None and args.threshold is not None else args.k or 5
    found = likely_words(guide_of(spec, args.device), images, words, count, args.threshold or 0.0)
    for name, chosen in zip(images.names, found, strict=True):
        print(f"{name}: {', '.join(f'{word} {share:.2f}' for word, share in chosen)}")
    if args.out is not None:
        rows = zip(images.names, (", ".join(word for word, _ in chosen) for chosen in found), strict=True)
        write_table(args.out, ("image", "tags"), rows)
        say(f"written: {args.out}")
