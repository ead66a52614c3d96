"""What can be in a scene: things (OpenMoji glyphs) and backgrounds, and the words that are true of them.

Words form a small hierarchy (dog ⇒ animal; duck ⇒ bird ⇒ animal; lake ⇒ water), so that text has a meaning that
pixels do not show. The labels of the data sets are some of these words; many things (shoes, tools, music) carry
none, as in real photos. Names in several languages come from the ``emoji`` package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import emoji

# kind | words above it | glyphs (its looks). Single code points only: no shaping engine is needed to draw them.
_THINGS = """
dog       | animal          | 🐕🐶🐩🦮
cat       | animal          | 🐈🐱😺😸😼😽😾
horse     | animal          | 🐎🐴🫏🦄🦓
cow       | animal          | 🐄🐮🐂🐃🦬🐑🐐🐏🦙
pig       | animal          | 🐖🐷🐗
bear      | animal          | 🐻🐼🐨🦫
monkey    | animal          | 🐒🐵🦍🦧🙈🙉
lion      | animal          | 🦁🐯🐅🐆🦊🐺
elephant  | animal          | 🐘🦏🦛🦣🦒🐪🐫
mouse     | animal          | 🐁🐭🐀🐹🐿🦔🐇🐰
duck      | bird animal     | 🦆🦢🪿
chicken   | bird animal     | 🐔🐓🐤🐥🦃
eagle     | bird animal     | 🦅🦉🕊🐦🦜🦩🦚🐧🦤
fish      | animal          | 🐟🐠🐡🦈🎏
whale     | animal          | 🐋🐳🐬🦭
crab      | animal          | 🦀🦞🦐🦑🐙🪼
insect    | animal          | 🐛🐝🐞🦗🪲🪳🦟🪰🐜🕷
butterfly | animal          | 🦋🫌
snake     | animal          | 🐍🐊🦎🐢🐸🦕🦖
woman     | female people   | 👩👸💃🧕👵🤶🤰👧👰
man       | male people     | 👨🤴🕺👲🎅🧔👴👦🤵
baby      | people          | 👶👼🧒🤱
face      | portrait people | 😀😃😄😁😆😅😊🙂😉😌😍😘😋😛🤓😎🥳😏😞😔😕🙁😣😢😭😠😳😱🤔🤠😇🤡🧐
athlete   | people          | 🏃🚴🏊🏄🏂⛷🏌🏋🤸🤺🤾🚣🧗⛹🚶🧘
worker    | people          | 👷👮💂🕵🥷🧑👱👳🧙🦸
couple    | people          | 👫👬👭💑👪💏👯
tree      | plant           | 🌳🌲🌴🎄🎋🪾🌵
flower    | plant           | 🌸🌹🌺🌻🌼🌷💐🪷🪻🥀
leaf      | plant           | 🍀☘🍁🍂🍃🌿🌱🪴🌾
fruit     | food            | 🍎🍏🍐🍊🍋🍌🍉🍇🍓🫐🍒🍑🥭🍍🥝
vegetable | food            | 🍅🍆🥑🥦🥬🥒🌶🌽🥕🧅🥔
cake      | food            | 🎂🍰🧁🥧🍩🍪🍫🍭🍮🍦🍨
meal      | food            | 🍔🍟🍕🌭🥪🌮🌯🍝🍜🍲🍛🍣🍱🥗🍳🥘
car       | transport       | 🚗🚕🚙🚓🏎🚘🚖🚔🛻
truck     | transport       | 🚚🚛🚒🚑🚌🚎🚐🚜🚍
train     | transport       | 🚂🚃🚄🚅🚆🚇🚈🚝🚞🚊🚋
bicycle   | transport       | 🚲🛵🏍🛴🛺
airplane  | transport       | ✈🛩🛫🛬🚁🚀
boat      | transport       | ⛵🚤🛥🛳⛴🚢🛶
house     | building        | 🏠🏡🏘🏚🛖🏪
castle    | building        | 🏰🏯🗼⛩🗽🎪
church    | building        | ⛪🕌🛕🕍💒
office    | building        | 🏢🏬🏣🏤🏥🏦🏨🏩🏫🏭🏛
drink     |                 | ☕🍵🍶🍾🍷🍸🍹🍺🥂🥃🥤🧋🥛
music     |                 | 🎸🎺🎷🎻🥁🎹🪕🪗🎤🪘🎧
ball      |                 | ⚽🏀🏈⚾🥎🎾🏐🏉🥏🎱🎳
clothes   |                 | 👕👖🧣🧤🧥🧦👗👘👙👚👒🎩👔
shoes     |                 | 👞👟🥾🥿👠👡👢🩰
bag       |                 | 👛👜👝🎒💼🧳🛍
tool      |                 | 🔨⛏⚒🛠🔧🪛🪚🔩🪓🪜✂
book      |                 | 📕📗📘📙📚📖📓📔📰📜
computer  |                 | 💻🖥🖨📱☎📺📻📷📹🎥🕹🎮
heart     |                 | ❤🧡💛💚💙💜🖤💖💘💔
clock     |                 | ⏰⏱⏲🕰⌚⌛
furniture |                 | 🪑🛋🛏🚪🪟🪞🛁🚽
medal     |                 | 🏆🥇🥈🥉🏅🎖👑💍💎
"""

# background | words above it
_BACKGROUNDS = """
sky      |
clouds   | sky
sunset   | sky
sea      | water sky
beach    | sea water
lake     | water
river    | water grass
night    |
city     | building
indoor   |
grass    |
forest   | plant
mountain | sky
snow     |
wall     |
studio   |
"""


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its word, the words above it and its glyphs."""

    word: str
    above: tuple[str, ...]
    glyphs: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return (self.word, *self.above)


