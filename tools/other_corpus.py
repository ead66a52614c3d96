"""The corpus of pre-training: pictures of several things by other artists, composed by other rules than the data sets'."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from tqdm import tqdm

from ctrh.data.scenes.compose import SIZE, Scene, Thing
from ctrh.data.scenes.world import BACKGROUNDS, KIND_OF_GLYPH, KINDS, LOOKS
from tools.landscapes import paint

KIND_LIST, BACKGROUND_LIST, GLYPHS = tuple(KINDS), tuple(BACKGROUNDS), tuple(KIND_OF_GLYPH)


def picture(icons: np.ndarray, seed: int, index: int) -> tuple[np.ndarray, Scene]:
    """The picture (112, 112, 3) uint8 number ``index`` of ``seed``, and what it shows.

    ``icons``: (artists, glyphs, S, S, 4) uint8, all 0 where an artist has no drawing (:func:`tools.icons.render`).
    """
    rng = np.random.default_rng([seed, index, 7])
    background = BACKGROUND_LIST[rng.integers(len(BACKGROUND_LIST))]
    look = LOOKS[rng.integers(len(LOOKS))] if rng.random() < 0.45 else None
    image = Image.fromarray(paint(background, rng).clip(0, 255).astype(np.uint8))
    things: list[Thing] = []
    for _ in range(int(rng.choice(4, p=(0.22, 0.33, 0.28, 0.17))) + 1):
        kind = KIND_LIST[rng.integers(len(KIND_LIST))]
        glyph = KINDS[kind].glyphs[rng.integers(len(KINDS[kind].glyphs))]
        column = GLYPHS.index(glyph)
        artists = [a for a in range(len(icons)) if icons[a, column, :, :, 3].any()]
        if not artists:
            continue
        drawing = Image.fromarray(np.array(icons[artists[rng.integers(len(artists))], column]))
        side = int(np.exp(rng.uniform(math.log(22), math.log(86 if kind == "face" else 66))))
        x, y = _place(rng, things, side)
        angle = float(rng.normal(0, 18))
        if rng.random() < 0.5:
            drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        drawing = _recoloured(drawing, rng)
        wide = side * rng.uniform(0.85, 1.15)
        drawing = drawing.resize((max(8, int(wide)), side), Image.Resampling.BILINEAR)
        drawing = drawing.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        opacity = rng.uniform(0.75, 1.0)
        alpha = drawing.getchannel("A").point(lambda a, o=opacity: int(a * o))
        image.paste(
            drawing.convert("RGB"),
            (int(x * SIZE - drawing.width / 2), int(y * SIZE - drawing.height / 2)),
            alpha,
        )
        things.append(Thing(kind, glyph, (x, y), float(side), angle, False, 0.0, opacity))
    scene = Scene(background, tuple(things), look, 1.0, (seed, index))
    return _finished(image, look, rng, scene)


def _place(rng: np.random.Generator, things: list[Thing], side: int) -> tuple[float, float]:
    margin = 0.35 * side / SIZE
    best, gap = (0.5, 0.5), -9.0
    for _ in range(4):
        x, y = rng.uniform(margin, 1 - margin, 2)
        free = min(
            (math.hypot(x - t.centre[0], y - t.centre[1]) - 0.35 * (side + t.pixels) / SIZE for t in things),
            default=1.0,
        )
        if free > gap:
            best, gap = (float(x), float(y)), free
    return best


def _recoloured(drawing: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A turned hue, other saturation, at times only outlines or greys: artists differ."""
    alpha = drawing.getchannel("A")
    rgb = drawing.convert("RGB")
    if rng.random() < 0.5:
        hsv = np.array(rgb.convert("HSV"))
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.normal(0, 12))) % 256
        hsv[..., 1] = (hsv[..., 1] * rng.uniform(0.5, 1.3)).clip(0, 255)
        rgb = Image.fromarray(hsv, "HSV").convert("RGB")
    if rng.random() < 0.45:  # a dark outline around what is drawn, and around its parts
        edge = np.asarray(alpha.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(0.6)))
        inner = np.asarray(rgb.filter(ImageFilter.FIND_EDGES).convert("L").filter(ImageFilter.MaxFilter(3)))
        pixels, a = np.array(rgb, dtype=float), np.asarray(alpha, dtype=float)[..., None] / 255
        lines = np.clip(inner.astype(float) * rng.uniform(0, 2.0), 0, 255)[..., None] / 255
        pixels = pixels * (1 - lines * a)
        pixels = pixels * a + rng.uniform(0, 40) * (1 - a)
        rgb, alpha = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), Image.fromarray(edge)
    if rng.random() < 0.15:
        rgb = ImageEnhance.Contrast(rgb).enhance(rng.uniform(0.6, 1.6))
    out = rgb.convert("RGBA")
    out.putalpha(alpha)
    return out


