"""The paper profile as a whole, run as a researcher runs it: full-size networks, 224-pixel pictures, every notebook.

What is small are the data (two dozen photos in the official layouts), the epochs (one), and the lists of what is tried.
"""

import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest
from paper_fixture import CHANGES, write_everything

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return write_everything(tmp_path_factory.mktemp("outside"))


def run(outside, folder, *arguments):
    """``run_all.sh`` with a cache, results and a home of its own, and without a hub."""
    options = [f"--{name}={path}" for name, path in outside.items()]
    own = {
        "CTRH_CACHE": "cache",
        "CTRH_FIGURES": "figures",
        "HOME": "home",
        "TORCH_HOME": "home",
        "HF_HOME": "home",
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CTRH_")}
    environ |= {name: str(folder / below) for name, below in own.items()} | {"HF_HUB_OFFLINE": "1"}
    command = [ROOT / "run_all.sh", *options, *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True)


def test_every_notebook_runs(everything, tmp_path):
    done = run(everything, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    results = tmp_path / "figures" / "paper-fixture"
    expected = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert sorted(path.name for path in (results / "notebooks").iterdir()) == expected
    for name in expected:
        cells = nbformat.read(results / "notebooks" / name, as_version=4).cells
        assert all(cell.execution_count for cell in cells if cell.cell_type == "code" and cell.source.strip())
    # Results of a profile of one's own cannot be taken for the paper's.
    assert [path.name for path in results.parent.iterdir()] == ["paper-fixture"]
    assert (results / "tag_statistics.csv").exists() and (results / "index.html").exists()
    again = run(everything, tmp_path, "--check")
    assert again.returncode == 0 and again.stdout.rstrip().endswith("Everything is there.")


def test_what_lacks_is_named_before_anything_runs(everything, tmp_path):
    (tmp_path / "empty").mkdir()
    # Without the torchvision networks, whose hub would be tried.
    changes = {
        **CHANGES,
        "backbone": "guide",
        "study": {"backbones": {"AlexNet": None, "ResNet-50": None, "ViT-B-16": None}},
    }
    profile = tmp_path / "lacking.json"
    profile.write_text(json.dumps(changes))
    asked = {"profile": profile, "data": tmp_path / "empty", "weights": tmp_path / "empty"}
    refused = run(asked, tmp_path)
    assert refused.returncode == 1 and not (tmp_path / "figures").exists()
    for part in (
        "holds no mirflickr",
        "holds no ImageList",
        "'openai'",
        "'laion2b_s34b_b79k'",
        "no word vectors",
    ):
        assert part in refused.stderr, refused.stderr
    assert refused.stderr.count("\n  (") == 5
