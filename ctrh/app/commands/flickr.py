"""``python -m ctrh data mirflickr`` and ``data nuswide``: get what can be got, verify, and tell what there is."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ctrh.app.inputs import say
from ctrh.data import mirflickr, nuswide, sources
from ctrh.data.photos import Photos
from ctrh.data.protocol import choose
from ctrh.data.splits import write_split
from ctrh.data.statistics import tag_statistics
from ctrh.data.tables import Complaints, FolderError
from ctrh.store import prepare_cache

READERS = {
    "mirflickr": (mirflickr.read_mirflickr, mirflickr.PROTOCOLS, sources.MIRFLICKR, "."),
    "nuswide": (nuswide.read_nuswide, nuswide.PROTOCOLS, sources.NUSWIDE, "nuswide"),
}


def run(args: Namespace) -> None:
    prepare_cache()
    read, protocols, archives, below = READERS[args.dataset]
    folder = Path(args.folder)
    protocol = choose(protocols, args.protocol, args.queries, args.train, args.labels)
    if args.download:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise FolderError(f"{folder} is not a folder: name an existing one, or add --download to make it")
    # Data that lie somewhere else in the folder are in order, too.
    roots = [
        folder / each for each in (*nuswide.FOLDERS, *mirflickr.FOLDERS, ".") if (folder / each).is_dir()
    ]
    if not any(all(archive.present(root) for archive in archives) for root in roots):
        for line in sources.prepare(archives, folder / below, args.download, args.mirror):
            say(line)
    complaints = Complaints(args.strict, shown=args.shown)
    photos, counts = read(folder, protocol, args.seed, args.split, complaints)
    print(f"{args.dataset}, protocol {protocol.name!r}:")
    _table({**counts, **_sizes(photos)})
    _table(asdict(tag_statistics(photos)))
    if args.write_split:
        about = f"protocol {protocol.name}, " + (f"after {args.split}" if args.split else f"seed {args.seed}")
        write_split(args.write_split, photos, about)
        say(f"written: {args.write_split}")
    say(f"next: ./run_all.sh --profile paper --data {folder}")


def _sizes(photos: Photos) -> dict[str, object]:
    split = photos.split
    per_label = photos.labels.sum(axis=0)
    return {
        "queries": len(split.query),
        "database": len(split.database),
        "training": len(split.train),
        "without a label": int((~photos.labels.any(axis=1)).sum()),
        "queries without a relevant photo": int((~_answered(photos)).sum()),
        "labels": len(photos.label_names),
        "most frequent label": f"{photos.label_names[np.argmax(per_label)]} ({per_label.max():,})",
        "least frequent label": f"{photos.label_names[np.argmin(per_label)]} ({per_label.min():,})",
    }


def _answered(photos: Photos) -> np.ndarray:
    """(Q,) bool: whether the database has a photo that shares a label with the query."""
    queries, database = photos.relevant()
    return (queries & database.any(axis=0)).any(axis=1)


def _table(values: dict[str, object]) -> None:
    for name, value in values.items():
        shown = (
            f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else value
        )
        print(f"  {name.replace('_', ' '):42} {shown}")
