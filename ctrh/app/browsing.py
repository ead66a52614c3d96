"""A page to look through a model's photos with, for this machine alone: it reads and shows, and changes nothing."""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from ctrh.app.photo_search import PhotoSearch
from ctrh.data.images import BadImageError, open_image

SHOWN, THUMBNAIL, LARGE = 60, 320, 1600
UPLOAD = 100_000_000  # bytes
SAFE = {
    "Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
}


class Server(ThreadingHTTPServer):
    """Answers on 127.0.0.1 to whoever knows the random token in ``address``.

    ``before``, ``after``: tags of the photos by name, as users gave them and as the model learned them.
    """

    daemon_threads = True

    def __init__(
        self, found: PhotoSearch, before: Mapping[str, str], after: Mapping[str, str], port: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.found, self.before, self.after = found, before, after
        self.token, self.one_search = secrets.token_urlsafe(16), threading.Lock()
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        self.address = f"http://127.0.0.1:{self.server_port}/?token={self.token}"

    def results(self, query: Mapping[str, str], picture: bytes | None) -> dict[str, Any]:
        found = self.found
        with self.one_search:
            if picture is not None:
                hits = found.search(open_image(io.BytesIO(picture), "the picture"), SHOWN)
            elif "photo" in query:
                hits = found.search_code(found.index.codes[[self.row(query["photo"])]], SHOWN)
            else:
                hits = found.search_text(query.get("text", ""), SHOWN)
        row_of = {name: row for row, name in enumerate(found.names)}
        return {"photos": [self.about(row_of[name], value, chance) for name, value, chance in hits]}

    def about(self, row: int, value: float = 0, chance: bool = False) -> dict[str, Any]:
        name = self.found.names[row]
        tags = {"before": self.before.get(name, ""), "after": self.after.get(name, "")}
        return {"row": row, "name": name, "value": round(value, 3), "chance": chance, **tags}

    def row(self, text: str) -> int:
        if not text.isdecimal() or int(text) >= len(self.found.names):
            raise ValueError(f"there is no photo {text}")
        return int(text)

    def photo(self, row: int, size: int) -> bytes:
        """As JPEG made anew: no file leaves as it is, with where it was taken in it."""
        picture = open_image(self.found.folder / self.found.names[row], self.found.names[row])
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        self.answer(self.headers.get("Content-Length", ""))

    def answer(self, length: str | None) -> None:
        """``length``: of the picture that was sent, None where none was."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        # By its Host, a page elsewhere whose name was made to point here is known.
        if self.headers.get("Host") not in self.server.hosts or not secrets.compare_digest(
            query.get("token", "").encode(), self.server.token.encode()
        ):
            return self.send(HTTPStatus.FORBIDDEN, {"error": "open the address that ctrh browse has printed"})
        if length is not None and not (length.isdecimal() and int(length) <= UPLOAD):
            return self.send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "the picture is too large"})
        try:
            if url.path == "/":
                self.send(HTTPStatus.OK, Path(__file__).with_name("browse.html").read_bytes(), "text/html; charset=utf-8")
            elif url.path == "/photo":
                size = LARGE if "large" in query else THUMBNAIL
                self.send(HTTPStatus.OK, self.server.photo(self.server.row(query.get("row", "")), size), "image/jpeg")
            elif url.path == "/about":
                found = self.server.found
                some = [self.server.about(row) for row in range(min(SHOWN, len(found.names)))]
                self.send(HTTPStatus.OK, {"count": len(found.names), "words": found.chance is not None, "photos": some})
            elif url.path == "/search":
                self.send(HTTPStatus.OK, self.server.results(query, None if length is None else self.rfile.read(int(length))))
            else:
                self.send(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})
        except (BadImageError, ValueError) as error:
            self.send(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def send(self, status: HTTPStatus, content: bytes | dict[str, Any], kind: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**SAFE, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing: who waits at the terminal looks at the page."""
