"""The look of all figures, and how they are saved: vector and pixels, with the rows they were drawn from."""

from __future__ import annotations

import io
import warnings
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ctrh.methods.registry import CROSS_MODAL, METHODS, references
from ctrh.paper.outputs import compact_png, results_dir, save_rows
from ctrh.store import replacing

COLUMN, PAGE = 3.4, 7.0  # widths in inches of one column and of both
PICTURES_DPI = 150  # the pictures themselves have no more pixels than that

BLUE, RED, GREEN, PINK, ORANGE, SKY, BROWN, GREY = (
    "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #8C6D31 #595959".split()
)
# One colour for each thing throughout all figures; methods bring their own (:mod:`ctrh.methods`).
COLOURS = (
    {"user": GREY, "neighbours": BROWN, "zero-shot": SKY, "fine-tuned": ORANGE, "ensembled": RED, "replaced": RED}
    | {"clean": GREEN, "truth": GREEN, "CTRH (user tags)": ORANGE, "CTRH (clean tags)": GREEN}
    | {"Baseline": GREY, "TR": SKY, "TR+TW": BLUE}
    | {"CTRH+": GREEN, "user tags": GREY, "probable words": SKY, "users' probable words": BROWN}
    | {"ITQ (CLIP)": SKY, "ITQ (FLIP)": BROWN, "CTRH (nearest)": ORANGE}
)
WIDE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei")
WIDE_FONTS += ("Arial Unicode MS", "Noto Sans", "Unifont")
OPENMOJI = "Pictures drawn with OpenMoji (openmoji.org), CC BY-SA 4.0."


def colour(name: str, number: int = 0) -> str:
    """The colour of ``name`` in all figures; for one without, the ``number``-th of the palette."""
    methods = CROSS_MODAL | METHODS
    return methods[name].colour if name in methods else COLOURS.get(name, f"C{number % 8}")


def marker(name: str, number: int = 0) -> str:
    """The shape of ``name`` in all figures; for one without, the ``number``-th of a list."""
    return METHODS[name].marker if name in METHODS else "osD^vP*X"[number % 8]


def line_look(name: str) -> dict[str, object]:
    """Colour, dashes and width of the line of ``name``, as matplotlib takes them; CTRH's is the strongest, references are thin."""
    dashes = METHODS[name].dashes if name in METHODS else "-"
    width = 1.7 if name == "CTRH" else 0.7 if name in references() else 1.1
    return {"color": colour(name), "linestyle": dashes, "linewidth": width}


def use_style() -> None:
    """Sets the style for all figures made from now on."""
    with (files("ctrh.paper") / "ctrh.mplstyle").open() as source:
        plt.style.use(Path(source.name))
    # People tag in all scripts; DejaVu lacks some of them, and not every machine has a font for the rest.
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fallbacks = [name for name in WIDE_FONTS if name in installed]
    plt.rcParams["font.family"] = [*plt.rcParams["font.family"], *fallbacks]
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def clear_ticks(ax: Axes) -> Axes:
    """For pictures: no ticks, no grid, a thin frame."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set(visible=True, color="#bfbfbf", linewidth=0.5)
    return ax


def save_figure(fig: Figure, name: str, profile: str, rows: pd.DataFrame, source: str) -> Path:
    """Writes ``name``.png, ``name``.svg (not of pictures: larger and no sharper) and its ``rows`` as ``name``.csv;
    the PNG's path. ``source`` is its small print. The same figure gives the same bytes."""
    fig.text(0.5, -0.005, source, ha="center", va="top", fontsize=5.5, color="#737373")
    folder = results_dir(profile)
    pictures = any(np.ndim(image.get_array()) == 3 for image in fig.findobj(AxesImage))
    pixels = io.BytesIO()
    fig.savefig(pixels, format="png", dpi=PICTURES_DPI if pictures else None, metadata={"Software": None})
    with replacing(folder / f"{name}.png") as temporary:
        temporary.write_bytes(compact_png(pixels.getvalue()))
    if not pictures:
        with replacing(folder / f"{name}.svg") as temporary:
            fig.savefig(temporary, metadata={"Date": None, "Creator": "ctrh"})
    save_rows(rows, name, profile)
    return folder / f"{name}.png"
