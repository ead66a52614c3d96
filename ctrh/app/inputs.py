"""What commands begin with, read and checked before PyTorch is imported: that takes seconds, and a wrong name none."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import scipy.sparse as sp

from ctrh.app.model_folder import EncoderSpec
from ctrh.data.folder import read_folder
from ctrh.data.photos import Photos
from ctrh.guide.names import SMALL, check_tower, published_config


def say(message: str) -> None:
    """A step for the person who waits; results alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def read_photos(args: Namespace, queries: int | None = None, train: int | None = None) -> Photos:
    say(f"reading {args.folder}")
    photos = read_folder(
        args.folder,
        queries=queries,
        train=train,
        seed=args.seed,
        least=args.least,
        common=args.common,
        untagged="drop" if args.drop_untagged else "keep",
        separators=args.separators,
        sources=args.words_from,
        strict=args.strict,
    )
    untagged = int((photos.tags.sum(axis=1) == 0).sum())
    say(
        f"{len(photos)} photos, {len(photos.vocabulary)} words, {photos.tags.nnz / len(photos):.1f} words a photo, "
        f"{untagged} photos without any (kept in the database, not trained on)"
    )
    return photos


def encoder_spec(args: Namespace, backbone: str = "guide") -> EncoderSpec:
    """The networks that the options name; files by their absolute paths, since a search may start elsewhere.

    Raises ``ValueError`` for names that do not exist and files that are not there.
    """
    if args.guide not in SMALL:
        check_tower(args.guide, published_config(args.guide))
    if args.weights is not None and not Path(args.weights).is_dir():
        raise ValueError(f"{args.weights} is not a folder: give --weights the one that holds the weights")
    pretrained = args.pretrained
    if pretrained is not None and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    elif pretrained is not None and (args.guide in SMALL or Path(pretrained).parent != Path(".")):
        raise ValueError(f"no weights file {pretrained}")
    weights_dir = None if args.weights is None else str(Path(args.weights).resolve())
    return EncoderSpec(args.guide, pretrained, weights_dir, backbone)


def tag_rows(photos: Photos, tags: sp.csr_array) -> list[tuple[str, str]]:
    """(name, words) of every photo, the rows of a tags.csv; the words in the order of the vocabulary."""
    words = [
        [photos.vocabulary[column] for column in sorted(tags.indices[start:end])]
        for start, end in zip(tags.indptr, tags.indptr[1:])
    ]
    return [(name, ", ".join(row)) for name, row in zip(photos.names, words, strict=True)]
