"""Executed notebooks as pages of their own: nbconvert's cells, formulas as MathML, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from jinja2 import PackageLoader
from latex2mathml.converter import convert
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TAG = re.compile(r"\\tag\{(.*?)\}")


class _Renderer(IPythonRenderer):
    """nbconvert leaves formulas to a script from the network; browsers understand MathML by themselves."""

    def block_math(self, text: str) -> str:
        number = TAG.search(text)
        label = f'<span class="equation-number">({number[1]})</span>' if number else ""
        # A span: within a text the formula stands in a paragraph.
        return f'<span class="equation">{convert(TAG.sub("", text), display="block")}{label}</span>'

    def inline_math(self, text: str) -> str:
        return convert(text)


def notebook_page(path: Path) -> tuple[str, Markup]:
    """The title of an executed notebook, its first heading, and its cells as HTML. ``ValueError`` for another file."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise ValueError(f"{path} is no notebook: delete it and run the notebooks again") from error
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", "\n".join(texts), re.MULTILINE)
    loader = PackageLoader(__package__, "templates")
    exporter = HTMLExporter(template_name="basic", template_file="cells.html.j2", extra_loaders=[loader])
    exporter.register_filter("markdown2html", _markdown)
    body, _ = exporter.from_notebook_node(notebook)
    return heading[1].strip() if heading else path.stem, Markup(body)


def _markdown(source: str) -> str:
    return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)
