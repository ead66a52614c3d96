"""Executed notebooks as pages of their own: nbconvert's cells, formulas as MathML, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from latex2mathml.converter import convert
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# Imports and cells that only put numbers into sentences are there to be looked up.
FOLDED = """{% extends "basic/index.html.j2" %}
{% block input_group -%}
{% if "hide-input" in cell.metadata.get("tags", []) %}<details><summary>Code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{%- endblock %}"""
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


def notebook_body(path: Path) -> Markup:
    """The cells of an executed notebook as HTML. Raises ``ValueError`` for a file that is no notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise ValueError(f"{path} is no notebook: delete it and run the notebooks again") from error
    exporter = HTMLExporter(
        template_name="basic", template_file="folded", extra_loaders=[DictLoader({"folded": FOLDED})]
    )
    exporter.register_filter("markdown2html", _markdown)
    body, _ = exporter.from_notebook_node(notebook)
    return Markup(body)


def _markdown(source: str) -> str:
    return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)


def notebook_title(path: Path) -> str:
    """The first heading of a notebook, its file's name where it has none."""
    for cell in nbformat.read(path, as_version=4).cells:
        heading = re.search(r"^# +(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            return heading[1].strip()
    return path.stem
