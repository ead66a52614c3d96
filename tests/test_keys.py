"""What a run's name says of the code: all that it uses, nothing that it does not, and no prose."""

import ast

import pytest

from ctrh.methods.registry import METHODS
from ctrh.paper import keys

LAYERS = "from ctrh.network import HashLayer\nfrom ctrh import losses\n"


def key(monkeypatch, tmp_path, **texts: str) -> str:
    """The name of ctrh.methods.one in a package whose modules have these texts."""
    for name in ("methods/one", "network", "losses", "training", "data"):
        path = tmp_path / "ctrh" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(path.stem, "x = 1\n"))
    monkeypatch.setattr(keys, "FOLDER", tmp_path)
    keys.code_key.cache_clear()
    return keys.code_key("ctrh.methods.one")


@pytest.fixture(autouse=True)
def fresh():
    yield
    keys.code_key.cache_clear()


def test_what_is_imported_counts_directly_or_not(monkeypatch, tmp_path):
    texts = {"one": LAYERS, "network": "def f():\n    from ctrh import training\n"}
    usual = key(monkeypatch, tmp_path, **texts)
    for changed in ("losses", "training"):
        assert key(monkeypatch, tmp_path, **texts, **{changed: "x = 2\n"}) != usual
    assert key(monkeypatch, tmp_path, **texts, data="x = 2\n") == usual
    assert key(monkeypatch, tmp_path, one="from ctrh.network import f\n", losses="x = 2\n") == key(
        monkeypatch, tmp_path, one="from ctrh.network import f\n"
    )


def test_prose_does_not_count(monkeypatch, tmp_path):
    plain = key(monkeypatch, tmp_path, one="class A:\n    def f(self):\n        return 'a text'\n")
    told = '"""About."""\n\nclass A:  # a remark\n    """What."""\n\n    def f(self):\n        """How."""\n        return "a text"\n'
    assert key(monkeypatch, tmp_path, one=told) == plain
    assert key(monkeypatch, tmp_path, one=told.replace("a text", "a word")) != plain


def test_a_method_without_losses_does_not_depend_on_them():
    def modules(name: str) -> set[str]:
        found, waiting = set(), [METHODS[name].__module__]
        while waiting:
            if (module := waiting.pop()) not in found:
                found.add(module)
                waiting += keys.imported(ast.parse(keys._path(module).read_text()))
        return found

    assert modules("ITQ") == {f"ctrh.methods.{name}" for name in ("itq", "method", "principal")}
    assert {"ctrh.methods.wdht", "ctrh.losses", "ctrh.training", "ctrh.encoding"} <= modules("EWSH")
    assert "ctrh.methods.mgrn" not in modules("EWSH")
    own = {method.__module__ for method in METHODS.values()}  # the references share theirs
    assert len({keys.code_key(module) for module in own}) == len(own)
