"""Pictures as text inside the page: vectors as they are where they are small, pixels in a compact format."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageOps

MOST_SVG = 40_000  # bytes; a drawing of more is larger than its pixels


def embedded(png: Path) -> dict:
    """A figure out of its PNG or, where that is smaller, the SVG beside it; ``drawing``: is it lines on white?
    Raises ``OSError`` for a PNG that cannot be read."""
    svg = png.with_suffix(".svg")
    text = svg.read_bytes() if svg.exists() else b""
    drawing = bool(text) and b"<image" not in text
    with Image.open(png, formats=("PNG",)) as picture:
        if drawing and len(text) <= MOST_SVG:
            uri = f"data:image/svg+xml;base64,{base64.b64encode(text).decode()}"
        else:
            # Photos are smaller with loss, lines on white without.
            lines = _webp(picture.convert("RGB").quantize(32), 60, lossless=True)
            uri = f"data:image/webp;base64,{min(_webp(picture, 45), lines, key=len)}"
        return {"uri": uri, "width": picture.width, "height": picture.height, "drawing": drawing}


def thumbnail(picture: Image.Image, side: int) -> str:
    """The middle square of ``picture`` in at most ``side`` pixels, as WebP in base64."""
    side = min(side, *picture.size)
    return _webp(ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS), 28)


def _webp(picture: Image.Image, quality: int, lossless: bool = False) -> str:
    content = io.BytesIO()
    picture.convert("RGB").save(content, "WEBP", quality=quality, lossless=lossless, method=3)
    return base64.b64encode(content.getvalue()).decode()
