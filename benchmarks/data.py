"""NUS-WIDE's text files at full size: read the first time and again, and the memory that takes."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measuring import Result, timed_with_memory
from ctrh.data.nuswide import read_index

# photos, concepts, tags
SIZES = {"full": (269_648, 81, 5_018), "small": (30_000, 81, 5_018), "tiny": (300, 8, 50)}


def run(scale: str) -> Iterator[Result]:
    photos, concepts, tags = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder, _cache(Path(folder) / "cache"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(folder) / "data"
        write(root, photos, concepts, tags)
        first_s, first_mb, first = timed_with_memory(read_index, root)
        again_s, again_mb, again = timed_with_memory(read_index, root)
    different = float((first.tags != again.tags).nnz + (first.labels != again.labels).sum())
    yield Result(
        "NUS-WIDE's index, again",
        f"{photos} photos, {concepts} concepts, {tags} tags, made up; the reference reads the text files",
        again_s,
        first_s,
        different,
        {"MB at most, first time": first_mb, "MB at most, again": again_mb},
    )


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    before = os.environ.get("CTRH_CACHE")
    os.environ["CTRH_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["CTRH_CACHE"]
        if before is not None:
            os.environ["CTRH_CACHE"] = before


def write(root: Path, photos: int, concepts: int, tags: int) -> None:
    """Made-up text files in the official layout; no pictures."""
    generator = np.random.default_rng(0)
    concept_names = [f"concept{number}" for number in range(concepts)]
    tag_names = [f"tag{number}" for number in range(tags)]
    # NUS-WIDE's photos have about 19 tags, most of them outside the list.
    words = np.array([*tag_names, *(f"rare{number}" for number in range(7 * tags))])
    drawn = generator.zipf(1.3, (photos, 19)) % len(words)
    files = {
        "ConceptsList/Concepts81.txt": concept_names,
        "NUS_WID_Tags/Final_Tag_List.txt": tag_names,
        "NUS_WID_Tags/TagList1k.txt": tag_names[: tags // 5],
        "ImageList/Imagelist.txt": [f"word{n % 704}\\{n:06}_{2**31 + n}.jpg" for n in range(photos)],
        "NUS_WID_Tags/All_Tags.txt": [
            f"{2**31 + n}      {' '.join(words[row])} " for n, row in enumerate(drawn)
        ],
    }
    for place, concept in enumerate(concept_names):
        positive = generator.random(photos) < 0.3 / (place + 1)
        files[f"Groundtruth/AllLabels/Labels_{concept}.txt"] = np.where(positive, "1", "0").tolist()
    for name, lines in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\r\n".join(lines) + "\r\n")
