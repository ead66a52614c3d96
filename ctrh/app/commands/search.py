"""``python -m ctrh search``."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ctrh.app.inputs import say
from ctrh.app.model_folder import WORDS, check_file, read_config
from ctrh.data.images import BadImageError, open_image, square
from ctrh.store import replacing

TILE, CAPTION, COLUMNS = 160, 30, 6


def run(args: Namespace) -> None:
    model = Path(args.model)
    config = read_config(model)
    if args.text is not None and config["method"] != "CTRH":
        raise ValueError(f"{config['method']} learns nothing about texts: search by a picture, or fit with --method CTRH")
    if args.sheet:
        check_file(Path(args.sheet), "a sheet", ".png", ".jpg", ".jpeg", ".webp")
    if args.text is not None:
        query, title, measure = Image.new("RGB", (TILE, TILE), "white"), args.text, "cosine"
    else:
        query, title, measure = open_image(Path(args.query), args.query), "query", "distance"
    # PyTorch takes seconds: only now, when what can be wrong with model, query and sheet has been said.
    if args.text is not None and WORDS in config["files"] and find_spec("onnxruntime"):
        from ctrh.app.words import load_words

        found = load_words(model, config)
    else:
        from ctrh.app.photo_search import load_search

        found = load_search(model, text=args.text is not None)
    if args.text is None:
        shown = [(str(distance), *rest, name) for name, distance, *rest in found.search(query, args.k)]
    else:
        shown = [(f"{cosine:.3f}", *rest, name) for name, cosine, *rest in found.search_text(args.text, args.k)]
    print(f"rank  {measure:>8}  photo")
    for rank, (value, by_chance, name) in enumerate(shown, start=1):
        print(f"{rank:4}  {value:>8}  {name}{'  (no better than chance)' * by_chance}")
    if all(by_chance for _, by_chance, _ in shown):
        if args.text is None:
            say("warning: random codes find photos as near: hardly anything here is like this picture")
        else:
            say(f"warning: random letters find as much as {args.text!r}: the guide hardly knows it, or no photo shows it")
    if args.sheet:
        captions = [f"{value}{'?' * by_chance}: {Path(name).name}" for value, by_chance, name in shown]
        sheet = contact_sheet([query, *(_photo(found.folder, name) for *_, name in shown)], [title, *captions])
        with replacing(args.sheet) as temporary:
            sheet.save(temporary)
        say(f"written: {args.sheet}")


def contact_sheet(pictures: list[Image.Image], captions: list[str]) -> Image.Image:
    """The pictures, whole, in rows of equal tiles with their captions below."""
    rows = -(-len(pictures) // COLUMNS)
    columns = min(COLUMNS, len(pictures))
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = place % COLUMNS * TILE, place // COLUMNS * (TILE + CAPTION)
        sheet.paste(square(picture, TILE - 12, fit="pad"), (left + 6, top + 6))
        while draw.textlength(caption, font) > TILE - 12:
            caption = caption.rstrip("…")[:-1] + "…"
        draw.text((left + 6, top + TILE), caption, "black", font)
    return sheet


def _photo(folder: Path, name: str) -> Image.Image:
    """The photo, or an empty tile when the folder has moved or changed since fit."""
    try:
        return open_image(folder / name, name)
    except BadImageError as error:
        say(f"warning: not on the sheet: {error}")
        return Image.new("RGB", (TILE, TILE), "lightgrey")
