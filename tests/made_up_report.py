"""A made-up profile's results, and runs on made-up photos: what the report's tests build pages of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ctrh.data.images import ArrayImages
from ctrh.data.photos import Photos, random_split
from ctrh.paper.costs import MEASURED
from ctrh.paper.outputs import save_rows
from ctrh.paper.published import TABLES, published_table
from ctrh.paper.report import explorer
from ctrh.paper.report.explorer import save_text_queries
from ctrh.paper.report.results import artefacts
from ctrh.paper.style import save_figure
from ctrh.retrieval.metrics import evaluate
from profiles.smoke import PROFILE as SMOKE

# Words that a page must not take for its own markup, or for the end of its data.
WORDS = (
    "red",
    "</script><b>bold</b>",
    "rock & roll",
    "été",
    '"quoted"',
    "nikon",
    "a_very_long_word_without_any_end",
)
LABELS = ("red_things", "blue_things", "grey_things")
NAMES = tuple(settings.data.name for settings in SMOKE.datasets)
CLAIMS = pd.DataFrame(
    {
        "claim": ["CTRH is best at every length", "mAP <b>rises</b> with K & N", "64 bits about equal"],
        "published": [1.4, 0.8, np.nan],
        "measured": [2.51, -0.3, 0.1],
        "low": [1.9, -0.5, np.nan],
        "high": [3.1, -0.1, np.nan],
        "verdict": ["holds", "does not hold", "cannot be decided"],
    }
)


def made_up_photos(name: str = "scenes-mir", count: int = 90) -> Photos:
    """Flat pictures in the colour of their one label, with 0 to 4 tags; the true ones are known."""
    generator = np.random.default_rng(len(name))
    kind = generator.integers(0, 3, count)
    colours = np.array([[200, 40, 40], [40, 60, 200], [128, 128, 128]])
    pixels = np.clip(colours[kind] + generator.integers(-40, 40, (count, 3)), 0, 255).astype(np.uint8)
    tags = generator.random((count, len(WORDS))) < 0.3
    tags[0] = False
    return Photos(
        name=name,
        images=ArrayImages(np.broadcast_to(pixels[:, None, None], (count, 48, 60, 3)).copy()),
        names=[f"photo{number}" for number in range(count)],
        tags=sp.csr_array(tags),
        vocabulary=WORDS,
        common=np.ones(len(WORDS), dtype=bool),
        split=random_split(count, queries=30, train=40, seed=0),
        labels=kind[:, None] == np.arange(3),
        label_names=LABELS,
        truth=sp.csr_array(generator.random(tags.shape) < 0.4),
    )


def refined(photos: Photos) -> sp.csr_array:
    return sp.csr_array(np.roll(photos.tags.toarray(), 1, axis=1))


def made_up_result(photos: Photos, method: str, bits: int, noise: float) -> SimpleNamespace:
    """A finished run whose codes are the labels', with a share ``noise`` of bits thrown anew."""
    generator = np.random.default_rng(bits)
    centres = generator.random((3, bits)) < 0.5
    codes = centres[photos.labels.argmax(axis=1)]
    codes = np.where(generator.random(codes.shape) < noise, generator.random(codes.shape) < 0.5, codes)
    split, labels = photos.split, photos.labels
    query, database = codes[split.query], codes[split.database]
    run = SimpleNamespace(
        data=SimpleNamespace(name=photos.name),
        task=SimpleNamespace(split=split, labels=labels),
        method=method,
        label="",
        bits=bits,
    )
    scores = evaluate(query, database, labels[split.query], labels[split.database], ks=(10,))
    return SimpleNamespace(
        run=run, query_codes=query, database_codes=database, scores=scores, fit_seconds=1.5
    )


def text_rows() -> pd.DataFrame:
    rows = [
        {
            "dataset": NAMES[0],
            "query": words,
            "method": "FJSPH",
            "bits": bits,
            "rank": rank,
            "photo": (7 * rank + bits) % 90,
            "distance": rank // 2,
            "relevant": rank % 3 != 0,
        }
        for words in ("butterfly garden", "<i>sea</i> & sun")
        for bits in SMOKE.bits
        for rank in range(1, 9)
    ]
    return pd.DataFrame(rows)


