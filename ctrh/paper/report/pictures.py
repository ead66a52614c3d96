"""Pictures as text inside the page: vectors as they are where they are small, pixels in a compact format."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

# A drawing with more lines than this is larger than its pixels.
MOST_SVG = 120_000


@dataclass(frozen=True)
class Embedded:
    """``uri``: the whole picture; ``drawing``: lines on white, which may be inverted where the page is dark."""

    uri: str
    width: int
    height: int
    drawing: bool


def embedded(svg: Path, png: Path) -> Embedded:
    """The figure of which ``svg`` and ``png`` are the two forms, in the one that suits a page.

    The sizes are those of the PNG: an SVG's are in points. Raises ``OSError`` for a PNG that cannot be read.
    """
    with Image.open(png, formats=("PNG",)) as picture:
        width, height = picture.size
        text = svg.read_bytes() if svg.exists() else b""
        drawing = bool(text) and b"<image" not in text
        if drawing and len(text) <= MOST_SVG:
            return Embedded(f"data:image/svg+xml;base64,{_base64(text)}", width, height, drawing)
        return Embedded(f"data:image/webp;base64,{_webp(picture, 82)}", width, height, drawing)


def thumbnail(picture: Image.Image, side: int, quality: int = 45) -> str:
    """The middle square of ``picture`` in at most ``side`` pixels, as WebP in base64."""
    side = min(side, *picture.size)
    return _webp(ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS), quality)


def _webp(picture: Image.Image, quality: int) -> str:
    content = io.BytesIO()
    picture.convert("RGB").save(content, "WEBP", quality=quality, method=4)
    return _base64(content.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
