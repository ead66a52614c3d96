"""Where results go, and how rows are written there."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pandas as pd
from PIL import Image

from ctrh.data.tables import inert
from ctrh.store import replacing

ROOT = Path(__file__).resolve().parents[2]


def results_dir(profile: str) -> Path:
    """The folder of a profile's results, by name or file: in ``$CTRH_FIGURES``, else in ``figures`` of the clone
    that the package is used out of, else of the current folder."""
    base = ROOT if (ROOT / "notebooks").is_dir() else Path.cwd()
    return Path(os.environ.get("CTRH_FIGURES") or base / "figures") / Path(profile).stem


def save_rows(rows: pd.DataFrame, name: str, profile: str) -> Path:
    """Writes ``rows`` as ``<name>.csv`` among the profile's results; the same rows give the same bytes. Texts are
    :func:`ctrh.data.tables.inert`: tags are among them."""
    path = results_dir(profile) / f"{name}.csv"
    texts = rows.select_dtypes(exclude=["number", "bool"])
    rows = rows.assign(**{column: texts[column].map(inert) for column in texts})
    with replacing(path) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n", float_format="%.10g")
    return path


def compact_png(png: bytes) -> bytes:
    """The same picture in 256 colours of its own: a third to a fifth of the bytes, for files that are committed."""
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256).save(content, "PNG", optimize=True)
    return content.getvalue()
