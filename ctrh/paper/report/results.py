"""What a profile's notebooks have left in its folder, in the order of ``artefacts.csv``, and what is missing.

What no line of that file names is shown all the same, under its file's name.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ctrh.paper.profiles import Profile
from ctrh.paper.report.grids import Grid, grids
from ctrh.paper.report.pictures import embedded

TEXT_QUERIES = "text_queries"  # what the explorer shows


class Artefact(NamedTuple):
    """A table or figure; ``number``: what the article calls it, "" for none; ``notebook``: what makes it."""

    section: str
    file: str
    kind: str
    number: str
    notebook: str
    title: str
    caption: str


class Shown(NamedTuple):
    """A table (``grids``) or a figure (``picture``) that is there; ``files``: names of the files behind it."""

    artefact: Artefact
    files: list[str]
    grids: list[Grid] | None = None
    picture: dict | None = None


class Results(NamedTuple):
    """All that can be shown, the artefacts that are ``missing``, and :func:`read_claims`."""

    shown: list[Shown]
    missing: list[Artefact]
    claims: list[dict]
    files: list[str]

    def of(self, section: str) -> list[Shown]:
        return [shown for shown in self.shown if shown.artefact.section == section]


@cache
def artefacts() -> tuple[Artefact, ...]:
    """All that the page has a title for, in its order."""
    with (files(__package__) / "artefacts.csv").open(encoding="utf-8", newline="") as source:
        return tuple(Artefact(**row) for row in csv.DictReader(source))


def read_results(folder: Path, profile: Profile) -> Results:
    """Reads ``folder``. Raises ``ValueError``, naming the file, for one that cannot be read."""
    found = {artefact: _shown(folder, artefact, profile) for artefact in [*artefacts(), *_unnamed(folder)]}
    return Results(
        shown=[shown for shown in found.values() if shown],
        missing=[artefact for artefact in artefacts() if not found[artefact]],
        claims=read_claims(folder / "claims.csv"),
        files=sorted(path.name for path in folder.glob("*.csv")),
    )


def _unnamed(folder: Path) -> list[Artefact]:
    """Figures and tables that no line of ``artefacts.csv`` names."""
    named = {artefact.file for artefact in artefacts()} | {"claims", TEXT_QUERIES}
    figures = {path.stem for path in folder.glob("*.png")}
    tables = {path.stem for path in folder.glob("*.csv")} - figures
    found = [("figure", file) for file in sorted(figures - named)]
    found += [("table", file) for file in sorted(tables - named)]
    titles = [file.replace("_", " ").capitalize() for _, file in found]
    return [Artefact("further", file, kind, "", "", title, "") for (kind, file), title in zip(found, titles)]


def _shown(folder: Path, artefact: Artefact, profile: Profile) -> Shown | None:
    """None for what is not there, and for a table too long to be read."""
    suffixes = (".csv", ".md", ".tex") if artefact.kind == "table" else (".png", ".svg", ".csv")
    paths = [folder / f"{artefact.file}{suffix}" for suffix in suffixes]
    if not paths[0].exists():
        return None
    names = [path.name for path in paths if path.exists()]
    try:
        if artefact.kind == "figure":
            return Shown(artefact, names, picture=embedded(paths[0]))
        rows = pd.read_csv(paths[0], keep_default_na=False, na_values=[""])
        tables = grids(rows, profile, artefact.file)
    except (OSError, ValueError, LookupError) as error:
        remedy = f"delete it and run {artefact.notebook or 'the notebook that writes it'} again"
        raise ValueError(f"{paths[0]} cannot be read ({error}): {remedy}") from error
    return Shown(artefact, names, grids=tables) if tables else None


def read_claims(path: Path) -> list[dict]:
    """The lines of ``claims.csv``; none where there is no such file yet. Raises ``ValueError`` for missing columns."""
    if not path.exists():
        return []
    rows = pd.read_csv(path)
    if missing := {"claim", "published", "measured", "low", "high", "verdict"} - set(rows.columns):
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}: make the claims again")
    return rows.to_dict("records")
