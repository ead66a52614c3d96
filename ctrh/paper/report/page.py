"""The report put together: ``index.html`` and the notebooks as pages, all written whole or not at all."""

from __future__ import annotations

import platform
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from pprint import pformat

import jinja2
import pandas as pd
from markupsafe import Markup

from ctrh.methods.registry import references
from ctrh.paper.outputs import ROOT, results_dir
from ctrh.paper.profiles import Profile
from ctrh.paper.report.explorer import explorer
from ctrh.paper.report.notebook_pages import notebook_page
from ctrh.paper.report.provenance import commit, machine
from ctrh.paper.report.results import read_results
from ctrh.paper.runs import versions
from ctrh.paper.tables import NAMES
from ctrh.store import replacing
from ctrh.workers import end_with_parent

OWN = "CTRH"


def build(profile: Profile) -> list[Path]:
    """Writes the report of what ``profile`` has left and lists what is missing; the pages, ``index.html`` first.
    Raises ``ValueError`` for a file that cannot be read."""
    folder = results_dir(profile.name)
    executed = sorted((folder / "notebooks").glob("*.ipynb"))
    # The notebooks' cells take as long as everything else: another process makes pages of them meanwhile.
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as other:
        pages = other.map(notebook_page, executed)
        results, explored = read_results(folder, profile), explorer(profile)
        notebooks = list(zip(executed, pages))
    index = render(
        "report.html.j2",
        profile=profile,
        results=results,
        explorer=explored,
        notebooks=[(title, f"notebooks/{path.stem}.html") for path, (title, _) in notebooks],
        glances=glances(folder, profile),
        data_note=data_note(profile),
        settings=pformat(profile, width=100),
        python=platform.python_version(),
        versions=versions(),
        machine=machine(),
        commit=commit(ROOT),
        built=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    written = {folder / "index.html": index}
    for path, (title, body) in notebooks:
        page = render("notebook.html.j2", profile=profile, title=title, body=body)
        written[path.with_suffix(".html")] = page
    for path, text in written.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(written)


def glances(folder: Path, profile: Profile) -> list[dict]:
    """For each ``dataset`` of Table 1 mean mAP@all of CTRH (``ours``) and the best ``other`` ``method``, references aside."""
    path, found = folder / "table1.csv", []
    if not path.exists():
        return []
    means = pd.read_csv(path).pivot_table("mean", "dataset", "method", sort=False)
    for name in (settings.data.name for settings in profile.datasets):
        row = means.T.get(name, pd.Series(dtype=float)).dropna()
        others = row.drop([OWN, *references()], errors="ignore")
        if OWN in row and len(others):
            best = {"method": others.idxmax(), "other": others.max()}
            found.append({"dataset": name, "ours": row[OWN], **best})
    return found


def data_note(profile: Profile) -> str:
    """Says on what the page's numbers were measured, and what they must not be taken for."""
    names = " and ".join(settings.data.name for settings in profile.datasets)
    own = f"Numbers headed “measured” are of this profile’s own runs on {names}; "
    if all(settings.data.name == settings.article for settings in profile.datasets):
        return own + "“published” ones are the article’s."
    if not any(settings.article for settings in profile.datasets):
        return own + "the article has none on these photos."
    drawn = all(settings.data.name.startswith("scenes-") for settings in profile.datasets)
    what = f"drawn scenes ({names})" if drawn else names
    stand = " and ".join(NAMES.get(settings.article, settings.article) for settings in profile.datasets)
    return (
        f"Every number headed “measured” was measured here, on {what}, and is never the article’s. The article’s own, "
        f"on {stand}, stand beside them in columns headed “published”: the same question, other photos."
    )


def render(template: str, **values: object) -> str:
    """A template of the package, filled in; what is put in is escaped."""
    loader = jinja2.PackageLoader(__package__, "templates")
    options = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=loader, autoescape=True, **options)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    # Styles and scripts are the package's own.
    templates = files(__package__) / "templates"
    environment.globals["include"] = lambda name: Markup((templates / name).read_text(encoding="utf-8"))
    return environment.get_template(template).render(values)
