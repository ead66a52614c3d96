"""What `fit` and `refine` both begin with: the photos of the folder, the guide, and the tags it gives them."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import scipy.sparse as sp

from ctrh.app.photo_search import EncoderSpec
from ctrh.data.folder import read_folder
from ctrh.data.photos import Photos
from ctrh.guide.clip import Guide
from ctrh.guide.finetune import finetune
from ctrh.guide.refine import RefineConfig, mixed_guide, refine
from ctrh.store import CACHE_REMEDY, cache_dir, prepare_folder


def say(message: str) -> None:
    """A step for the person who waits; results alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def read_photos(args: Namespace, queries: int | None = None, train: int | None = None) -> Photos:
    prepare_folder(cache_dir(), CACHE_REMEDY)
    say(f"reading {args.folder}")
    photos = read_folder(
        args.folder,
        queries=queries,
        train=train,
        seed=args.seed,
        least=args.least,
        common=args.common,
        untagged="drop" if args.drop_untagged else "keep",
        strict=args.strict,
    )
    untagged = int((photos.tags.sum(axis=1) == 0).sum())
    say(
        f"{len(photos)} photos, {len(photos.vocabulary)} words, {photos.tags.nnz / len(photos):.1f} words a photo, "
        f"{untagged} photos without any (kept in the database, not trained on)"
    )
    return photos


def encoder_spec(args: Namespace, backbone: str = "guide") -> EncoderSpec:
    """The networks that the options name; files by their absolute paths, since a search may start elsewhere."""
    is_file = args.pretrained is not None and Path(args.pretrained).is_file()
    return EncoderSpec(
        guide=args.guide,
        pretrained=str(Path(args.pretrained).resolve()) if is_file else args.pretrained,
        weights_dir=None if args.weights is None else str(Path(args.weights).resolve()),
        backbone=backbone,
    )


def refined(photos: Photos, guide: Guide, alpha: float) -> tuple[sp.csr_array, Guide]:
    """The replaced tags (N, C) bool, and the guide of Eq. (2) that chose them."""
    tuned = None
    if alpha > 0:
        say(f"fine-tuning the guide on {len(photos.split.train)} photos")
        tuned = finetune(guide, photos)
    say("refining the tags")
    return refine(photos, guide, RefineConfig(alpha=alpha), tuned), mixed_guide(guide, tuned, alpha)


def tag_rows(photos: Photos, tags: sp.csr_array) -> list[tuple[str, str]]:
    """(name, words) of every photo, the rows of a tags.csv; the words in the order of the vocabulary."""
    words = [
        " ".join(photos.vocabulary[column] for column in sorted(tags.indices[start:end]))
        for start, end in zip(tags.indptr, tags.indptr[1:])
    ]
    return list(zip(photos.names, words, strict=True))
