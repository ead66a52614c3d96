"""Small trees in the exact layouts of MIRFLICKR-25K and NUS-WIDE, with the quirks of the official files, and faults.

Each writer returns what it wrote as plain Python, to compare a reader with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

MIR_CONCEPTS = (
    "animals baby bird car clouds dog female flower food indoor lake male night people plant_life portrait "
    "river sea sky structures sunset transport tree water"
).split()
MIR_STRICT = "baby bird car clouds dog female flower male night people portrait river sea tree".split()
NUS_CONCEPTS = (
    "airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer "
    "coral cow dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor "
    "horses house lake leaf map military moon mountain nighttime ocean person plane plants police protest "
    "railroad rainbow reflection road rocks running sand sign sky snow soccer sports statue street sun sunset "
    "surf swimmers tattoo temple tiger tower town toy train tree valley vehicle water waterfall wedding whales "
    "window zebra"
).split()
NOISE = ["explore", "nikon", "2008", "geotagged", "aplusphoto", "dsc0012", "blueribbonwinner"]
# Composed and not, Chinese, punctuation, a number, upper case: people write anything.
ODD = ["möwe", "cafe\u0301", "花", "rock'n'roll", "c++", "1", "NYC"]


@dataclass
class Written:
    """Tags and labels of each photo by the name of its picture, in the order of the data set."""

    tags: dict[str, set[str]] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)


def picture(path: Path, seed: int, hues: set[int], size: tuple[int, int] = (120, 90)) -> None:
    """A JPEG of coloured discs, one colour for each of ``hues``, on noise: no two alike, and they can be told apart."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(60, 196, (size[1], size[0], 3)).astype(np.uint8)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    for hue in sorted(hues):
        y, x = generator.integers(size[1]), generator.integers(size[0])
        colour = np.random.default_rng(1000 + hue).integers(0, 256, 3)
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < (size[0] // 7) ** 2] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=60)


def write(path: Path, lines: list[str], end: str = "\n", last: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + (end if last else "")).encode())


def _mentioned(generator: np.random.Generator, shown: list[str], words: list[str]) -> list[str]:
    """Most of what is shown, up to three words that are wrong, and up to four that say nothing."""
    right = [name for name in shown if generator.random() < 0.8]
    wrong = generator.choice(words, generator.integers(0, 4), replace=False).tolist()
    empty = generator.choice(NOISE, generator.integers(1, 5), replace=False).tolist()
    return list(dict.fromkeys([*right, *wrong, *empty]))


def write_mirflickr(
    folder: Path, photos: int = 40, seed: int = 0, words: int = 24, size: tuple[int, int] = (120, 90)
) -> Written:
    """im1.jpg ... below ``folder``/mirflickr; im3 has no tag, im4 a common tag alone, im6 no label.

    ``words``: how many of the concepts photos show and are tagged with.
    """
    generator = np.random.default_rng(seed)
    written = Written()
    common = [*MIR_CONCEPTS, *NOISE[:4]]
    members: dict[str, list[int]] = {name: [] for name in MIR_CONCEPTS}
    strict: dict[str, list[int]] = {name: [] for name in MIR_STRICT}
    for number in range(1, photos + 1):
        mine = {int(index) for index in generator.choice(words, generator.integers(1, 4), replace=False)}
        mine.add(number % words)
        names = [MIR_CONCEPTS[index] for index in sorted(mine)]
        tags = [*_mentioned(generator, names, MIR_CONCEPTS[:words]), ODD[number % len(ODD)]]
        tags = {3: [], 4: ["explore"]}.get(number, tags)
        names = [] if number == 6 else names
        for name in names:
            members[name].append(number)
            if name in strict and (number % 2 or not strict[name]):
                strict[name].append(number)
        root = folder / "mirflickr"
        picture(root / f"im{number}.jpg", 100 * seed + number, mine, size)
        # Line ends of both kinds, blank lines, a last line without an end.
        lines = [*tags[:1], *([""] if number % 4 == 1 else []), *tags[1:]]
        end = "\r\n" if number % 3 else "\n"
        write(root / "meta" / "tags" / f"tags{number}.txt", lines, end, last=number % 5 > 0 and bool(lines))
        write(root / "meta" / "tags_raw" / f"tags{number}.txt", [tag.upper() for tag in tags])
        written.tags[f"im{number}.jpg"] = {"café" if tag == "cafe\u0301" else tag.lower() for tag in tags}
        written.labels[f"im{number}.jpg"] = set(names) | {
            f"{name}_r1" for name in names if number in strict.get(name, ())
        }
    counts = {tag: sum(tag in tags for tags in written.tags.values()) for tag in common}
    write(folder / "mirflickr" / "doc" / "common_tags.txt", [f"{tag} {n}" for tag, n in counts.items() if n])
    annotations = folder / "mirflickr25k_annotations_v080"
    for place, (name, numbers) in enumerate(
        [*members.items(), *((f"{n}_r1", numbers) for n, numbers in strict.items())]
    ):
        write(annotations / f"{name}.txt", [str(number) for number in numbers], "\r\n" if place % 2 else "\n")
    write(annotations / "README.txt", ["MIRFLICKR-25000 annotations v0.80", "not a concept"])
    return written


