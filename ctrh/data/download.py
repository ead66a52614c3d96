"""Downloads that can be cut off at any time: resumed where they were, checked, and put in place whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctrh.progress import progress

BLOCK = 1 << 20
# Of a cut connection; one that brought something new does not count.
TRIES, PAUSE, TIMEOUT = 3, 1.0, 30.0


class DownloadError(ValueError):
    """A file that could not be had; the message says from where, why, and what to do."""


def download(urls: Sequence[str], target: Path, size: int | None = None, md5: str | None = None) -> None:
    """The file ``target`` from the first of ``urls`` (http or https) that has it; nothing to do when it is there.

    What has come stays beside it as ``<target>.part`` when the connection is lost, and the next call goes on from there,
    from any of the ``urls``, if the server can. Raises `DownloadError` when none of them has the file with the expected
    ``size`` and ``md5`` (what is wrong is removed), ``OSError`` for a full disk (what has come is removed, too).
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(target.parent).free
    if size is not None and free < size - have:
        raise OSError(
            errno.ENOSPC, f"{target.name} needs {_mb(size - have)}, {_mb(free)} are free", str(target.parent)
        )
    failures = []
    for url in urls:
        try:
            _fetch(url, part, size)
            _check(part, size, md5)
            part.replace(target)
            return
        except (OSError, http.client.HTTPException, DownloadError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                part.unlink(missing_ok=True)
                raise OSError(errno.ENOSPC, error.strerror, str(target)) from error
            failures.append(f"{url}: {error}")
    raise DownloadError(
        f"{target.name} could not be downloaded ({'; '.join(failures)}): try again, it goes on where it was, name another "
        f"place with --mirror URL, or put the file into {target.parent} yourself"
    )


def _fetch(url: str, part: Path, size: int | None) -> None:
    """Brings ``part`` to its full length. Raises what urllib raises when the connection breaks too often."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("only http and https are understood")
    left = TRIES
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            if _go_on(url, part, have, size):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
            reason: Exception = error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            reason = error
        else:
            reason = DownloadError("the connection was cut")
        left = TRIES if part.exists() and part.stat().st_size > have else left - 1
        if not left:
            raise reason
        time.sleep(PAUSE)


def _go_on(url: str, part: Path, have: int, size: int | None) -> bool:
    """One connection: appends what is missing of ``part``, or begins anew; whether it has all of the file."""
    if have and have == size:
        return True
    headers = {"User-Agent": "ctrh", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing beyond: it was whole already, or is of another file, which the checks will tell.
            return True
        raise
    with answer:
        begin, whole = _range(answer, have)
        if size is not None and whole is not None and whole != size:
            raise DownloadError(f"has {whole:,} bytes there, expected {size:,}: another file")
        with open(part, "r+b" if begin else "wb") as file:
            file.seek(begin)
            file.truncate()
            total = None if whole is None else -(-(whole - begin) // BLOCK)
            for block in progress(_blocks(answer), f"{part.stem}, MB", total):
                file.write(block)
            return whole is None or file.tell() == whole


def _range(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the answer begins in the file, and how long the file is, if the server says so."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise DownloadError("the server sends another part than it was asked for")
        return have, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block


def _check(part: Path, size: int | None, md5: str | None) -> None:
    got = part.stat().st_size
    if size is not None and got != size:
        part.unlink()
        raise DownloadError(f"{got:,} bytes came, expected {size:,}")
    if md5 is None:
        return
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5.lower():
        part.unlink()
        raise DownloadError(f"MD5 is {found}, expected {md5.lower()}: damaged, or another file")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
