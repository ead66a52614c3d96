"""The report put together: ``index.html`` and the notebooks as pages, all written whole or not at all."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from ctrh.paper.outputs import results_dir
from ctrh.paper.profiles import Profile
from ctrh.paper.report.explorer import Explorer, explorer
from ctrh.paper.report.notebook_pages import notebook_body, notebook_title
from ctrh.paper.report.provenance import provenance, settings_text
from ctrh.paper.report.results import Results, read_results
from ctrh.paper.tables import NAMES
from ctrh.store import replacing
from ctrh.workers import end_with_parent

OWN = "CTRH"
INDEX = "index.html"


def build(profile: Profile) -> list[Path]:
    """Writes the report of what ``profile`` has left among its results; the pages, ``index.html`` first.

    Whatever is not there yet is listed on the page. Raises ``ValueError`` for a file that cannot be read.
    """
    folder = results_dir(profile.name)
    executed = sorted((folder / "notebooks").glob("*.ipynb"))
    titles = [notebook_title(path) for path in executed]
    links = [(title, f"notebooks/{path.stem}.html") for title, path in zip(titles, executed)]
    # The notebooks' cells take as long as everything else: another process makes pages of them meanwhile.
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as other, ExitStack() as unless_done:
        unless_done.callback(other.shutdown, wait=False, cancel_futures=True)
        bodies = [other.submit(notebook_body, path) for path in executed]
        page = index(
            profile, read_results(folder, profile), explorer(profile), links, glances(folder, profile)
        )
        for path, title, body in zip(executed, titles, bodies):
            text = render("notebook.html.j2", profile=profile, title=title, body=body.result())
            _write(path.with_suffix(".html"), text)
    _write(folder / INDEX, page)
    return [folder / INDEX, *(path.with_suffix(".html") for path in executed)]


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Glance:
    """mAP@all in percent, mean over code lengths: CTRH's, and that of the best other ``method``."""

    dataset: str
    ours: float
    method: str
    other: float

    @property
    def ahead(self) -> bool:
        return self.ours >= self.other


def glances(folder: Path, profile: Profile) -> list[Glance]:
    """One for each data set of the first table; none where that is not there or lacks CTRH or another method."""
    path = folder / "table1.csv"
    if not path.exists():
        return []
    means = pd.read_csv(path).groupby(["dataset", "method"], sort=False)["mean"].mean()
    found = []
    for settings in profile.datasets:
        name = settings.data.name
        mine = means[name] if name in means.index.get_level_values(0) else pd.Series(dtype=float)
        others = mine.drop(OWN, errors="ignore")
        if OWN in mine and len(others):
            found.append(Glance(name, float(mine[OWN]), str(others.idxmax()), float(others.max())))
    return found


def index(
    profile: Profile,
    results: Results,
    explored: Explorer,
    notebooks: list[tuple[str, str]],
    at_a_glance: list[Glance],
) -> str:
    """The page as text. ``notebooks``: (title, link)."""
    contents = [("framework", "The framework")] if results.framework else []
    contents += [("explorer", "See for yourself")]
    contents += [("claims", "The claims, checked")] if results.claims else []
    contents += [(section.name, section.title) for section, _ in results.sections]
    return render(
        "report.html.j2",
        profile=profile,
        results=results,
        explorer=explored,
        explorer_json=as_script_data(explored.data),
        notebooks=notebooks,
        glances=at_a_glance,
        contents=[*contents, ("sources", "Where this comes from")],
        data_note=data_note(profile),
        facts=provenance(profile, explored.training_seconds or None),
        settings=settings_text(profile),
    )


def data_note(profile: Profile) -> str:
    """Says on what the page's numbers were measured, and what they must not be taken for."""
    names = " and ".join(settings.data.name for settings in profile.datasets)
    if all(settings.data.name == settings.article for settings in profile.datasets):
        return f"Numbers headed “measured” are of this profile’s own runs on {names}; “published” ones are the article’s."
    if not any(settings.article for settings in profile.datasets):
        return f"Numbers headed “measured” are of this profile’s own runs on {names}; the article has none on these photos."
    drawn = all(settings.data.name.startswith("scenes-") for settings in profile.datasets)
    what = f"drawn scenes ({names})" if drawn else names
    stand = " and ".join(NAMES.get(settings.article, settings.article) for settings in profile.datasets)
    return (
        f"Every number headed “measured” was measured here, on {what}, and is never the article’s. The article’s own, "
        f"on {stand}, stand beside them in columns headed “published”: the same question, other photos."
    )


def as_script_data(data: object) -> Markup:
    """JSON that can stand inside a script element, whatever words it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def render(template: str, **values: object) -> str:
    """A template of the package, filled in; what is put in is escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Styles and scripts are the package's own.
    environment.globals["include"] = lambda name: Markup(
        (files(__package__) / "templates" / name).read_text(encoding="utf-8")
    )
    return environment
