"""How long NUS-WIDE's text files take to read at full size, and how much memory: first and second time.

    python benchmarks/nuswide_index.py [PHOTOS]

Writes made-up files of the official layout and size (269,648 photos, 81 concepts, 5,018 tags; no pictures) to a temporary
folder and reads them in fresh processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

READ = """
import resource, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from ctrh.data.nuswide import read_index
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.perf_counter()
index = read_index(Path(sys.argv[1]))
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{len(index.names):,} photos, {index.tags.nnz:,} tags: {seconds:.1f} s, peak {peak:.0f} MB "
      f"(of which {before:.0f} MB before reading)")
"""


def write(root: Path, photos: int) -> None:
    generator = np.random.default_rng(0)
    concepts = [f"concept{number}" for number in range(81)]
    tags = [f"tag{number}" for number in range(5018)]
    files = {
        "ConceptsList/Concepts81.txt": concepts,
        "NUS_WID_Tags/Final_Tag_List.txt": tags,
        "NUS_WID_Tags/TagList1k.txt": tags[:1000],
        "ImageList/Imagelist.txt": [f"word{n % 704}\\{n:06}_{2**31 + n}.jpg" for n in range(photos)],
    }
    # NUS-WIDE's photos have about 19 tags, most of them outside the list.
    drawn = np.minimum(generator.zipf(1.3, (photos, 19)), 40_000)
    words = np.array([*tags, *(f"rare{number}" for number in range(35_000))])
    files["NUS_WID_Tags/All_Tags.txt"] = [
        f"{2**31 + n}      {' '.join(words[row % len(words)])} " for n, row in enumerate(drawn)
    ]
    for place, concept in enumerate(concepts):
        positive = generator.random(photos) < 0.3 / (place + 1)
        files[f"Groundtruth/AllLabels/Labels_{concept}.txt"] = np.where(positive, "1", "0").tolist()
    for name, lines in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\r\n".join(lines) + "\r\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "data", int(sys.argv[1]) if len(sys.argv) > 1 else 269_648)
        environ = {**os.environ, "CTRH_CACHE": str(root / "cache")}
        for time in ("first time ", "second time"):
            command = [sys.executable, "-c", READ, str(root / "data")]
            print(
                time,
                subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout,
                end="",
            )
