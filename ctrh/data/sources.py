"""Where the public data sets come from, and how far this program can get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ctrh.data.download import download
from ctrh.data.tables import FolderError
from ctrh.data.unpack import SUFFIXES, DamagedArchive, check_archive, unpack, unpacking


@dataclass(frozen=True)
class Archive:
    """An archive and where its files go. ``proof``: a file below ``folder`` that tells that they are there.

    ``urls``: where it can be downloaded; none: ``ask`` says how it is had. ``md5`` where its authors publish it; zip files
    check themselves besides.
    """

    name: str
    folder: str
    proof: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    md5: str | None = None
    ask: str = ""

    def present(self, root: Path) -> bool:
        folder = root / self.folder
        return (folder / self.proof).exists() and not unpacking(folder).exists()

    def found(self, root: Path) -> Path | None:
        """The archive itself, if it lies in ``root``, packed in one way or another."""
        stem = self.name.removesuffix(".zip")
        return next((path for suffix in SUFFIXES if (path := root / f"{stem}{suffix}").is_file()), None)


LIACS = "https://press.liacs.nl/mirflickr/mirflickr25k.v3b"
NUS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide"

MIRFLICKR = (
    Archive(
        "mirflickr25k.zip",
        "mirflickr",
        "doc/common_tags.txt",
        (f"{LIACS}/mirflickr25k.zip",),
        size=3_069_184_257,
        md5="a23d0a8564ee84cda5622a6c2f947785",
    ),
    Archive(
        "mirflickr25k_annotations_v080.zip",
        "mirflickr25k_annotations_v080",
        "tree_r1.txt",
        (f"{LIACS}/mirflickr25k_annotations_v080.zip",),
    ),
)
NUSWIDE = (
    Archive("ImageList.zip", "ImageList", "Imagelist.txt", (f"{NUS}/ImageList.zip",)),
    Archive("ConceptsList.zip", "ConceptsList", "Concepts81.txt", (f"{NUS}/ConceptsList.zip",)),
    Archive("Groundtruth.zip", "Groundtruth", "AllLabels/Labels_zebra.txt", (f"{NUS}/Groundtruth.zip",)),
    Archive("NUS_WID_Tags.zip", "NUS_WID_Tags", "All_Tags.txt", (f"{NUS}/NUS_WID_Tags.zip",)),
    Archive(
        "Flickr.zip",
        "Flickr",
        "",
        ask="the pictures are given on request alone: fill in the form on the NUS-WIDE page of the National University of "
        "Singapore (lms.comp.nus.edu.sg, NUS-WIDE), and put them there as Flickr/actor/0001_2124494179.jpg ...",
    ),
)


def prepare(archives: Sequence[Archive], root: Path, fetch: bool, mirrors: Sequence[str] = ()) -> list[str]:
    """Unpacks, and with ``fetch`` downloads, what is not below ``root`` yet; what it did, a line each.

    ``mirrors``: addresses of folders that have the archives, asked before the official ones. Raises `FolderError` that
    says of each archive that is still missing what to fetch and where to put it.
    """
    done, missing = [], []
    for archive in archives:
        if archive.present(root):
            continue
        packed = archive.found(root)
        urls = (*(f"{mirror.rstrip('/')}/{archive.name}" for mirror in mirrors), *archive.urls)
        get = partial(_download, archive, urls, root, done) if fetch and urls else None
        if packed is None and get:
            packed = get()
        if packed is None:
            missing.append(_wanted(archive, root))
            continue
        try:
            files = unpack(packed, root / archive.folder)
        except DamagedArchive:
            if not get:
                raise
            packed.unlink()
            packed = get()
            files = unpack(packed, root / archive.folder)
        if not archive.present(root):
            missing.append(
                f"{packed} has no {archive.folder}/{archive.proof}: it is another archive; remove it"
            )
        done.append(f"unpacked {files:,} files of {packed} (which may be removed now)")
    if missing:
        # Said all at once: fetching gigabytes is planned once.
        raise FolderError(
            f"{root} is not complete. " + " ".join(f"({n}) {text}." for n, text in enumerate(missing, 1))
        )
    return done


def _download(archive: Archive, urls: Sequence[str], root: Path, done: list[str]) -> Path:
    packed = root / archive.name
    download(urls, packed, archive.size, archive.md5, partial(check_archive, name=archive.name))
    done.append(f"downloaded {packed}")
    return packed


def _wanted(archive: Archive, root: Path) -> str:
    if not archive.urls:
        return f"{root / archive.folder}: {archive.ask}; or put {archive.name} (or .tar, .tar.gz) into {root}"
    size = f" ({archive.size / 1e9:.1f} GB)" if archive.size else ""
    return (
        f"{archive.name}{size}: add --download to get it from {archive.urls[0]}, or fetch it in any other way and put it "
        f"into {root}"
    )
