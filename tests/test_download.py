"""Downloads from a server that cuts connections, forgets about parts, and sends something else."""

import contextlib
import errno
import hashlib
import random
import time

import pytest
from web import serve

from ctrh.data import download as module
from ctrh.data.download import DownloadError, download

DATA = random.Random(0).randbytes(50_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "BLOCK", 1000)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as site:
        site.files["/data.zip"] = DATA
        yield site


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "data.zip"


def whole(target):
    """Whether the file is there and nothing beside it."""
    return target.read_bytes() == DATA and [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("lengths", [True, False])
def test_plain(site, target, lengths):
    site.lengths = lengths
    download([f"{site.url}/data.zip"], target, len(DATA), MD5.upper())
    assert whole(target)
    download([f"{site.url}/data.zip"], target, len(DATA), MD5)
    assert len(site.asked) == 1


def test_cut_connections_are_gone_on_with(site, target):
    site.cuts = [20_000, 15_000, 0, 5_000]
    download([f"{site.url}/data.zip"], target, md5=MD5)
    assert whole(target)
    assert [asked for _, asked in site.asked] == [None, "bytes=20000-", *["bytes=35000-"] * 2, "bytes=40000-"]


def test_a_server_without_parts_sends_everything_again(site, target):
    site.ranges, site.cuts = False, [20_000]
    download([f"{site.url}/data.zip"], target, len(DATA), MD5)
    assert whole(target) and site.asked[1] == ("/data.zip", "bytes=20000-")


def test_what_came_is_kept_for_the_next_call(site, target):
    site.cuts = [30_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"cut.*try again, it goes on where it was.*--mirror"):
        download([f"{site.url}/data.zip"], target, len(DATA), MD5)
    assert not target.exists() and target.with_name("data.zip.part").stat().st_size == 30_000
    download([f"{site.url}/data.zip"], target, len(DATA), MD5)
    assert whole(target) and site.asked[-1][1] == "bytes=30000-"


def test_mirrors_are_asked_in_turn_and_share_what_came(site, target):
    site.files["/mirror/data.zip"] = DATA
    site.cuts = [10_000, 0, 0, 0]
    download(
        [f"{site.url}/data.zip", f"{site.url}/none", f"{site.url}/mirror/data.zip"], target, len(DATA), MD5
    )
    assert whole(target) and site.asked[-1] == ("/mirror/data.zip", "bytes=10000-")


def test_a_passing_server_error_is_waited_out(site, target):
    site.errors = [503, 500]
    download([f"{site.url}/data.zip"], target)
    assert whole(target)


def test_wrong_checksum_leaves_nothing_and_the_next_place_is_asked(site, target):
    site.files["/bad/data.zip"] = DATA[:-1] + b"?"
    with pytest.raises(DownloadError, match=f"MD5 is .*, expected {MD5}"):
        download([f"{site.url}/bad/data.zip"], target, len(DATA), MD5)
    assert list(target.parent.iterdir()) == []
    download([f"{site.url}/bad/data.zip", f"{site.url}/data.zip"], target, len(DATA), MD5)
    assert whole(target)


def test_another_length_is_noticed_before_it_is_fetched(site, target):
    with pytest.raises(DownloadError, match="has 50,000 bytes there, expected 60,000: another file"):
        download([f"{site.url}/data.zip"], target, 60_000)
    site.lengths = False
    with pytest.raises(DownloadError, match="50,000 bytes came, expected 60,000"):
        download([f"{site.url}/data.zip"], target, 60_000)
    assert list(target.parent.iterdir()) == []


def test_a_longer_leftover_of_another_file_is_thrown_away(site, target):
    target.parent.mkdir()
    target.with_name("data.zip.part").write_bytes(bytes(60_000))
    with pytest.raises(DownloadError, match="MD5"):
        download([f"{site.url}/data.zip"], target, md5=MD5)
    download([f"{site.url}/data.zip"], target, md5=MD5)
    assert whole(target)


def test_nothing_there_and_no_server(site, target):
    with pytest.raises(DownloadError, match="404"):
        download([f"{site.url}/none"], target)
    with pytest.raises(DownloadError, match="refused"):
        download(["http://127.0.0.1:9/data.zip"], target)
    with pytest.raises(DownloadError, match="only http and https"):
        download([f"file://{__file__}"], target)
    assert not list(target.parent.iterdir())


def test_a_full_disk_is_told_and_freed(site, target, monkeypatch):
    def full(answer):
        yield DATA[:3000]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_blocks", full)
    with pytest.raises(OSError, match="No space left") as caught:
        download([f"{site.url}/data.zip"], target)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(target)
    assert list(target.parent.iterdir()) == []


def test_too_small_a_disk_is_told_before(site, target):
    with pytest.raises(OSError, match="are free") as caught:
        download([f"{site.url}/data.zip"], target, 10**18)
    assert caught.value.errno == errno.ENOSPC and site.asked == []


def answering(code, headers, body=b"", endless=False):
    def answer(request):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(OSError):  # the client has hung up
            while True:
                request.wfile.write(body)
                if not endless:
                    return

    return answer


ODD = {
    "endless": answering(200, {}, bytes(5000), endless=True),
    "empty": answering(200, {"Content-Length": 0}),
    "page": answering(200, {"Content-Type": "text/html"}, b"<html>Sign in</html>"),
    "lengths": answering(200, {"Content-Length": "9" * 5000}, b"x"),
    "negative": answering(200, {"Content-Length": "-5"}, b"x"),
    "word": answering(200, {"Content-Length": "many"}, b"x"),
    "ftp": answering(302, {"Location": "ftp://127.0.0.1:9/data.zip"}),
    "file": answering(302, {"Location": f"file://{__file__}"}),
    "address": answering(302, {"Location": "http://[::1/data.zip"}),
    "port": answering(302, {"Location": "http://127.0.0.1:nine/data.zip"}),
    "loop": answering(302, {"Location": "/loop"}),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_archive_is_refused_and_the_next_mirror_asked(site, target, monkeypatch, kind):
    monkeypatch.setattr(module, "UNANNOUNCED", 100_000)
    site.odd[f"/{kind}"] = ODD[kind]

    def check(part):
        if part.read_bytes() != DATA:
            raise ValueError("no archive")

    with pytest.raises(DownloadError, match=f"/{kind}: "):
        download([f"{site.url}/{kind}"], target, check=check)
    assert not target.exists()
    download([f"{site.url}/{kind}", f"{site.url}/data.zip"], target, check=check)
    assert whole(target)


@pytest.mark.parametrize("stated", ["bytes 10-49999/50000", f"bytes 10-{'9' * 5000}/*", "bytes */50000", "10"])
def test_parts_that_are_too_much_or_malformed(site, target, stated):
    target.parent.mkdir()
    target.with_name("data.zip.part").write_bytes(DATA[:10])
    site.odd["/part"] = answering(206, {"Content-Range": stated}, DATA)
    with pytest.raises(DownloadError, match="more than 50,000 bytes|another part"):
        download([f"{site.url}/part"], target, len(DATA))
    assert not target.exists()


def test_a_file_that_has_changed_is_not_gone_on_with(site, target):
    site.version, site.cuts = '"1"', [20_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        download([f"{site.url}/data.zip"], target)
    site.version, site.files["/data.zip"] = '"2"', DATA[::-1]
    download([f"{site.url}/data.zip"], target)
    assert target.read_bytes() == DATA[::-1] and [path.name for path in target.parent.iterdir()] == ["data.zip"]


def test_a_trickle_is_given_up(site, target, monkeypatch):
    monkeypatch.setattr(module, "STALL", 0.2)

    def trickle(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            for byte in DATA:
                request.wfile.write(bytes([byte]))
                time.sleep(0.01)

    site.odd["/slow"] = trickle
    download([f"{site.url}/slow", f"{site.url}/data.zip"], target, md5=MD5)
    assert whole(target)
