"""Figures: saved the same each time with their rows, and drawing what the rows say."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ctrh.methods.registry import compared
from ctrh.paper.code_plots import score_by_bits
from ctrh.paper.framework import framework
from ctrh.paper.picture_plots import contact_sheet, retrieval_page, tag_inference, tile, top_tags_bars
from ctrh.paper.style import COLOURS, RED, colour, save_figure, use_style

PICTURE = Image.new("RGB", (8, 8), "skyblue")


@pytest.fixture(autouse=True)
def style(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))
    with plt.style.context("default"):
        use_style()
        yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_saving_is_repeatable_and_complete(tmp_path):
    rows = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    contents = []
    for _ in range(2):
        fig, ax = plt.subplots()
        ax.plot(rows["epoch"], rows["loss"])
        path = save_figure(fig, "figX", "smoke", rows, "Data: made up.")
        contents.append({file.name: file.read_bytes() for file in path.parent.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"figX.svg", "figX.png", "figX.csv"}
    assert b"<dc:date>" not in contents[0]["figX.svg"]
    pd.testing.assert_frame_equal(pd.read_csv(path.with_suffix(".csv")), rows)
    assert Image.open(path).size[0] > 400


def test_a_tag_is_no_formula_and_ours_are():
    use_style()
    fig, ax = plt.subplots()
    ax.set(title="cheap $$ \\frac{ $x", xlabel="a$b$c", ylabel="100%_^{}")
    ax.legend([ax.plot([1], [1])[0]], ["$tag$"])
    rows = pd.DataFrame({"tag": ["$x$", "=1+1", "@me"], "share": [-1.5, 0.0, 2.0]})
    path = save_figure(fig, "figZ", "smoke", rows, "Data: $.")
    assert path.with_suffix(".csv").read_text().splitlines() == ["tag,share", "$x$,-1.5", "'=1+1,0", "'@me,2"]


def test_a_page_of_pictures_is_saved_as_pixels_only():
    fig, ax = plt.subplots()
    ax.imshow(PICTURE)
    path = save_figure(fig, "figY", "smoke", pd.DataFrame({"photo": [1]}), "Data: made up.")
    assert path.exists() and not path.with_suffix(".svg").exists()
    assert len(Image.open(path).convert("RGB").getcolors(2**24)) <= 256


def test_colours_are_known_or_from_the_palette():
    assert colour("CTRH") == COLOURS["replaced"] == RED
    assert colour("something else", 9) == "C1"
    methods = [colour(name) for name in compared()]
    assert len(set(methods)) == len(methods)


def test_framework_shows_every_equation_and_the_tags():
    fig = plt.figure(figsize=(7, 3.8))
    ax = framework(fig, PICTURE, [("dog", True), ("nikon", False)], [("dog", True), ("grass", True), ("$$^", True)])
    fig.canvas.draw()
    shown = " ".join(texts(ax))
    for number in "(1) (2) (3) (4)–(8) (9) (10) (11)–(13) (14) (15) (16) (17) (18)".split():
        assert number in shown
    assert {text.get_text() for text in ax.texts if text.get_parse_math()} >= {"$h_i$", "$t$"}
    assert "nikon ×" in texts(ax) and texts(ax).count("dog") == 2


def test_top_tags_are_in_order_of_rank_and_wrong_ones_hatched():
    rows = pd.DataFrame(
        {"rank": [2, 1, 3], "tag": ["b", "a", "c"], "probability": [0.2, 0.5, 0.1], "right": [1, 1, 0]}
    )
    _, ax = plt.subplots()
    top_tags_bars(ax, rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.2, 0.1]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True]


def test_tag_inference_marks_wrong_tags():
    rows = pd.DataFrame(
        [("user", 1, "dog", True), ("user", 2, "nikon", False), ("true", 1, "dog", True)],
        columns=["source", "rank", "tag", "right"],
    )
    _, (left, right) = plt.subplots(1, 2)
    tag_inference(left, right, PICTURE, rows)
    assert texts(right) == ["user", "dog", "nikon ×", "true", "dog"]
    assert len(left.images) == 1


def test_scores_stand_over_their_lengths():
    fig, ax = plt.subplots()
    table = pd.DataFrame(
        {
            "method": ["CTRH", "CTRH", "LSH"],
            "bits": [32, 16, 16],
            "mean": [2.0, 1.0, 0.5],
            "low": np.nan,
            "high": np.nan,
        }
    )
    score_by_bits(ax, table)
    # Side by side: a bit's width apart.
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[15.5, 1], [31.5, 2]])
    fig.canvas.draw()


def test_contact_sheet_leaves_no_picture_out():
    ax = contact_sheet(plt.figure(), [PICTURE] * 5, ["one", "two\nlines"], columns=3)
    lefts, _, bottoms, tops = np.transpose([image.get_extent() for image in ax.images])
    assert [int(left) for left in lefts] == [0, 1, 2, 0, 1]
    assert texts(ax) == ["one", "two\nlines"]
    # The second row begins below the captions of the first, and all are in sight.
    caption = ax.texts[1]
    plt.gcf().canvas.draw()
    lowest = ax.transData.inverted().transform(caption.get_window_extent())[0, 1]
    assert bottoms[0] < caption.get_position()[1] < lowest < tops[3] and bottoms[3] < ax.get_ylim()[0]


def test_tiles_keep_the_shape_of_pictures():
    _, ax = plt.subplots()
    tile(ax, PICTURE.resize((40, 10)), 2, 1)
    left, right, bottom, top = ax.images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(4)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((2.5, 1.5))
    assert ax.patches[0].get_bbox().bounds == pytest.approx((left, top, right - left, bottom - top))


def test_retrieval_page_has_a_strip_for_each_query_and_method():
    rows = pd.DataFrame(
        [
            (label, query, rank, rank, rank == 1)
            for query in (7, 3)
            for label in ("CTRH", "ITQ")
            for rank in (1, 2)
        ],
        columns=["label", "query", "rank", "photo", "relevant"],
    )
    labels = np.zeros((8, 3), dtype=bool)
    labels[[7, 3, 1]] = [[1, 1, 0], [0, 1, 0], [1, 1, 1]]
    photos = SimpleNamespace(images=[PICTURE] * 8, labels=labels, label_names=("sea", "sky", "dog"))
    ax = retrieval_page(plt.figure(), photos, rows)
    assert len(ax.images) == 12 and (ax.get_xlim(), ax.get_ylim()) == ((0, 3), (4 * 1.17, 0))
    placed = [(text.get_text(), int(text.get_position()[0]), int(text.get_position()[1] / 1.17)) for text in ax.texts]
    expected = []
    for line, label in enumerate(["CTRH", "ITQ", "CTRH", "ITQ"]):
        words = "sea, sky" if line < 2 else "sky"  # the query's labels, and what the right answer shares with it
        expected += [(words, 0, line), (label, 0, line), (words, 1, line), ("", 2, line), ("×", 2, line)]
    assert placed == expected
    # Each wrong picture has the thickest frame of its line.
    widths = np.reshape([patch.get_linewidth() for patch in ax.patches], (4, 3))
    assert (widths.argmax(axis=1) == 2).all()
