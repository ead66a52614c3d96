"""A web server on this machine that can be told to misbehave."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """``files`` by path. ``cuts``: after how many bytes to cut the next answers; ``ranges``: whether parts can be asked for;
    ``errors``: status codes of the next answers. ``asked``: (path, Range) of every request; ``version``: the ETag;
    ``odd``: by path what answers in place of a file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    url: str = ""
    version: str = ""
    odd: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        if request.path in self.odd:
            self.odd[request.path](request)
            return
        data = self.files.get(request.path)
        code = self.errors.pop(0) if self.errors else 404 if data is None else 200
        if code != 200:
            request.send_error(code)
            return
        begin = 0
        same = request.headers.get("If-Range", self.version) == self.version
        if wanted and self.ranges and same:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        if self.lengths:
            request.send_header("Content-Length", str(len(data) - begin))
        if self.version:
            request.send_header("ETag", self.version)
        request.end_headers()
        request.wfile.write(data[begin:][: self.cuts.pop(0) if self.cuts else None])


@contextlib.contextmanager
def serve() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
