"""The code and the libraries that a result depends on, as a part of its name."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from functools import cache
from pathlib import Path

import ctrh
from ctrh.store import content_key

# Those whose numbers end up in the results; a new version of one of them makes new results.
LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "scipy", "scikit-learn", "pillow")
FOLDER = Path(ctrh.__file__).parent.parent
# What data and guides make is in the name by its content; the others store and show numbers, and make none.
LEFT_OUT = ("ctrh.data", "ctrh.guide", "ctrh.paper", "ctrh.store", "ctrh.progress")


@cache
def versions() -> dict[str, str]:
    """The versions of ctrh and of ``LIBRARIES``."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"ctrh": ctrh.__version__, **found}


@cache
def code_key(*modules: str) -> str:
    """Names what ``modules`` (default: all methods) and all that they import within ctrh do: another comment or docstring
    is the same code."""
    found, waiting = {}, [*modules] or ["ctrh.methods.registry"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            path = _path(name) if name.startswith("ctrh.") else Path(sys.modules[name].__file__)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            waiting += imported(tree)
            found[name] = ast.dump(without_docstrings(tree))
    return content_key(found)


def imported(tree: ast.Module) -> list[str]:
    """The modules of ctrh that a module imports, by their full names, without those ``LEFT_OUT``."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # "from ctrh import training" names a module, "from ctrh.training import train" one and what is in it.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = (name for name in names if name.startswith("ctrh.") and not name.startswith(LEFT_OUT))
    return [name for name in own if _path(name).exists()]


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same program; what is parsed has no comments anyway."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _path(module: str) -> Path:
    return FOLDER.joinpath(*module.split(".")).with_suffix(".py")
