"""What the report shows, in its order: sections, and in them the tables and figures that ``artefacts.csv`` names.

A new table or figure is a line of that file. One that no line names is shown all the same, under its file's name.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Section:
    """A part of the page; ``name`` is its anchor."""

    name: str
    title: str
    lead: str


@dataclass(frozen=True)
class Artefact:
    """A table (``<file>.csv``) or figure (``<file>.svg``, ``.png``) among a profile's results.

    ``number``: what the article calls it, "" for what it has not; ``notebook``: the one that makes it.
    """

    section: str
    file: str
    kind: str
    number: str
    notebook: str
    title: str
    caption: str


# Shown before these sections, in forms of their own.
FRAMEWORK, CLAIMS = "framework", "claims"
SECTIONS = (
    Section(
        "comparison",
        "The comparison",
        "CTRH beside methods that see no tags and methods that learn from the tags as users wrote them.",
    ),
    Section(
        "tags",
        "What refinement does to tags",
        "The guide looks at a photo and proposes as many tags as its user gave. Are they better?",
    ),
    Section(
        "training",
        "Inside the training",
        "What the loss asks for, whether codes stay healthy, and which tags the network listens to.",
    ),
    Section(
        "studies",
        "Studies",
        "Which part carries how much, how much settings matter, and what other backbones and guides change.",
    ),
    Section("beyond", "Beyond the article", "Questions that its tables leave open."),
    Section("further", "Further results", "What else the notebooks of this profile have written."),
)


@cache
def artefacts() -> tuple[Artefact, ...]:
    """All that the page has a title for, in its order."""
    with (files(__package__) / "artefacts.csv").open(encoding="utf-8", newline="") as source:
        return tuple(Artefact(**row) for row in csv.DictReader(source))