def costs() -> pd.DataFrame:
    """Rows in the form of :func:`ctrh.paper.costs.cost_rows`."""
    about = {"bits": 64, "low": np.nan, "high": np.nan, "seeds": 1, "device": "cpu", "threads": 1, "batch": 1}
    return pd.DataFrame(
        {"method": method, "dataset": dataset, "metric": metric, "mean": 1.25 + place, "backbone": "alexnet"}
        | about
        for dataset in NAMES
        for method in ("WDHT", "CTRH")
        for place, metric in enumerate(MEASURED)
    )


def write_results(folder: Path) -> None:
    """Everything that a profile can have, under ``folder``/smoke; ``$CTRH_FIGURES`` must name ``folder``."""
    generator = np.random.default_rng(0)
    here = {settings.article: settings.data.name for settings in SMOKE.datasets}
    for number, (_, compares) in TABLES.items():
        if number == 3:
            continue
        table = published_table(number).replace({"metric": {"map_5000": f"map_{SMOKE.top}"}, "dataset": here})
        mean = table["published"] + generator.normal(0, 3, len(table))
        # The order of a result's columns: what is compared first, "published" last.
        measured = table[[compares, "dataset", "bits", "metric"]].assign(
            mean=mean, low=mean - 1, high=mean + 1, seeds=3, published=table["published"]
        )
        save_rows(measured, f"table{number}", "smoke")
    save_rows(costs(), "table3", "smoke")
    save_rows(CLAIMS, "claims", "smoke")
    save_rows(pd.DataFrame({"what": ["a < b"], "value": [0.5]}), "odd_rows", "smoke")
    save_text_queries(text_rows(), "smoke")
    for first, pixels in (("fig4", False), ("fig1", True)):
        fig, ax = plt.subplots()
        ax.imshow(np.eye(9)) if pixels else ax.plot([1, 3, 2])
        save_figure(fig, first, "smoke", pd.DataFrame({"x": [1]}), "made up")
        plt.close(fig)
    results = folder / "smoke"
    figures = [each.file for each in artefacts() if each.kind == "figure"] + ["odd_one"]
    for name in figures:
        for suffix in (".svg", ".png", ".csv"):
            target = results / f"{name}{suffix}"
            if not target.exists():
                target.write_bytes((results / f"fig4{suffix}").read_bytes())
    write_notebook(results / "notebooks" / "01_first.ipynb")


def write_notebook(path: Path) -> None:
    table = "<table class='dataframe'><tr><th>a</th></tr></table>"
    outputs = [
        new_output("stream", name="stdout", text="1 < 2 & 3\n"),
        new_output("display_data", data={"text/html": table, "text/plain": "a"}),
    ]
    cells = [
        new_markdown_cell(
            "# First: a < b\n\n> A claim with $\\lVert x\\rVert$.\n\n$$x = \\frac{1}{2} \\tag{7}$$"
        ),
        new_code_cell("print('1 < 2 & 3')", execution_count=1, outputs=outputs),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


@contextmanager
def made_up_runs(cache: Path) -> Iterator[None]:
    """While it lasts, the explorer finds runs of every method of the smoke profile, on made-up photos."""
    sets = {name: made_up_photos(name) for name in NAMES}
    noise = {method: 0.95 - 0.8 * number / len(SMOKE.methods) for number, method in enumerate(SMOKE.methods)}

    def stored(runs):
        return [made_up_result(sets[run.data.name], run.method, run.bits, noise[run.method]) for run in runs]

    (cache / "runs").mkdir(parents=True, exist_ok=True)
    (cache / "runs" / "made-up.npz").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTRH_CACHE", str(cache))
        patch.setattr(explorer, "stored", stored)
        patch.setattr(explorer, "photos_of", lambda data: sets[data.name])
        patch.setattr(explorer, "tags_of", lambda photos, data, config, rows: refined(photos))
        yield