def _finished(
    image: Image.Image, look: str | None, rng: np.random.Generator, scene: Scene
) -> tuple[np.ndarray, Scene]:
    if look == "macro":  # a part of the picture, larger: what lies in it moves outwards
        left, top = rng.uniform(0.05, 0.2, 2)
        size = rng.uniform(0.62, 0.8)
        image = image.resize(
            (SIZE, SIZE),
            Image.Resampling.BICUBIC,
            box=tuple(SIZE * v for v in (left, top, left + size, top + size)),
        )
        moved = [
            replace(
                thing,
                centre=((thing.centre[0] - left) / size, (thing.centre[1] - top) / size),
                pixels=thing.pixels / size,
            )
            for thing in scene.things
        ]
        scene = replace(
            scene, things=tuple(thing for thing in moved if all(-0.1 < c < 1.1 for c in thing.centre))
        )
    if look == "blurry":
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 2.2)))
    x = np.asarray(image, dtype=float) / 255
    grey = x @ np.array((0.3, 0.59, 0.11))
    if look == "bw":
        x = np.repeat(grey[..., None], 3, axis=2)
    elif look == "sepia":
        x = grey[..., None] * np.array((1.05, rng.uniform(0.82, 0.94), rng.uniform(0.55, 0.75)))
    elif look in ("red", "green", "blue"):
        tint = np.full(3, rng.uniform(0.4, 0.75))
        tint[("red", "green", "blue").index(look)] = rng.uniform(1.0, 1.25)
        x = (x if rng.random() < 0.6 else np.repeat(grey[..., None], 3, axis=2)) * tint
    elif look == "vivid":
        x = grey[..., None] + rng.uniform(1.4, 2.0) * (x - grey[..., None])
    elif look == "dark":
        x = x * rng.uniform(0.4, 0.65)
    elif look == "bright":
        lift = rng.uniform(0.15, 0.35)
        x = lift + (1 - lift) * x * rng.uniform(1.05, 1.25)
    x = x * rng.uniform(0.6, 1.2) if look not in ("dark", "bright") else x
    if look != "bw":
        x = x * (1 + rng.normal(0, 0.06, 3))
    noise = rng.uniform(0.07, 0.14) if look == "grainy" else rng.uniform(0, 0.035)
    x = x + rng.normal(0, noise, x.shape[:2] + (1,))
    return (x.clip(0, 1) * 255).round().astype(np.uint8), scene


def corpus(icons: np.ndarray, seed: int, count: int) -> tuple[np.ndarray, list[Scene]]:
    """The first ``count`` pictures of ``seed``, (count, 112, 112, 3) uint8, and what they show."""
    pixels, scenes = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8), []
    with ProcessPoolExecutor(initializer=_share, initargs=(icons,)) as pool:
        drawn = pool.map(_draw, [seed] * count, range(count), chunksize=256)
        for row, (drawing, scene) in enumerate(tqdm(drawn, "pictures", count, disable=None)):
            pixels[row] = drawing
            scenes.append(scene)
    return pixels, scenes


def _share(icons: np.ndarray) -> None:
    global _icons  # once a worker, not once a picture
    _icons = icons


def _draw(seed: int, index: int) -> tuple[np.ndarray, Scene]:
    return picture(_icons, seed, index)
