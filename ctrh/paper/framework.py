"""Figure 1: the framework, from a photo with bad tags to its code. What stands where is data; a few loops draw it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from PIL import Image

from ctrh.paper.style import BLUE, GREEN, GREY, ORANGE, RED, clear_ticks

WIDTH, HEIGHT = 140, 76
INK, PALE_INK = "#262626", "#4d4d4d"
TINT = {BLUE: "#e3eef6", GREEN: "#e0f2ec", ORANGE: "#fcf1dc", RED: "#fae6da", GREY: "#ededed"}
Tags = Sequence[tuple[str, bool]]

# y, height, colour, title, the title's y
LANES = [(40.5, 34.5, BLUE, "Tag replacement", 72.2), (1, 37.5, GREEN, "Hash learning", 4.2)]
# x, y, width, height, colour, title and its y, detail and its y
BOXES = [
    (49, 57.5, 22, 10, BLUE, r"CLIP, fine-tuned: $\theta_1$", 63.75, "“A photo of a {tags}”", 61),
    (49, 45.5, 22, 7, BLUE, r"CLIP, zero-shot: $\theta_0$", 49, "", 49),
    (78, 50, 20, 10, BLUE, "ensembled CLIP", 56.25, r"$(1-\alpha)\,\theta_0+\alpha\,\theta_1$  (2)", 53.5),
    (102.5, 48.5, 16, 13, BLUE, "redundancy\nremoved", 57.5, "(4)–(8)\nbest $K_i$ (3)", 52.1),
    (25, 18.5, 14, 9, GREEN, "hash layer", 24.25, "sigmoid  (1)", 21.5),
    (52.5, 18.5, 13, 9, GREEN, "mapping", 24.25, "(9)", 21.5),
    (79, 16, 24, 14, ORANGE, "tag weighting", 25.5, "cross-attention (11)–(13)\nfeed-forward (14)", 21.5),
    (120.5, 18.5, 17, 9, BLUE, "CLIP text\nencoder", 24.25, "(10)", 20.1),
]
ARROWS = [
    ((41.5, 62.5), (49, 62.5)), ((60, 52.5), (60, 57.5)), ((71, 62.5), (78, 57.5)), ((71, 49), (78, 52.5)),
    ((88, 42.9), (88, 50)), ((98, 55), (102.5, 55)), ((118.5, 55), (122.5, 55)), ((13, 47), (13, 28.5)),
    ((20, 23), (25, 23)), ((39, 23), (44, 23)), ((45.5, 30), (45.5, 33.2)), ((47, 23), (52.5, 23)),
    ((65.5, 23), (69.5, 23)), ((72.5, 23), (79, 23)), ((130, 44.2), (130, 27.5)), ((120.5, 23), (114, 23)),
    ((111, 23), (103, 23)),
]  # fmt: skip
LOSS_ARROWS = [
    ((45.5, 16), (45.5, 9.4)), ((46.6, 16), (58, 9.4)), ((71, 16), (75.5, 9.4)), ((88, 16), (67, 8.8)),
    ((88, 16), (81, 9.4)), ((99, 16), (107.5, 9.4)),
]  # fmt: skip
# x, colour, how strong each of the seven cells is
VECTORS = [
    (44, GREEN, (0.9, 0.1, 0.8, 0.95, 0.15, 0.05, 0.85)), (69.5, ORANGE, (0.5, 0.8, 0.3, 0.6, 0.9, 0.2, 0.7)),
    (111, BLUE, (0.6, 0.2, 0.9, 0.4, 0.7, 0.3, 0.5)),
]  # fmt: skip
LOSSES = [
    (45.5, r"$L_q$", "quantisation (15)"), (62, r"$L_{sim}$", "similarity (17)"),
    (78, r"$L_{hinge}$", "hinge (16)"), (111, r"$L_{tb}$", "tag-balanced (18)"),
]  # fmt: skip
# x, y, text, size
LABELS = [
    (13, 67, "photo $x_i$", 6.5), (33.5, 67, "user tags $T_i$", 6.5), (130, 66, r"new tags $\hat{T}_i$", 6.5),
    (13, 23, "backbone", 7), (42.2, 28.6, "$h_i$", 7), (71, 31.8, "$v_i$", 7), (112.5, 31.8, "$t$", 7),
    (75.75, 24.6, "$Q$", 6.5), (107, 24.6, "$K, V$", 6.5), (90, 13.6, "$r_i$", 7), (105.6, 13.6, "$A_i$", 7),
    (50.1, 31.6, "> 0.5", 5.5), (97, 45, "photo and\nwhole vocabulary", 5.8),
]  # fmt: skip
BITS = "1011001"


def framework(fig: Figure, photo: Image.Image, user_tags: Tags, replaced_tags: Tags) -> Axes:
    """Draws Figure 1 over the whole of ``fig`` (7.0 x 3.8 inches suit it); of the tags up to five."""
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    for y, height, edge, title, title_y in LANES:
        _rounded(ax, 1, y, WIDTH - 2, height, 2, "white", edge, linestyle=(0, (4, 2)))
        ax.text(3.5, title_y, title, fontsize=8, weight="bold", color=edge, va="center")
    for x, y, width, height, edge, title, title_y, detail, detail_y in BOXES:
        _rounded(ax, x, y, width, height, 1.2, TINT[edge], edge)
        _text(ax, x + width / 2, title_y, title, 7)
        _text(ax, x + width / 2, detail_y, detail, 5.8, color=PALE_INK)
    clear_ticks(ax.inset_axes((4, 47, 18, 18), transform=ax.transData)).imshow(photo)
    ax.add_patch(Polygon([(6, 30), (20, 27), (20, 19), (6, 16)], facecolor=TINT[GREEN], edgecolor=GREEN))
    # The photo goes round the guides to the averaged one.
    ax.plot([22, 25, 25, 88], [48.5, 48.5, 43, 43], color=INK, linewidth=0.8, solid_joinstyle="round")
    _chips(ax, 26, 65, user_tags)
    _chips(ax, 122.5, 64, replaced_tags)
    for x, edge, values in VECTORS:
        for i, value in enumerate(values):
            _cell(ax, x, 16 + 2 * i, 3, 2, edge, edge, value)
    _text(ax, 34, 35, "code", 6.5, weight="bold")
    for i, bit in enumerate(BITS):
        face, ink = (GREEN, "white") if bit == "1" else ("white", INK)
        _cell(ax, 37 + 2.6 * i, 33.4, 2.6, 3.2, face, GREEN)
        _text(ax, 38.3 + 2.6 * i, 35, bit, 5.5, color=ink)
    for x, symbol, name in LOSSES:
        _rounded(ax, x - 6.5, 4.2, 13, 5.2, 2.6, TINT[RED], RED)
        _text(ax, x, 6.9, symbol, 7)
        _text(ax, x, 2.8, name, 5.5)
    for x, y, text, size in LABELS:
        _text(ax, x, y, text, size)
    for arrows, ink, dashes in ((ARROWS, INK, "-"), (LOSS_ARROWS, RED, (0, (3, 1.5)))):
        look = {"arrowstyle": "-|>", "mutation_scale": 6, "linewidth": 0.8, "color": ink, "linestyle": dashes}
        for start, end in arrows:
            ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look))
    return ax


def _chips(ax: Axes, x: float, top: float, tags: Tags) -> None:
    for i, (word, right) in enumerate(tags[:5]):
        y = top - 3.9 * (i + 1)
        face, edge = (TINT[GREEN], GREEN) if right else (TINT[GREY], "#a6a6a6")
        _rounded(ax, x, y, 15, 3.2, 1.6, face, edge)
        # Not by colour alone: a wrong tag is in italics and marked.
        look = {} if right else {"style": "italic", "color": "#737373"}
        _text(ax, x + 7.5, y + 1.55, word if right else f"{word} ×", 6, parse_math=False, **look)


def _rounded(
    ax: Axes, x: float, y: float, width: float, height: float, radius: float, face: str, edge: str, **look
) -> None:
    box = FancyBboxPatch((x, y), width, height, boxstyle=f"round,pad=0,rounding_size={radius}")
    box.set(facecolor=face, edgecolor=edge, linewidth=0.8, **look)
    ax.add_patch(box)


def _cell(
    ax: Axes, x: float, y: float, width: float, height: float, face: str, edge: str, alpha: float = 1.0
) -> None:
    ax.add_patch(Rectangle((x, y), width, height, facecolor=face, alpha=alpha, linewidth=0))
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=edge, linewidth=0.5))


def _text(ax: Axes, x: float, y: float, text: str, size: float, color: str = INK, **look) -> None:
    look = {"ha": "center", "va": "center", "linespacing": 1.1, "parse_math": True, **look}
    ax.text(x, y, text, fontsize=size, color=color, **look)
