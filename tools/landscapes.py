"""Backgrounds and skies for pre-training, painted by other rules than those of the data sets; each can look in several ways."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from ctrh.data.scenes.compose import SIZE


def _colour(
    rng, hue: tuple[float, float], sat: tuple[float, float], val: tuple[float, float]
) -> tuple[int, int, int]:
    h, s, v = (rng.uniform(*r) for r in (hue, sat, val))
    i = int(h * 6) % 6
    f = h * 6 - int(h * 6)
    p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
    r, g, b = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][i]
    return int(255 * r), int(255 * g), int(255 * b)


BLUE, SKY, GREEN, SAND, ORANGE, VIOLET, GREY, WHITE = (
    ((0.54, 0.64), (0.5, 1.0), (0.3, 0.8)),
    ((0.53, 0.64), (0.2, 0.8), (0.75, 1.0)),
    ((0.22, 0.42), (0.35, 0.9), (0.35, 0.85)),
    ((0.09, 0.14), (0.2, 0.55), (0.75, 0.98)),
    ((0.02, 0.12), (0.5, 1.0), (0.8, 1.0)),
    ((0.7, 0.92), (0.2, 0.8), (0.25, 0.7)),
    ((0.0, 1.0), (0.0, 0.12), (0.35, 0.85)),
    ((0.5, 0.7), (0.0, 0.1), (0.86, 1.0)),
)


def _ramp(rng, top, bottom, height: int = SIZE) -> np.ndarray:
    t = np.linspace(0, 1, height)[:, None, None] ** rng.uniform(0.6, 1.7)
    return np.repeat((1 - t) * np.array(top) + t * np.array(bottom), SIZE, axis=1)


def _waves(rng, level: float, amplitude: float, periods: float) -> np.ndarray:
    """(SIZE,) the height of a wavy border for every column."""
    x = np.arange(SIZE) / SIZE
    line = sum(
        rng.normal(0, 1) / k * np.sin(2 * math.pi * (k * periods * x + rng.random())) for k in (1, 2, 3)
    )
    return SIZE * level + amplitude * line


def _below(image: np.ndarray, line: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """``fill`` under the border ``line``; fill: a colour or pixels."""
    mask = np.arange(SIZE)[:, None] > line[None]
    return np.where(mask[..., None], np.broadcast_to(fill, image.shape), image)


def _speckle(rng, amount: float, cell: int) -> np.ndarray:
    small = rng.normal(0, amount, (max(2, SIZE // cell), max(2, SIZE // cell)))
    return np.asarray(
        Image.fromarray(small.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    )[..., None]


def paint(name: str, rng: np.random.Generator) -> np.ndarray:
    """The background called ``name``, (SIZE, SIZE, 3) floats around 0 to 255."""
    sky = _ramp(rng, _colour(rng, *SKY), _colour(rng, *SKY))
    if (
        name in ("sky", "clouds", "beach", "sea", "lake", "mountain", "grass", "river", "city", "snow")
        and rng.random() < 0.25
    ):
        sky = _ramp(rng, _colour(rng, *WHITE), _colour(rng, *SKY))
    if name == "sky":
        image = sky
        if rng.random() < 0.3:
            image = _disc(image, rng, (255, 245, 200), (0.1, 0.4))
        if rng.random() < 0.3:
            image = _puffs(image, rng, 1, (245, 248, 255))
    elif name == "clouds":
        base = _ramp(rng, _colour(rng, *GREY), _colour(rng, *WHITE)) if rng.random() < 0.35 else sky
        shade = rng.integers(190, 256)
        image = _puffs(base, rng, int(rng.integers(3, 10)), (shade, shade, min(255, shade + 8)))
    elif name == "sunset":
        image = _ramp(rng, _colour(rng, *VIOLET), _colour(rng, *ORANGE))
        image = _disc(image, rng, (255, 225, 140), (0.5, 0.85))
        dark = np.array(_colour(rng, (0.6, 0.95), (0.2, 0.7), (0.05, 0.25)))
        if rng.random() < 0.8:
            image = _below(image, _waves(rng, rng.uniform(0.7, 0.95), rng.uniform(1, 6), 1), dark)
    elif name in ("sea", "beach"):
        horizon = rng.uniform(0.2, 0.55)
        water = _ramp(rng, _colour(rng, *BLUE), _colour(rng, *BLUE)) + _stripes(rng)
        image = _below(sky, np.full(SIZE, SIZE * horizon), water)
        if name == "beach":
            sand = np.array(_colour(rng, *SAND)) + rng.normal(0, 8, (SIZE, SIZE, 1))
            line = _waves(rng, rng.uniform(horizon + 0.15, 0.85), rng.uniform(1, 7), rng.uniform(0.3, 1))
            if rng.random() < 0.4:  # the coast runs across
                line = line + np.linspace(-1, 1, SIZE) * rng.uniform(-35, 35)
            image = _below(image, line - 2, np.array((240, 248, 250)))
            image = _below(image, line, sand)
    elif name == "lake":
        shore = rng.uniform(0.35, 0.6)
        land = np.array(_colour(rng, *GREEN)) * rng.uniform(0.5, 1.0)
        water = _ramp(
            rng,
            _colour(rng, (0.48, 0.6), (0.2, 0.6), (0.4, 0.8)),
            _colour(rng, (0.48, 0.6), (0.2, 0.6), (0.4, 0.8)),
        ) + 0.5 * _stripes(rng)
        image = _below(
            sky, _waves(rng, shore - rng.uniform(0.1, 0.25), rng.uniform(3, 9), rng.uniform(0.6, 1.6)), land
        )
        image = _below(image, _waves(rng, shore, 1.0, 0.5), water)
        if rng.random() < 0.4:
            image = _below(image, _waves(rng, rng.uniform(0.85, 0.97), 2, 0.5), land)
    elif name == "river":
        image = _meadow(sky, rng)
        rows = np.arange(SIZE) / SIZE
        middle = SIZE * (
            rng.uniform(0.3, 0.7)
            + rng.uniform(0.05, 0.25) * np.sin(2 * math.pi * (rows * rng.uniform(0.5, 1.3) + rng.random()))
        )
        start = rng.uniform(0.2, 0.45)
        width = SIZE * np.clip(rows - start, 0, None) * rng.uniform(0.2, 0.45) + 3
        inside = np.abs(np.arange(SIZE)[None] - middle[:, None]) < width[:, None]
        inside &= rows[:, None] > start
        image = np.where(inside[..., None], np.array(_colour(rng, *BLUE)) + 0.4 * _stripes(rng), image)
    elif name == "night":
        dark = (0.55, 0.8), (0.3, 1.0), (0.02, 0.3)
        image = _ramp(rng, _colour(rng, *dark), _colour(rng, *dark))
        for _ in range(int(rng.integers(5, 50))):
            y, x = rng.integers(0, SIZE - 1, 2)
            size = 1 + (rng.random() < 0.25)
            image[y : y + size, x : x + size] = rng.integers(180, 256)
        if rng.random() < 0.5:
            image = _disc(image, rng, (245, 240, 205), (0.08, 0.4))
        if rng.random() < 0.25:
            image = _below(image, _waves(rng, rng.uniform(0.8, 0.95), 3, 1), np.array((10, 10, 18)))
    elif name == "city":
        image = _blocks(
            sky if rng.random() < 0.7 else _ramp(rng, _colour(rng, *GREY), _colour(rng, *WHITE)), rng
        )
    elif name == "indoor":
        image = _room(rng)
    elif name == "grass":
        image = _meadow(sky, rng)
    elif name == "forest":
        image = _trees(rng)
    elif name == "mountain":
        image = sky
        for level in sorted(rng.uniform(0.25, 0.7, int(rng.integers(1, 4)))):
            image = _peaks(image, rng, level)
    elif name == "snow":
        base = _ramp(rng, _colour(rng, (0.55, 0.65), (0.0, 0.3), (0.6, 0.95)), _colour(rng, *WHITE))
        image = _below(
            base, _waves(rng, rng.uniform(0.35, 0.7), rng.uniform(1, 6), 0.7), np.array(_colour(rng, *WHITE))
        )
        for _ in range(int(rng.integers(10, 70))):
            y, x = rng.integers(0, SIZE - 2, 2)
            image[y : y + 2, x : x + 2] = 254
    elif name == "wall":
        image = _masonry(rng)
    else:  # studio
        colour = np.array(_colour(rng, (0, 1), (0.0, 0.9), (0.2, 1.0)))
        y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
        fall = (x - rng.random()) ** 2 + (y - rng.random()) ** 2
        image = colour * (1 - rng.uniform(0, 0.5) * fall[..., None])
        image = image + _speckle(rng, rng.uniform(0, 9), 30)
    return image + _speckle(rng, rng.uniform(0, 7), int(rng.integers(2, 16)))


def _disc(image, rng, colour, rows):
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    cx, cy, r = rng.uniform(8, SIZE - 8), rng.uniform(*rows) * SIZE, rng.uniform(4, 15)
    inside = ((x - cx) ** 2 + (y - cy) ** 2 < r * r)[..., None]
    return np.where(inside, np.array(colour) * rng.uniform(0.9, 1.0), image)


def _puffs(image, rng, count, colour):
    layer = np.zeros((SIZE, SIZE))
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    for _ in range(count):
        cx, cy, w = rng.uniform(-8, SIZE + 8), rng.uniform(0.02, 0.75) * SIZE, rng.uniform(8, 24)
        for _ in range(int(rng.integers(3, 7))):
            dx, dy, r = rng.normal(0, w / 1.6), rng.normal(0, w / 7), rng.uniform(0.3, 0.6) * w
            layer = np.maximum(
                layer, np.clip(1.4 - ((x - cx - dx) ** 2 + 1.6 * (y - cy - dy) ** 2) / r**2, 0, 1)
            )
    layer = layer[..., None] * rng.uniform(0.75, 1.0)
    return image * (1 - layer) + layer * np.array(colour)


def _stripes(rng):
    rows = np.arange(SIZE)[:, None]
    wobble = _speckle(rng, 6, 12)[..., 0]
    return (rng.uniform(3, 12) * np.sin(rows / rng.uniform(1.0, 3.5) + wobble))[..., None] + _speckle(
        rng, 6, 6
    )


def _meadow(sky, rng):
    green = np.array(_colour(rng, *GREEN)) + rng.normal(0, rng.uniform(3, 16), (SIZE, SIZE, 1)) * np.array(
        (0.7, 1, 0.6)
    )
    if rng.random() < 0.3:  # blades
        green = (
            green
            + 14
            * np.sign(np.sin(np.arange(SIZE) * rng.uniform(0.8, 2.2) + rng.normal(0, 1, (SIZE, 1))))[
                ..., None
            ]
        )
    level = rng.uniform(-0.1, 0.5) if rng.random() < 0.8 else -1
    return _below(sky, _waves(rng, level, rng.uniform(0, 5), rng.uniform(0.3, 1.5)), green)


def _blocks(image, rng):
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for depth in range(int(rng.integers(1, 3))):
        x = rng.uniform(-12, 0)
        while x < SIZE:
            width, top = rng.uniform(9, 30), rng.uniform(0.1 + 0.15 * depth, 0.65) * SIZE
            wall = _colour(rng, (0.0, 1.0), (0.0, 0.4), (0.2, 0.85))
            draw.rectangle((x, top, x + width, SIZE), fill=wall)
            if rng.random() < 0.2:
                draw.polygon(
                    [(x, top), (x + width / 2, top - rng.uniform(3, 14)), (x + width, top)], fill=wall
                )
            window = (250, 235, 150) if rng.random() < 0.4 else tuple(int(0.6 * c) for c in wall)
            step_x, step_y = rng.uniform(4, 9), rng.uniform(5, 11)
            for yy in np.arange(top + 3, SIZE, step_y):
                for xx in np.arange(x + 2, x + width - 3, step_x):
                    if rng.random() < 0.85:
                        draw.rectangle((xx, yy, xx + step_x * 0.45, yy + step_y * 0.5), fill=window)
            x += width + (rng.random() < 0.3) * rng.uniform(0, 8)
    return np.asarray(picture, dtype=float)


def _room(rng):
    wall = np.array(_colour(rng, (0.0, 1.0), (0.05, 0.4), (0.55, 0.98)))
    edge = rng.uniform(0.55, 0.85)
    floor = np.array(_colour(rng, (0.02, 0.12), (0.2, 0.7), (0.25, 0.75)))
    image = np.ones((SIZE, SIZE, 3)) * wall * rng.uniform(0.9, 1.05)
    if rng.random() < 0.35:  # wallpaper
        image = image * (1 - 0.08 * (np.sin(np.arange(SIZE) / rng.uniform(1, 4)) > 0))[None, :, None]
    planks = floor * (1 - 0.25 * ((np.arange(SIZE) % int(rng.integers(5, 12))) == 0))[:, None, None]
    if rng.random() < 0.4:  # tiles
        planks = planks * (1 - 0.2 * ((np.arange(SIZE) % int(rng.integers(8, 20))) == 0))[None, :, None]
    image = _below(image, np.full(SIZE, edge * SIZE), planks)
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.line((0, edge * SIZE, SIZE, edge * SIZE), fill=(245, 245, 240), width=int(rng.integers(1, 4)))
    for _ in range(int(rng.integers(0, 3))):  # windows, pictures, shelves
        x, y, w, h = rng.uniform(2, 85), rng.uniform(2, 28), rng.uniform(12, 36), rng.uniform(10, 34)
        frame = _colour(rng, (0.0, 0.15), (0.0, 0.7), (0.3, 1.0))
        inside = _colour(rng, *SKY) if rng.random() < 0.7 else _colour(rng, (0, 1), (0.1, 0.7), (0.3, 1.0))
        draw.rectangle((x, y, x + w, y + h), fill=inside, outline=frame, width=2)
        if rng.random() < 0.5:
            draw.line((x + w / 2, y, x + w / 2, y + h), fill=frame, width=1)
    return np.asarray(picture, dtype=float)


def _trees(rng):
    image = _ramp(
        rng,
        _colour(rng, (0.25, 0.4), (0.2, 0.7), (0.2, 0.7)),
        _colour(rng, (0.2, 0.4), (0.3, 0.8), (0.12, 0.45)),
    )
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    conifers = rng.random() < 0.4
    for _ in range(int(rng.integers(6, 18))):
        x, w, top = rng.uniform(-5, SIZE + 5), rng.uniform(1.5, 6), rng.uniform(-0.1, 0.4) * SIZE
        draw.rectangle(
            (x - w / 2, top, x + w / 2, SIZE), fill=_colour(rng, (0.04, 0.1), (0.3, 0.7), (0.15, 0.5))
        )
        leaf = _colour(rng, (0.22, 0.42), (0.4, 0.9), (0.2, 0.65))
        if conifers:
            for k in range(4):
                y, half = top + 10 * k, 5 + 4 * k
                draw.polygon([(x, y - 9), (x - half, y + 10), (x + half, y + 10)], fill=leaf)
        else:
            for _ in range(4):
                dx, dy, r = rng.normal(0, 7), rng.normal(0, 6), rng.uniform(5, 12)
                draw.ellipse((x + dx - r, top + dy - r, x + dx + r, top + dy + r), fill=leaf)
    return np.asarray(picture, dtype=float)


def _peaks(image, rng, level):
    corners = int(rng.integers(4, 10))
    x = np.linspace(0, SIZE, corners) + rng.normal(0, 4, corners)
    y = SIZE * level + rng.normal(0, rng.uniform(6, 18), corners)
    line = np.interp(np.arange(SIZE), np.sort(x), y)
    rock = np.array(_colour(rng, (0.0, 1.0), (0.0, 0.3), (0.2, 0.7)))
    image = _below(image, line, rock + _speckle(rng, 10, 8))
    if rng.random() < 0.4:  # snow on the tops
        cap = (np.arange(SIZE)[:, None] > line) & (np.arange(SIZE)[:, None] < SIZE * level - 2)
        image = np.where(cap[..., None], 246, image)
    return image


def _masonry(rng):
    stone = _colour(rng, (0.0, 0.12), (0.1, 0.75), (0.35, 0.85))
    joint = tuple(int(c * rng.uniform(0.6, 1.25)) for c in stone)
    picture = Image.new("RGB", (SIZE, SIZE), tuple(min(255, c) for c in joint))
    draw = ImageDraw.Draw(picture)
    h, w, kind = int(rng.integers(6, 16)), int(rng.integers(10, 32)), rng.random()
    for row, y in enumerate(range(0, SIZE, h)):
        for x in range(-w, SIZE, w):
            shift = (row % 2) * w // 2 if kind < 0.8 else int(rng.integers(0, w // 2))
            shade = tuple(int(np.clip(c + rng.normal(0, 12), 0, 255)) for c in stone)
            gap = 1 if kind < 0.5 else 2
            draw.rectangle((x + shift, y, x + shift + w - 1 - gap, y + h - 1 - gap), fill=shade)
    return np.asarray(picture, dtype=float)
