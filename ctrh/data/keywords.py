"""Keywords that photo programs keep in a picture, or in an XMP sidecar beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from ctrh.data.tables import SEPARATORS, split_words
from ctrh.store import replacing

try:
    import pyexiv2  # optional: pip install 'ctrh[keywords]'
except ImportError:
    pyexiv2 = None
else:
    pyexiv2.set_log_level(4)  # what it finds wrong in a file is no concern of a reader of keywords

# Each keyword may be a path through a tree, Places|France|Paris, whose levels are words; | is among the separators.
KEYWORDS = ("Iptc.Application2.Keywords", "Xmp.dc.subject", "Xmp.lr.hierarchicalSubject")
TREES = ("Xmp.digiKam.TagsList", "Xmp.MicrosoftPhoto.LastKeywordXMP")  # with / between the levels
OURS = 'xmp:CreatorTool="ctrh"'
SIDECAR = f"""\
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" {OURS}>
  <dc:subject><rdf:Bag>{{}}</rdf:Bag></dc:subject>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>
"""


def read_keywords(photo: Path) -> tuple[str, ...]:
    """The words of IPTC's Keywords, XMP's subjects and digiKam's tags, lower case, each once; none where nothing can be
    read. A sidecar (photo.jpg.xmp or photo.xmp) takes the place of what the picture holds itself."""
    places = (_sidecar(photo), photo.with_suffix(".xmp"), photo)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return ()
    try:
        with pyexiv2.Image(str(path)) as picture:
            found = picture.read_xmp()
            if path == photo:
                found |= _iptc(picture)
    except (RuntimeError, ValueError):
        return ()
    words: dict[str, None] = {}
    for fields, separators in ((KEYWORDS, SEPARATORS), (TREES, f"{SEPARATORS}/")):
        for field in fields:
            values = found.get(field, [])
            for value in [values] if isinstance(values, str) else values:
                words |= dict.fromkeys(split_words(value, separators))
    return tuple(words)


def _iptc(picture: pyexiv2.Image) -> dict[str, str | list[str]]:
    try:
        return picture.read_iptc()
    except UnicodeDecodeError:  # older than its field that names the encoding
        return picture.read_iptc(encoding="latin1")


def write_sidecar(photo: Path, words: Sequence[str]) -> bool:
    """Writes photo.jpg.xmp with ``words`` as subjects; False, and nothing is done, where another program has put one."""
    path = _sidecar(photo)
    if path.exists() and OURS not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    items = "".join(f"<rdf:li>{escape(word)}</rdf:li>" for word in words)
    with replacing(path) as temporary:
        temporary.write_text(SIDECAR.format(items), encoding="utf-8")
    return True


def _sidecar(photo: Path) -> Path:
    return photo.with_name(f"{photo.name}.xmp")