def break_mirflickr(folder: Path) -> None:
    """im7 is missing, im9 cut off, tags5 in Latin-1, tags11 missing, dog.txt has a word and a photo that is not there."""
    root = folder / "mirflickr"
    (root / "im7.jpg").unlink()
    (root / "im9.jpg").write_bytes((root / "im9.jpg").read_bytes()[:2000])
    (root / "meta" / "tags" / "tags5.txt").write_bytes("explore\r\nmöwe\r\n".encode("latin-1"))
    (root / "meta" / "tags" / "tags11.txt").unlink()
    with open(folder / "mirflickr25k_annotations_v080" / "dog.txt", "ab") as file:
        file.write(b"many\r\n99999\r\n")
    write(folder / "mirflickr25k_annotations_v080" / "dog_r2.txt", ["1"])


def write_nuswide(
    folder: Path, photos: int = 48, seed: int = 0, words: int = 81, size: tuple[int, int] = (120, 90)
) -> Written:
    """The text files, and the pictures in folders named by the concept that they were searched by.

    The first ten concepts of ``NUS_CONCEPTS`` are much more frequent than the rest. Photo 3 has no tag, photo 4 only one
    outside the 1,000, photo 5 no concept of the first ten; photos 8 and 9 are one photo listed under two names.
    ``words``: how many of the concepts are in the lists of tags.
    """
    generator = np.random.default_rng(seed + 77)
    written = Written()
    lines, members = [], {name: [] for name in NUS_CONCEPTS}
    listed = []
    for number in range(1, photos + 1):
        mine = {int(index) for index in generator.choice(10, generator.integers(1, 4), replace=False)}
        if number % 6 == 5:
            mine.add(10 + (number * 7) % 71)
        mine = {40} if number == 5 else mine
        concepts = [NUS_CONCEPTS[index] for index in sorted(mine)]
        tags = [*_mentioned(generator, concepts, NUS_CONCEPTS[:10]), ODD[number % len(ODD)], "notinthelist"]
        tags = {3: [], 4: ["geotagged"]}.get(number, tags)
        identity = 2124494100 + (8 if number == 9 else number)
        name = f"{concepts[0]}/{number:04}_{identity}.jpg"
        picture(folder / "Flickr" / name, 5000 + 100 * seed + number, mine, size)
        listed.append(name)
        lines.append(f"{identity}      {' '.join(tags)}")
        for concept in concepts:
            members[concept].append(number)
        written.tags[name] = {tag.lower() for tag in tags}
        written.labels[name] = set(concepts)
    write(folder / "ImageList" / "Imagelist.txt", [name.replace("/", "\\") for name in listed], "\r\n")
    write(folder / "NUS_WID_Tags" / "All_Tags.txt", lines)
    tag_list = [*NUS_CONCEPTS[:words], *NOISE, "möwe", "花", "nyc"]
    common = [*NUS_CONCEPTS[: min(words, 30)], "explore", "nikon"]
    write(folder / "NUS_WID_Tags" / "Final_Tag_List.txt", tag_list, "\r\n")
    write(folder / "NUS_WID_Tags" / "TagList1k.txt", common, "\r\n")
    write(folder / "ConceptsList" / "Concepts81.txt", NUS_CONCEPTS, "\r\n")
    for place, (concept, numbers) in enumerate(members.items()):
        values = ["1" if number in numbers else "0" for number in range(1, photos + 1)]
        path = folder / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt"
        write(
            path,
            [f"{value} " for value in values] if place % 3 == 0 else values,
            "\r\n" if place % 2 else "\n",
        )
    return written


def break_nuswide(folder: Path) -> None:
    """A picture is missing, one is a web page, All_Tags.txt has a Latin-1 line, a blank one and a stranger."""
    pictures = sorted((folder / "Flickr").rglob("*.jpg"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"<html>404</html>")
    path = folder / "NUS_WID_Tags" / "All_Tags.txt"
    lines = path.read_bytes().split(b"\n")
    lines[9] = lines[9].split()[0] + " explore möwe".encode("latin-1")
    path.write_bytes(b"\n".join([lines[0], b"  ", *lines[1:-1], b"99 stranger", b""]))
