"""Panels of tag quality draw what the rows say."""

import matplotlib.pyplot as plt
import pandas as pd

from ctrh.paper.style import use_style
from ctrh.paper.tag_plots import tag_quality_panels


def test_tag_quality_panels_show_the_users_tags_in_each():
    kinds = [("user", "user", 0.4), ("zero-shot", "direct", 0.6), ("zero-shot", "removed", 0.7)]
    rows = pd.DataFrame(
        [(name, *kind, "precision") for name in ("one", "two") for kind in kinds],
        columns=["dataset", "tags", "prediction", "value", "measure"],
    ).assign(best=0.9)
    with plt.style.context("default"):
        use_style()
        fig = plt.figure()
        axes = tag_quality_panels(fig, rows)
        fig.canvas.draw()
    assert [ax.get_title(loc="left") for ax in axes.flat] == [
        "one: direct",
        "one: removed",
        "two: direct",
        "two: removed",
    ]
    assert [bars[0].get_height() for bars in axes[1, 1].containers if len(bars)] == [0.4, 0.7]
    assert [float(line.get_segments()[0][0, 1]) for line in axes[1, 1].collections] == [0.9, 0.9]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["user", "zero-shot"]
    plt.close(fig)
