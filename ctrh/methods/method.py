"""What a method says of itself, so that tables, figures and the command line need not know it by name."""

from __future__ import annotations

from typing import Any, ClassVar


class Method:
    """``needs``: "features" of the guide alone; its "concepts", how it distributes a picture over the vocabulary; or, to learn
    from pictures and tags, "words": users' tags and word vectors; "guide": replaced tags and the guide's own text
    features. Across modalities: "pairs" of image and text features,
    these and "labels", or "tags" beside a trained CTRH.

    ``colour``, ``dashes``, ``marker``: its look in figures, as matplotlib takes them. ``compared``: one of the methods that tables
    compare, else a reference beside them. ``reconstructed``: written without its authors' code or formulas, of which none are
    public, and called so there. ``binary``: gives codes, else vectors to be ranked by cosine.
    ``guides``: whose features it has across modalities: the guide's as it comes ("CLIP"), tuned with hidden patches ("FLIP").
    """

    name: ClassVar[str]
    needs: ClassVar[str]
    colour: ClassVar[str] = "black"
    dashes: ClassVar[Any] = "-"
    marker: ClassVar[str] = "o"
    compared: ClassVar[bool] = True
    reconstructed: ClassVar[bool] = False
    binary: ClassVar[bool] = True
    guides: ClassVar[tuple[str, ...]] = ("CLIP",)
