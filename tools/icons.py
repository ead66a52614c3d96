"""Things drawn by other artists than those of the data sets, for pre-training.

They come from icon sets of the npm registry, as ``npm pack @iconify-json/NAME`` writes them into a folder, and are
rendered by resvg (``pip install resvg_py``). Licences: noto and fxemoji Apache 2.0, fluent-emoji and its
flat variant MIT, twemoji and emojione (version 2) CC BY 4.0. No glyph of OpenMoji is among them; only the words are
shared with the data sets: which things there are, what they are called, and which words stand above them.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import emoji
import numpy as np
from PIL import Image

from ctrh.data.scenes.world import KIND_OF_GLYPH

ARTISTS = ("noto", "twemoji", "fluent-emoji-flat", "fluent-emoji", "emojione", "fxemoji")
SIDE = 72  # pixels of a drawing, before it is scaled into pictures


def _slugs(glyph: str) -> list[str]:
    """How icon sets may call a glyph: "dog-face", "dogface"."""
    data = emoji.EMOJI_DATA.get(glyph) or emoji.EMOJI_DATA[glyph + "\ufe0f"]
    found = [data["en"], *data.get("alias", ())]
    plain = [name.strip(":").lower().replace("_", "-").replace("’", "").replace("'", "") for name in found]
    return [variant for name in plain for variant in (name, name.replace("-", ""))]


def render(folder: Path) -> np.ndarray:
    """All sets' drawings of all glyphs as (artists, glyphs, SIDE, SIDE, 4) uint8; where an artist has none: all 0."""
    import resvg_py

    pictures = np.zeros((len(ARTISTS), len(KIND_OF_GLYPH), SIDE, SIDE, 4), dtype=np.uint8)
    for a, artist in enumerate(ARTISTS):
        # @iconify-json/fluent-emoji-2.0.tgz and not fluent-emoji-flat's.
        (archive,) = folder.glob(f"iconify-json-{artist}-[0-9]*.tgz")
        with tarfile.open(archive) as package:
            icons = json.load(package.extractfile("package/icons.json"))
            has_codes = "package/chars.json" in package.getnames()
            by_code = json.load(package.extractfile("package/chars.json")) if has_codes else {}
        for g, glyph in enumerate(KIND_OF_GLYPH):
            code = f"{ord(glyph):x}"
            names = [by_code[c] for c in (code, code + "-fe0f") if c in by_code] + _slugs(glyph)
            name = next((n for n in names if n in icons["icons"]), None)
            if name is None:
                continue
            icon = icons["icons"][name]
            left, top = icon.get("left", 0), icon.get("top", 0)
            width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
            svg = (
                '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
            )
            try:
                png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * SIDE, skip_system_fonts=True))
            except ValueError:
                continue
            image = Image.open(io.BytesIO(png)).convert("RGBA")
            box = image.getbbox()
            if box is None:
                continue
            image = image.crop(box)
            side = max(image.size)
            square = Image.new("RGBA", (side, side))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            pictures[a, g] = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return pictures
