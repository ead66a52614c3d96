"""What the README and docs/extending.md show runs as it stands (its first example on fewer photos)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ctrh
from ctrh.data import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "extending.md"]
BLOCKS = re.findall(r"```python\n(.*?)```", "".join(page.read_text(encoding="utf-8") for page in PAGES), re.S)


def test_the_method_runs_as_pasted(monkeypatch, capsys):
    everything = registry.load_photos
    few = lambda name: registry.first_photos(everything(name), 240, queries=40)  # noqa: E731
    monkeypatch.setattr(registry, "load_photos", few)
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    score = float(re.fullmatch(r"mAP@all (0\.\d+)\n", capsys.readouterr().out)[1])
    assert 0.3 < score < 1


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_imports_what_exists(block):
    imports = [node for node in ast.parse(block).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), "README.md", "exec"), {})


def test_exported_names_are_there_and_importing_waits_for_nothing():
    for name in ctrh.__all__:
        assert getattr(ctrh, name) is not None
    assert set(dir(ctrh)) == set(ctrh.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ctrh.nothing
    heavy = "import sys, ctrh; print(sorted({'torch', 'numpy', 'scipy', 'open_clip'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