def _things() -> dict[str, Kind]:
    kinds = {}
    for line in _THINGS.strip().splitlines():
        word, above, glyphs = (part.strip() for part in line.split("|"))
        kinds[word] = Kind(word, tuple(above.split()), tuple(glyphs))
    return kinds


def _backgrounds() -> dict[str, tuple[str, ...]]:
    rows = (line.split("|") for line in _BACKGROUNDS.strip().splitlines())
    return {word.strip(): (word.strip(), *above.split()) for word, above in rows}


KINDS: dict[str, Kind] = _things()
BACKGROUNDS: dict[str, tuple[str, ...]] = _backgrounds()
CONCEPTS: tuple[str, ...] = tuple(
    sorted(
        {word for kind in KINDS.values() for word in kind.words}
        | {word for words in BACKGROUNDS.values() for word in words}
    )
)
KIND_OF_GLYPH: dict[str, str] = {glyph: kind.word for kind in KINDS.values() for glyph in kind.glyphs}

# Words for how a picture looks rather than what it shows. Users write them too; no label follows from them.
LOOKS: tuple[str, ...] = ("bw", "sepia", "blurry", "dark", "bright", "grainy", "vivid", "macro", "red", "blue", "green")  # fmt: skip

LANGUAGES: tuple[str, ...] = ("es", "fr", "de", "it", "pt")


@cache
def names(glyph: str, language: str = "en") -> tuple[str, ...]:
    """The glyph's names in ``language`` as tags are written: lower case, at most two words, run together."""
    emoji.config.load_language(language)
    data = emoji.EMOJI_DATA.get(glyph) or emoji.EMOJI_DATA[glyph + "\ufe0f"]
    found = [data.get(language, ""), *(data.get("alias", ()) if language == "en" else ())]
    plain = [name.strip(":").lower().replace("-", "_").replace("’", "") for name in found]
    short = [name.replace("_", "") for name in plain if name and name.count("_") <= 1]
    return tuple(dict.fromkeys(name for name in short if name.isalpha()))
