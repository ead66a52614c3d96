"""What a user writes under a scene: the documented noise model of the embedded data.

Each thing and the background are mentioned with some probability, by kind, by name, by a wider word, in another
language, in the plural, misspelt; looks are mentioned too; wrong things are mentioned; words that say nothing about
the picture (nikon, explore, 2008, a place, a private word) outnumber the useful ones, with a Zipf tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ctrh.data.scenes.compose import Scene
from ctrh.data.scenes.world import BACKGROUNDS, CONCEPTS, KIND_OF_GLYPH, KINDS, LANGUAGES, names

# Frequent words of photo sites that do not tell what a picture shows, most frequent first.
_USELESS = """
nikon canon explore geotagged flickr photo photography 2007 2008 d80 eos holiday vacation travel trip interesting
abigfave digital camera lens 50mm d300 d200 400d sony olympus pentax fujifilm kodak lumix tamron sigma tripod flash
exposure raw lightroom photoshop edited topf25 topv111 favorite best cool nice great amazing wow awesome beautiful
pretty cute fun happy love life time day weekend morning afternoon evening spring summer autumn winter january february
march april may june july august september october november december 2005 2006 2009 2010 usa uk italy france spain
germany japan china india brazil canada australia london paris newyork tokyo rome berlin barcelona california texas
florida chicago boston seattle sanfrancisco europe asia america africa north south east west family friends home work
school project365 365days challenge contest group meetup unusual random untitled mine self old new big small
""".split()

_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ren",
    "sto",
    "vi",
    "na",
    "bel",
    "tor",
    "fu",
    "gra",
    "zen",
    "pol",
    "shi",
    "du",
    "mar",
)


@dataclass(frozen=True)
class TagNoise:
    """Probabilities and mean counts of the noise model. The defaults give about 8.9 tags a photo."""

    untagged: float = 0.03  # photos without any tag
    thing: float = 0.55  # a thing of the picture is mentioned
    background: float = 0.5
    look: float = 0.5
    wider: float = 0.45  # a mentioned thing also by a wider word (dog: animal)
    foreign: float = 0.22  # a mention is in another language
    misspelt: float = 0.04
    plural: float = 0.06
    wrong: float = 1.3  # mean count of words for what is not in the picture
    useless: float = 5.3  # mean count of words that say nothing about it
    private: float = 0.25  # share of the useless words that come from the long tail

    def at(self, rate: float) -> TagNoise:
        """The model with its noise scaled: 0 clean and complete, 1 as configured; linear in between and beyond."""
        if rate < 0:
            raise ValueError(f"the noise rate must not be negative, got {rate}")
        mention = {
            name: max(0.0, 1 - rate * (1 - getattr(self, name))) for name in ("thing", "background", "wider")
        }
        noise = ("untagged", "foreign", "misspelt", "plural", "wrong", "useless")
        return replace(self, **mention, **{name: rate * getattr(self, name) for name in noise})


def user_tags(scene: Scene, noise: TagNoise) -> list[str]:
    """The tags of one photo, without repetition, in the order in which the user thinks of them."""
    rng = np.random.default_rng([*scene.seed, 2])
    if rng.random() < noise.untagged:
        return []
    tags: list[str] = []
    for thing in scene.things:
        if rng.random() < noise.thing:
            tags.append(_misshapen(rng, _mention(rng, thing.glyph, noise), noise))
            above = KINDS[thing.kind].above
            if above and rng.random() < noise.wider:
                tags.append(str(rng.choice(above)))
    for word in BACKGROUNDS[scene.background]:
        if rng.random() < noise.background:
            tags.append(_misshapen(rng, word, noise))
    if scene.look and rng.random() < noise.look:
        tags.append(scene.look)
    for _ in range(rng.poisson(noise.wrong)):
        wrong = str(rng.choice(CONCEPTS)) if rng.random() < 0.6 else _mention(rng, _any_glyph(rng), noise)
        tags.append(wrong)
    for _ in range(rng.poisson(noise.useless)):
        tags.append(_private(rng) if rng.random() < noise.private else _useless(rng))
    return list(dict.fromkeys(tags))


def true_words(scene: Scene) -> set[str]:
    """Every word that is right for the scene: concepts, names in all languages, and its look."""
    true = set(scene.words) | ({scene.look} if scene.look else set())
    for thing in scene.things:
        for language in ("en", *LANGUAGES):
            true.update(names(thing.glyph, language))
    return true


def _mention(rng: np.random.Generator, glyph: str, noise: TagNoise) -> str:
    kind = KIND_OF_GLYPH[glyph]
    if rng.random() < noise.foreign:
        foreign = names(glyph, str(rng.choice(LANGUAGES)))
        if foreign:
            return foreign[0]
    fine = names(glyph)
    return str(rng.choice(fine)) if fine and rng.random() < 0.45 else kind


def _misshapen(rng: np.random.Generator, word: str, noise: TagNoise) -> str:
    if rng.random() < noise.misspelt and len(word) > 4:
        gap = int(rng.integers(1, len(word) - 1))
        return word[:gap] + word[gap + 1 :]
    if rng.random() < noise.plural and not word.endswith("s"):
        return word + "s"
    return word


def _any_glyph(rng: np.random.Generator) -> str:
    return str(rng.choice(tuple(KIND_OF_GLYPH)))


def _useless(rng: np.random.Generator) -> str:
    return _USELESS[int(rng.choice(len(_USELESS), p=_zipf(len(_USELESS))))]


def _private(rng: np.random.Generator) -> str:
    """A word that means something to its user alone; a few are shared, most are written once."""
    word, rank = "", int(rng.choice(4096, p=_zipf(4096)))
    for _ in range(3):
        rank, syllable = divmod(rank, len(_SYLLABLES))
        word += _SYLLABLES[syllable]
    return word


@cache
def _zipf(count: int) -> np.ndarray:
    share = 1.0 / np.arange(3, count + 3)
    return share / share.sum()
