"""Imports go one way: data, guide, methods, paper. Retrieval knows of none of them; no module imports itself by a detour."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ctrh"
# Of what stands beside the packages this is used by all; the rest is the learning of codes. The app puts all to use.
FOR_ALL = {"store", "progress", "workers"}
USE = {"app", "__main__"}
ORDER = ("retrieval", "data", "guide", "learning", "methods", "paper")


def imported():
    """Module -> the modules of the package that it imports, anywhere in its text."""
    paths = {
        ".".join(("ctrh", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in PACKAGE.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                # "from ctrh.paper import style" imports a module, "from ctrh.store import replacing" a name in one.
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        graph[name] = {each for each in found if each in modules and each != name}
    return graph


GRAPH = imported()


def layer(module):
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in FOR_ALL:
        return None
    return "use" if parts[1] in USE else parts[1] if parts[1] in ORDER else "learning"


def test_layers_import_only_what_lies_before_them():
    wrong = [
        (module, other)
        for module, others in GRAPH.items()
        for other in others
        if layer(module) in ORDER
        and layer(other) in ORDER
        and ORDER.index(layer(other)) > ORDER.index(layer(module))
    ]
    assert wrong == []


@pytest.mark.parametrize("alone, allowed", [("retrieval", {"retrieval"}), ("data", {"data"})])
def test_what_stands_alone_knows_of_nothing_else(alone, allowed):
    known = {layer(other) for module in GRAPH if layer(module) == alone for other in GRAPH[module]}
    assert known <= allowed | {None}


def test_no_layer_knows_what_puts_it_to_use():
    for module, others in GRAPH.items():
        if layer(module) not in ("paper", "use"):
            assert {layer(other) for other in others} <= {*ORDER[:-1], None}, module


def test_no_module_imports_itself_by_a_detour():
    # A package stands for its __init__ alone, which its own modules load first.
    graph = {
        module: {each for each in others if not module.startswith(f"{each}.")}
        for module, others in GRAPH.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these import one another: {' -> '.join(error.args[1])}")
