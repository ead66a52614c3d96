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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ctrh.progress import progress

BLOCK = 1 << 20
# Of a cut connection; one that brought a block does not count.
TRIES, PAUSE, TIMEOUT = 3, 1.0, 30.0
# Seconds for a block: a server that takes longer holds on to us for nothing.
STALL = 600.0
# A body whose length nobody has announced may be endless.
UNANNOUNCED = 4 << 30


class DownloadError(ValueError):
    """A file that could not be had; the message says from where, why, and what to do."""


def download(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    md5: str | None = None,
    check: Callable[[Path], object] = lambda part: None,
) -> None:
    """The file ``target`` from the first of ``urls`` (http or https) that has it; nothing to do when it is there.

    ``check`` looks at the file before it gets its name, and raises ``ValueError`` for one of something else.

    What has come stays beside it as ``<target>.part`` when the connection is lost, and the next call goes on from there,
    from any of the ``urls``, if the server can, unless it says that the file has changed. Raises `DownloadError` when none of them has the file with the expected
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
            _check(part, size, md5, check)
            part.replace(target)
            _origin(part).unlink(missing_ok=True)
            return
        # ValueError: what urllib makes of a malformed address that a server redirects to.
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                _remove(part)
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
        left = TRIES if part.exists() and part.stat().st_size > have + BLOCK else left - 1
        if not left:
            raise reason
        time.sleep(PAUSE)


def _go_on(url: str, part: Path, have: int, size: int | None) -> bool:
    """One connection: appends what is missing of ``part``, or begins anew; whether it has all of the file."""
    if have and have == size:
        return True
    headers = {"User-Agent": "ctrh"}
    if have:
        headers["Range"] = f"bytes={have}-"
        known, _, version = _origin(part).read_text().partition("\n") if _origin(part).exists() else ("", "", "")
        if known == url:
            headers["If-Range"] = version
    try:
        answer = urllib.request.build_opener(_NoFtp).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing beyond: it was whole already, or is of another file, which the checks will tell.
            return True
        raise
    with answer:
        begin, whole = _range(answer, have)
        if size is not None and whole is not None and whole != size:
            raise DownloadError(f"has {whole:,} bytes there, expected {size:,}: another file")
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not begin:
            _origin(part).unlink(missing_ok=True)
            if version and not version.startswith("W/"):  # a weak one does not promise the same bytes
                _origin(part).write_text(f"{url}\n{version}")
        most = next(length for length in (size, whole, UNANNOUNCED) if length is not None)
        with open(part, "r+b" if begin else "wb") as file:
            file.seek(begin)
            file.truncate()
            total = None if whole is None else -(-(whole - begin) // BLOCK)
            for block in progress(_blocks(answer), f"{part.stem}, MB", total):
                if file.tell() + len(block) > most:
                    _remove(part)
                    raise DownloadError(f"sends more than {most:,} bytes: another file")
                file.write(block)
            return whole is None or file.tell() == whole


def _range(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the answer begins in the file, and how long the file is, if the server says so."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", answer.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise DownloadError("the server sends another part than it was asked for")
        return have, None if match[2] == "*" else int(match[2])
    return 0, answer.length


class _NoFtp(urllib.request.FTPHandler):
    """The one other kind of address that urllib would let a server redirect to."""

    def ftp_open(self, _: urllib.request.Request) -> None:
        raise DownloadError("only http and https are understood")


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    block, until = bytearray(), time.monotonic() + STALL
    while piece := answer.read1(BLOCK):  # what is there, so that a trickle is seen
        if time.monotonic() > until:
            raise DownloadError(f"sends less than {BLOCK:,} bytes in {STALL:.0f} seconds")
        block += piece
        if len(block) >= BLOCK:
            yield bytes(block)
            block, until = bytearray(), time.monotonic() + STALL
    yield bytes(block)


def _check(part: Path, size: int | None, md5: str | None, check: Callable[[Path], object]) -> None:
    got = part.stat().st_size
    try:
        if size is not None and got != size:
            raise DownloadError(f"{got:,} bytes came, expected {size:,}")
        if md5 is not None:
            with open(part, "rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != md5.lower():
                raise DownloadError(f"MD5 is {found}, expected {md5.lower()}: damaged, or another file")
        check(part)
    except ValueError:
        _remove(part)
        raise


def _origin(part: Path) -> Path:
    """Holds where ``part`` comes from: the address, and which version of the file the server has called it."""
    return part.with_name(f"{part.name}.from")


def _remove(part: Path) -> None:
    for path in (part, _origin(part)):
        path.unlink(missing_ok=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
