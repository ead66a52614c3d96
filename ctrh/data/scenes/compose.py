"""What a scene shows: a pure function of (seed, index). No pixels yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ctrh.data.scenes.world import BACKGROUNDS, KINDS, LOOKS

SIZE = 112  # pixels, both sides


@dataclass(frozen=True)
class Mix:
    """How often what occurs. Weights are relative; a kind or background that is not named has weight 1."""

    things: tuple[float, ...] = (0.25, 0.35, 0.28, 0.12)  # probability of 1, 2, 3, 4 things
    kinds: MappingProxyType[str, float] = field(default_factory=lambda: MappingProxyType({}))
    backgrounds: MappingProxyType[str, float] = field(default_factory=lambda: MappingProxyType({}))
    looks: float = 0.45  # probability that a picture has a look of its own (bw, sepia, blurry, ...)


@dataclass(frozen=True)
class Thing:
    """One glyph: where (centre, fraction of the side), how large (pixels), how turned (degrees)."""

    kind: str
    glyph: str
    centre: tuple[float, float]
    pixels: float
    angle: float
    mirrored: bool
    hue: float
    opacity: float


@dataclass(frozen=True)
class Scene:
    """``seed`` feeds the procedural background and the noise of the pixels."""

    background: str
    things: tuple[Thing, ...]
    look: str | None
    light: float
    seed: tuple[int, int]

    @property
    def words(self) -> tuple[str, ...]:
        """The concept words that are true of the scene, at every level, sorted."""
        found = set(BACKGROUNDS[self.background])
        for thing in self.things:
            found.update(KINDS[thing.kind].words)
        return tuple(sorted(found))


def compose(seed: int, index: int, mix: Mix = Mix()) -> Scene:
    """Scene number ``index`` of the data set ``seed``."""
    rng = np.random.default_rng([seed, index])
    background = _weighted(rng, tuple(BACKGROUNDS), mix.backgrounds)
    count = 1 + int(rng.choice(len(mix.things), p=np.asarray(mix.things) / sum(mix.things)))
    things: list[Thing] = []
    for _ in range(count):
        things.append(_thing(rng, mix, count, things))
    look = None
    if rng.random() < mix.looks:
        look = str(rng.choice(LOOKS))
    return Scene(background, tuple(things), look, light=float(rng.uniform(0.65, 1.15)), seed=(seed, index))


def _thing(rng: np.random.Generator, mix: Mix, crowd: int, others: list[Thing]) -> Thing:
    kind = _weighted(rng, tuple(KINDS), mix.kinds)
    smallest, largest = (52.0, 84.0) if kind == "face" else (30.0, 74.0 - 7.0 * crowd)
    return Thing(
        kind=kind,
        glyph=str(rng.choice(KINDS[kind].glyphs)),
        centre=_free_place(rng, others),
        pixels=float(rng.uniform(smallest, largest)),
        angle=float(rng.normal(0, 14)),
        mirrored=bool(rng.random() < 0.5),
        hue=float(rng.normal(0, 0.06)),
        opacity=float(rng.uniform(0.8, 1.0)),
    )


def _free_place(rng: np.random.Generator, others: list[Thing], tries: int = 3) -> tuple[float, float]:
    """Of a few random places the one farthest from the other things: they overlap, but seldom hide each other."""
    places = np.column_stack([rng.uniform(0.16, 0.84, tries), rng.uniform(0.22, 0.84, tries)])
    taken = np.asarray([thing.centre for thing in others]).reshape(-1, 1, 2)
    distance = np.linalg.norm(places - taken, axis=2).min(axis=0, initial=2.0)
    x, y = places[distance.argmax()]
    return float(x), float(y)


def _weighted(
    rng: np.random.Generator, options: tuple[str, ...], weights: MappingProxyType[str, float]
) -> str:
    unknown = set(weights) - set(options)
    if unknown:
        raise ValueError(f"weights for what does not exist: {sorted(unknown)}")
    share = np.asarray([weights.get(option, 1.0) for option in options])
    return options[int(rng.choice(len(options), p=share / share.sum()))]
