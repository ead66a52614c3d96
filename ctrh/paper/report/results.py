"""What a profile's notebooks have left in its folder, and what they have not yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ctrh.paper.profiles import Profile
from ctrh.paper.report.artefacts import CLAIMS, FRAMEWORK, SECTIONS, Artefact, Section, artefacts
from ctrh.paper.report.grids import Grid, grids
from ctrh.paper.report.pictures import Embedded, embedded

# What the explorer shows.
TEXT_QUERIES = "text_queries"
VERDICTS = {"holds": "yes", "does not hold": "no"}


@dataclass(frozen=True)
class Shown:
    """A table (``grids``) or a figure (``picture``) that is there; ``files``: names of the files behind it."""

    artefact: Artefact
    files: tuple[str, ...]
    grids: tuple[Grid, ...] = ()
    picture: Embedded | None = None

    @property
    def anchor(self) -> str:
        return f"{self.artefact.kind}-{self.artefact.file}"


@dataclass(frozen=True)
class Claim:
    """A line of ``claims.csv`` as text; ``holds``: "yes", "no" or "open"."""

    claim: str
    published: str
    measured: str
    interval: str
    verdict: str
    holds: str


@dataclass(frozen=True)
class Results:
    """All that can be shown, by section, and the artefacts that are ``missing``.

    ``framework`` and ``claims_figures`` belong to parts of the page that have a form of their own.
    """

    framework: tuple[Shown, ...]
    claims: tuple[Claim, ...]
    claims_figures: tuple[Shown, ...]
    sections: tuple[tuple[Section, tuple[Shown, ...]], ...]
    missing: tuple[Artefact, ...]
    files: tuple[str, ...]


def read_results(folder: Path, profile: Profile) -> Results:
    """Reads ``folder``. Raises ``ValueError``, naming the file, for one that cannot be read."""
    found, missing = [], []
    for artefact in artefacts():
        shown = _shown(folder, artefact, profile)
        found.append(shown) if shown else missing.append(artefact)
    found += _unnamed(folder, profile)

    def of(section: str) -> tuple[Shown, ...]:
        return tuple(each for each in found if each.artefact.section == section)

    return Results(
        framework=of(FRAMEWORK),
        claims=read_claims(folder / f"{CLAIMS}.csv"),
        claims_figures=of(CLAIMS),
        sections=tuple((section, of(section.name)) for section in SECTIONS if of(section.name)),
        missing=tuple(missing),
        files=tuple(sorted(path.name for path in folder.glob("*.csv"))),
    )


def _shown(folder: Path, artefact: Artefact, profile: Profile) -> Shown | None:
    suffixes = (".csv", ".md", ".tex") if artefact.kind == "table" else (".svg", ".png", ".csv")
    paths = [folder / f"{artefact.file}{suffix}" for suffix in suffixes]
    files = tuple(path.name for path in paths if path.exists())
    if artefact.kind == "figure":
        png = folder / f"{artefact.file}.png"
        if not png.exists():
            return None
        try:
            return Shown(artefact, files, picture=embedded(png.with_suffix(".svg"), png))
        except OSError as error:
            raise ValueError(f"{png} cannot be read ({error}): {_remedy(artefact)}") from error
    csv = folder / f"{artefact.file}.csv"
    if not csv.exists():
        return None
    try:
        rows = pd.read_csv(csv, keep_default_na=False, na_values=[""])
        tables = tuple(grids(rows, profile, artefact.file))
    except (ValueError, LookupError) as error:
        raise ValueError(f"{csv} cannot be read ({error}): {_remedy(artefact)}") from error
    return Shown(artefact, files, grids=tables) if tables else None


def _remedy(artefact: Artefact) -> str:
    return f"delete it and run {artefact.notebook or 'the notebook that writes it'} again"


def _unnamed(folder: Path, profile: Profile) -> list[Shown]:
    """Figures and readable tables that no line of the registry names."""
    named = {artefact.file for artefact in artefacts()} | {CLAIMS, TEXT_QUERIES}
    figures = {path.stem for path in folder.glob("*.png")}
    tables = {path.stem for path in folder.glob("*.csv")} - figures
    stems = [(stem, "figure") for stem in sorted(figures - named)] + [
        (stem, "table") for stem in sorted(tables - named)
    ]
    shown = []
    for stem, kind in stems:
        title = stem.replace("_", " ").capitalize()
        artefact = Artefact("further", stem, kind, "", "", title, "")
        shown.append(_shown(folder, artefact, profile))
    return [each for each in shown if each]


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The lines of ``claims.csv``; none where there is no such file yet. ``ValueError`` for missing columns."""
    if not path.exists():
        return ()
    rows = pd.read_csv(path)
    wanted = ["claim", "published", "measured", "low", "high", "verdict"]
    if not set(wanted) <= set(rows.columns):
        raise ValueError(
            f"{path} lacks {', '.join(sorted(set(wanted) - set(rows.columns)))}: make the claims again"
        )
    return tuple(_claim(*line) for line in rows[wanted].itertuples(index=False))


def _claim(claim: str, published: object, measured: object, low: object, high: object, verdict: str) -> Claim:
    interval = f"{_number(low)} to {_number(high)}" if pd.notna(low) and pd.notna(high) else ""
    verdict = str(verdict)
    return Claim(
        str(claim), _number(published), _number(measured), interval, verdict, VERDICTS.get(verdict, "open")
    )


def _number(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
