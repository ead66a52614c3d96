"""Procedural backgrounds, one short function each: (rng) -> (112, 112, 3) uint8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from ctrh.data.scenes.compose import SIZE

Colour = tuple[float, float, float]
Painter = Callable[[np.random.Generator], Image.Image]
_PAINTERS: dict[str, Painter] = {}


def paint(background: str, rng: np.random.Generator) -> np.ndarray:
    """(112, 112, 3) uint8."""
    return np.asarray(_PAINTERS[background](rng))


def _painter(function: Painter) -> Painter:
    _PAINTERS[function.__name__.strip("_")] = function
    return function


def _jitter(rng: np.random.Generator, colour: Colour, spread: float = 18) -> Colour:
    return tuple(float(np.clip(channel + rng.normal(0, spread), 0, 255)) for channel in colour)


def _gradient(rng: np.random.Generator, top: Colour, bottom: Colour) -> Image.Image:
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None]
    column = (1 - ramp) * np.asarray(_jitter(rng, top)) + ramp * np.asarray(_jitter(rng, bottom))
    return Image.fromarray(np.repeat(column, SIZE, axis=1).clip(0, 255).astype(np.uint8))


def _noise(rng: np.random.Generator, cells: tuple[int, int], amount: float) -> np.ndarray:
    """(112, 112) smooth noise around 0: random cells (rows, columns), interpolated."""
    coarse = Image.fromarray(rng.normal(0, amount, cells).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _texture(image: Image.Image, noise: np.ndarray, below: int = 0) -> Image.Image:
    pixels = np.array(image, dtype=np.float32)
    pixels[below:] += noise[below:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _ridge(
    rng: np.random.Generator, height: float, rough: float, corners: int = 8
) -> list[tuple[float, float]]:
    """A skyline polygon from the left to the right border, closed along the bottom."""
    across = np.linspace(0, SIZE, corners)
    up = SIZE * height + rng.normal(0, rough, corners)
    return [(0, SIZE), *zip(across.tolist(), up.tolist(), strict=True), (SIZE, SIZE)]


def _fill(image: Image.Image, polygon: list[tuple[float, float]], colour: Colour) -> Image.Image:
    ImageDraw.Draw(image).polygon(polygon, fill=tuple(round(channel) for channel in colour))
    return image


def _blobs(
    rng: np.random.Generator, image: Image.Image, count: int, colour: Colour, rows: tuple[float, float]
) -> None:
    """Heaps of ellipses: clouds, tree crowns."""
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = rng.uniform(-10, SIZE + 10), rng.uniform(*rows) * SIZE
        for _ in range(5):
            dx, dy, radius = rng.normal(0, 9), rng.normal(0, 4), rng.uniform(5, 12)
            shade = tuple(round(channel) for channel in _jitter(rng, colour, 8))
            draw.ellipse(
                (x + dx - radius, y + dy - radius * 0.7, x + dx + radius, y + dy + radius * 0.7), fill=shade
            )


@_painter
def _sky(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (70, 140, 225), (175, 215, 250))
    if rng.random() < 0.4:
        x, y, radius = rng.uniform(8, SIZE - 8), rng.uniform(6, 40), rng.uniform(5, 10)
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 240, 170))
    return _texture(image, _noise(rng, (4, 4), 6))


@_painter
def _clouds(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (105, 155, 215), (190, 210, 230))
    _blobs(rng, image, int(rng.integers(4, 9)), (235, 238, 243), (0.05, 0.7))
    return image


@_painter
def _sunset(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (95, 60, 120), (250, 150, 70))
    x, y, radius = rng.uniform(15, SIZE - 15), rng.uniform(55, 90), rng.uniform(7, 14)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 215, 120))
    return _fill(image, _ridge(rng, rng.uniform(0.78, 0.95), 3), _jitter(rng, (45, 30, 50), 10))


@_painter
def _sea(rng: np.random.Generator) -> Image.Image:
    horizon = int(rng.uniform(0.25, 0.5) * SIZE)
    image = _gradient(rng, (130, 180, 230), (200, 225, 245))
    image = _fill(
        image, [(0, horizon), (SIZE, horizon), (SIZE, SIZE), (0, SIZE)], _jitter(rng, (25, 95, 150))
    )
    return _texture(image, _noise(rng, (28, 5), 14), below=horizon)


@_painter
def _beach(rng: np.random.Generator) -> Image.Image:
    image = _sea(rng)
    return _fill(image, _ridge(rng, rng.uniform(0.62, 0.78), 3), _jitter(rng, (225, 200, 150)))


@_painter
def _lake(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (150, 190, 225), (205, 225, 240))
    shore = rng.uniform(0.42, 0.58)
    image = _fill(image, _ridge(rng, shore - 0.2, 7), _jitter(rng, (70, 110, 90)))
    flat = [(0, SIZE * shore), (SIZE, SIZE * shore), (SIZE, SIZE), (0, SIZE)]
    image = _fill(image, flat, _jitter(rng, (85, 145, 165)))
    return _texture(image, _noise(rng, (16, 3), 7), below=int(SIZE * shore))


@_painter
def _river(rng: np.random.Generator) -> Image.Image:
    image = _grass(rng)
    rows = np.linspace(0.3, 1.0, 8) * SIZE
    middle = SIZE / 2 + np.cumsum(rng.normal(0, 8, 8))
    width = np.linspace(4, rng.uniform(20, 34), 8)
    left, right = zip(middle - width, rows), zip((middle + width)[::-1], rows[::-1])
    return _fill(image, [*left, *right], _jitter(rng, (70, 130, 185)))


@_painter
def _night(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (8, 10, 35), (35, 35, 75))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(10, 40))):
        x, y = rng.uniform(0, SIZE), rng.uniform(0, SIZE * 0.8)
        draw.point((x, y), fill=(235, 235, 215))
    if rng.random() < 0.5:
        x, y, radius = rng.uniform(10, SIZE - 10), rng.uniform(8, 40), rng.uniform(5, 10)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(240, 235, 200))
    return image


@_painter
def _city(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (150, 175, 205), (205, 210, 215))
    draw = ImageDraw.Draw(image)
    x = -5.0
    while x < SIZE:
        width, top = rng.uniform(12, 26), rng.uniform(0.15, 0.55) * SIZE
        wall = _jitter(rng, (120, 120, 130), 25)
        draw.rectangle((x, top, x + width, SIZE), fill=tuple(map(round, wall)))
        lit = tuple(round(min(255, channel + 55)) for channel in wall)
        for row in np.arange(top + 4, SIZE, 9):
            for column in np.arange(x + 3, x + width - 4, 7):
                draw.rectangle((column, row, column + 2, row + 3), fill=lit)
        x += width
    return image


@_painter
def _indoor(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, _jitter(rng, (205, 185, 160), 35), _jitter(rng, (190, 165, 140), 30))
    edge = rng.uniform(0.62, 0.8) * SIZE
    floor = _jitter(rng, (130, 90, 60), 25)
    image = _fill(image, [(0, edge), (SIZE, edge), (SIZE, SIZE), (0, SIZE)], floor)
    draw = ImageDraw.Draw(image)
    for row in np.arange(edge + 6, SIZE, 8):
        draw.line((0, row, SIZE, row), fill=tuple(round(channel * 0.8) for channel in floor))
    if rng.random() < 0.6:
        x, y, width = rng.uniform(5, 75), rng.uniform(5, 25), rng.uniform(20, 32)
        draw.rectangle((x, y, x + width, y + 26), fill=(190, 220, 240), outline=(245, 245, 245), width=2)
    return image


@_painter
def _grass(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (165, 205, 235), (215, 230, 235))
    horizon = rng.uniform(0.22, 0.42)
    image = _fill(image, _ridge(rng, horizon, 3), _jitter(rng, (95, 160, 70)))
    return _texture(
        image, rng.normal(0, 11, (SIZE, SIZE)).astype(np.float32), below=int(SIZE * (horizon + 0.06))
    )


@_painter
def _forest(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (60, 100, 60), (50, 75, 40))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(6, 12))):
        x, width = rng.uniform(0, SIZE), rng.uniform(2, 6)
        trunk = _jitter(rng, (85, 65, 45), 12)
        draw.rectangle((x, rng.uniform(0, 20), x + width, SIZE), fill=tuple(map(round, trunk)))
    _blobs(rng, image, 10, (60, 120, 55), (-0.05, 0.3))
    return image


@_painter
def _mountain(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (140, 185, 230), (210, 225, 240))
    image = _fill(image, _ridge(rng, 0.35, 14, 7), _jitter(rng, (130, 130, 150)))
    return _fill(image, _ridge(rng, 0.62, 9, 7), _jitter(rng, (85, 95, 100)))


@_painter
def _snow(rng: np.random.Generator) -> Image.Image:
    image = _gradient(rng, (185, 200, 220), (225, 230, 240))
    image = _fill(image, _ridge(rng, rng.uniform(0.4, 0.55), 4), _jitter(rng, (240, 243, 250), 6))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(20, 60))):
        x, y = rng.uniform(0, SIZE, 2)
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=(252, 253, 255))
    return image


@_painter
def _wall(rng: np.random.Generator) -> Image.Image:
    brick = _jitter(rng, (165, 85, 65), 30)
    image = Image.new("RGB", (SIZE, SIZE), tuple(round(channel * 0.7) for channel in brick))
    draw = ImageDraw.Draw(image)
    height, width = int(rng.integers(7, 12)), int(rng.integers(16, 26))
    for row, y in enumerate(range(0, SIZE, height)):
        for x in range(-(row % 2) * width // 2, SIZE, width):
            shade = tuple(round(channel) for channel in _jitter(rng, brick, 9))
            draw.rectangle((x, y, x + width - 2, y + height - 2), fill=shade)
    return image


@_painter
def _studio(rng: np.random.Generator) -> Image.Image:
    colour = tuple(rng.uniform(40, 235, 3))
    image = _gradient(rng, colour, tuple(channel * 0.75 for channel in colour))
    return _texture(image, _noise(rng, (3, 3), 10))
