"""Figure 1: the framework, from a photo with bad tags to its code."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from PIL import Image

from ctrh.paper.style import BLUE, GREEN, GREY, ORANGE, PINK, RED, clear_ticks

WIDTH, HEIGHT = 140, 76
INK = "#262626"
TINT = {
    BLUE: "#e3eef6",
    GREEN: "#e0f2ec",
    ORANGE: "#fcf1dc",
    RED: "#fae6da",
    GREY: "#ededed",
    PINK: "#f7e8f0",
}
Tags = Sequence[tuple[str, bool]]


def framework(fig: Figure, photo: Image.Image, user_tags: Tags, replaced_tags: Tags) -> Axes:
    """Draws Figure 1 over the whole of ``fig`` (7.0 x 3.8 inches suit it).

    ``user_tags`` and ``replaced_tags``: up to five (tag, whether it is right) of ``photo``.
    """
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    _lane(ax, 40.5, 34.5, BLUE, "Tag replacement", 72.2)
    _lane(ax, 1, 37.5, GREEN, "Hash learning", 4.2)
    _tag_replacement(ax, photo, user_tags, replaced_tags)
    _hash_learning(ax)
    return ax


def _tag_replacement(ax: Axes, photo: Image.Image, user_tags: Tags, replaced_tags: Tags) -> None:
    inset = clear_ticks(ax.inset_axes((4, 47, 18, 18), transform=ax.transData))
    inset.imshow(photo)
    _note(ax, 13, 67, "photo $x_i$")
    _chips(ax, 26, 65, 15, user_tags)
    _note(ax, 33.5, 67, "user tags $T_i$")

    _box(ax, 49, 57.5, 22, 10, BLUE, r"CLIP, fine-tuned: $\theta_1$", "“A photo of a {tags}”")
    _box(ax, 49, 45.5, 22, 7, BLUE, r"CLIP, zero-shot: $\theta_0$")
    _box(ax, 78, 50, 20, 10, BLUE, "ensembled CLIP", r"$(1-\alpha)\,\theta_0+\alpha\,\theta_1$  (2)")
    _box(ax, 102.5, 48.5, 16, 13, BLUE, "redundancy\nremoved", "(4)–(8)\nbest $K_i$ (3)")
    _arrow(ax, (41.5, 62.5), (49, 62.5))
    _arrow(ax, (60, 52.5), (60, 57.5))
    _arrow(ax, (71, 62.5), (78, 57.5))
    _arrow(ax, (71, 49), (78, 52.5))
    ax.plot([22, 25, 25, 88], [48.5, 48.5, 43, 43], color=INK, linewidth=0.8, solid_joinstyle="round")
    _arrow(ax, (88, 42.9), (88, 50))
    ax.text(
        89, 45, "photo and\nwhole vocabulary", fontsize=5.8, color="#4d4d4d", va="center", linespacing=1.1
    )
    _arrow(ax, (98, 55), (102.5, 55))
    _arrow(ax, (118.5, 55), (122.5, 55))
    _chips(ax, 122.5, 64, 15, replaced_tags)
    _note(ax, 130, 66, "new tags $T_i$")


def _hash_learning(ax: Axes) -> None:
    _arrow(ax, (13, 47), (13, 28.5))
    backbone = [(6, 30), (20, 27), (20, 19), (6, 16)]
    ax.add_patch(Polygon(backbone, closed=True, facecolor=TINT[GREEN], edgecolor=GREEN))
    _label(ax, 13, 23, "backbone")
    _box(ax, 25, 18.5, 14, 9, GREEN, "hash layer", r"sigmoid  (1)")
    _arrow(ax, (20, 23), (25, 23))
    _arrow(ax, (39, 23), (44, 23))
    _vector(ax, 44, 16, GREEN, (0.9, 0.1, 0.8, 0.95, 0.15, 0.05, 0.85), "$h_i$", (42.2, 28.6))
    _arrow(ax, (45.5, 30), (45.5, 33.2))
    ax.text(47.4, 31.6, "> 0.5", fontsize=5.5, color=INK, va="center")
    for place, bit in enumerate("1011001"):
        _cell(ax, 37 + 2.6 * place, 33.4, 2.6, 3.2, GREEN if bit == "1" else "white", GREEN)
        ax.text(
            38.3 + 2.6 * place,
            35,
            bit,
            ha="center",
            va="center",
            fontsize=5.5,
            color="white" if bit == "1" else INK,
        )
    ax.text(36.2, 35, "code", ha="right", va="center", fontsize=6.5, color=INK, weight="bold")

    _box(ax, 52.5, 18.5, 13, 9, GREEN, "mapping", "(9)")
    _arrow(ax, (47, 23), (52.5, 23))
    _arrow(ax, (65.5, 23), (69.5, 23))
    _vector(ax, 69.5, 16, ORANGE, (0.5, 0.8, 0.3, 0.6, 0.9, 0.2, 0.7), "$v_i$", (71, 31.8))
    _box(ax, 79, 16, 24, 14, ORANGE, "tag weighting", "cross-attention (11)–(13)\nfeed-forward (14)")
    _arrow(ax, (72.5, 23), (79, 23), "$Q$")
    _box(ax, 120.5, 18.5, 17, 9, BLUE, "CLIP text\nencoder", "(10)")
    _arrow(ax, (130, 44.2), (130, 27.5))
    _vector(ax, 111, 16, BLUE, (0.6, 0.2, 0.9, 0.4, 0.7, 0.3, 0.5), "$t$", (112.5, 31.8))
    _arrow(ax, (120.5, 23), (114, 23))
    _arrow(ax, (111, 23), (103, 23), "$K, V$")

    pills = {
        45.5: (r"$L_q$", "quantisation (15)"),
        62: (r"$L_{sim}$", "similarity (17)"),
        78: (r"$L_{hinge}$", "hinge (16)"),
        111: (r"$L_{tb}$", "tag-balanced (18)"),
    }
    for x, (symbol, name) in pills.items():
        box = FancyBboxPatch((x - 6.5, 4.2), 13, 5.2, boxstyle="round,pad=0,rounding_size=2.6")
        box.set(facecolor=TINT[RED], edgecolor=RED)
        ax.add_patch(box)
        ax.text(x, 6.9, symbol, ha="center", va="center", fontsize=7, color=INK)
        ax.text(x, 2.8, name, ha="center", va="center", fontsize=5.5, color=INK)
    loss = {"color": RED, "linestyle": (0, (3, 1.5))}
    _arrow(ax, (45.5, 16), (45.5, 9.4), **loss)
    _arrow(ax, (46.6, 16), (58, 9.4), **loss)
    _arrow(ax, (71, 16), (75.5, 9.4), **loss)
    _arrow(ax, (88, 16), (67, 8.8), **loss)
    _arrow(ax, (88, 16), (81, 9.4), **loss)
    _label(ax, 90, 13.6, "$r_i$")
    _arrow(ax, (99, 16), (107.5, 9.4), **loss)
    _label(ax, 105.6, 13.6, "$A_i$")


def _lane(ax: Axes, y: float, height: float, edge: str, title: str, title_y: float) -> None:
    lane = FancyBboxPatch((1, y), WIDTH - 2, height, boxstyle="round,pad=0,rounding_size=2")
    lane.set(facecolor="white", edgecolor=edge, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.add_patch(lane)
    ax.text(3.5, title_y, title, fontsize=8, weight="bold", color=edge, va="center")


def _box(
    ax: Axes, x: float, y: float, width: float, height: float, edge: str, title: str, detail: str = ""
) -> None:
    box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.2")
    box.set(facecolor=TINT[edge], edgecolor=edge, linewidth=0.8)
    ax.add_patch(box)
    lines = detail.count("\n") + 1 if detail else 0
    middle = y + height / 2 + 1.25 * lines
    ax.text(x + width / 2, middle, title, ha="center", va="center", fontsize=7, color=INK, linespacing=1.05)
    below = middle - 1.5 - 1.4 * title.count("\n") - 1.25 * lines
    ax.text(x + width / 2, below, detail, ha="center", va="center", fontsize=5.8, color="#4d4d4d")


def _label(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=7, color=INK)


def _note(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=6.5, color=INK)


def _chips(ax: Axes, x: float, top: float, width: float, tags: Tags) -> None:
    for place, (word, right) in enumerate(tags[:5]):
        y = top - 3.9 * (place + 1)
        chip = FancyBboxPatch((x, y), width, 3.2, boxstyle="round,pad=0,rounding_size=1.6")
        chip.set(facecolor=TINT[GREEN] if right else TINT[GREY], edgecolor=GREEN if right else "#a6a6a6")
        ax.add_patch(chip)
        # Not by colour alone: a wrong tag is in italics and marked.
        text, style = (word, "normal") if right else (f"{word} ×", "italic")
        ax.text(
            x + width / 2,
            y + 1.55,
            text,
            ha="center",
            va="center",
            fontsize=6,
            style=style,
            color=INK if right else "#737373",
        )


def _vector(
    ax: Axes, x: float, y: float, edge: str, values: Sequence[float], name: str, label: tuple[float, float]
) -> None:
    for place, value in enumerate(values):
        _cell(ax, x, y + 2 * place, 3, 2, edge, edge, value)
    _label(ax, *label, name)


def _cell(
    ax: Axes, x: float, y: float, width: float, height: float, face: str, edge: str, alpha: float = 1.0
) -> None:
    ax.add_patch(Rectangle((x, y), width, height, facecolor=face, alpha=alpha, linewidth=0))
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=edge, linewidth=0.5))


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    color: str = INK,
    linestyle="-",
) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=6, shrinkA=0, shrinkB=0)
    arrow.set(color=color, linewidth=0.8, linestyle=linestyle)
    ax.add_patch(arrow)
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        ax.text(x, y + 1.6, text, ha="center", va="center", fontsize=6.5, color=INK)
