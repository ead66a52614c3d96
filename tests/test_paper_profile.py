"""The paper profile, run as a researcher runs it: full-size networks, 224-pixel pictures, notebooks and report.

What is small are the data (two dozen photos in the official layouts), the epochs (one), and the lists of what is tried.
"""

import os
import subprocess
from pathlib import Path

import nbformat
import pytest
from paper_fixture import PROFILE, write_everything

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


def profile_file(folder, name, changes):
    path = folder / f"{name}.py"
    path.write_text(f"{PROFILE.read_text()}\nPROFILE = replace(PROFILE, {changes})\n")
    return path


# Data and guide, end-to-end training, a study, the estimates: what the others do is made of the same parts, and each takes
# a minute. All of them: ``paper_transcript.py``.
NOTEBOOKS = ("01", "02", "04", "09")


def test_the_notebooks_run(everything, tmp_path):
    # One data set, for the time; the other one is the next test's.
    profile = profile_file(tmp_path, "one-dataset", "datasets=PROFILE.datasets[:1]")
    done = run({**everything, "profile": profile}, tmp_path, "--only", *NOTEBOOKS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    results = tmp_path / "figures" / "one-dataset"
    expected = sorted(
        path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb") if path.name[:2] in NOTEBOOKS
    )
    assert sorted(path.name for path in (results / "notebooks").glob("*.ipynb")) == expected
    for name in expected:
        cells = nbformat.read(results / "notebooks" / name, as_version=4).cells
        assert all(cell.execution_count for cell in cells if cell.cell_type == "code" and cell.source.strip())
    # Results of a profile of one's own cannot be taken for the article's.
    assert [path.name for path in results.parent.iterdir()] == ["one-dataset"]
    assert (results / "tag_statistics.csv").exists() and (results / "index.html").exists()


def test_both_data_sets_and_all_networks_pass_the_check(everything, tmp_path):
    done = run(everything, tmp_path, "--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("Everything is there.")
    names = (
        "mirflickr",
        "nuswide",
        "ViT-B-32-quickgelu",
        "ViT-B-32, laion",
        "alexnet",
        "resnet50",
        "vit_b_16",
        "word vec",
    )
    assert all(f"\n  {name}" in done.stdout for name in names)
    assert not (tmp_path / "figures").exists()


def test_what_lacks_is_named_before_anything_runs(everything, tmp_path):
    (tmp_path / "empty").mkdir()
    # Without the torchvision networks, whose hub would be tried.
    study = "replace(PROFILE.study, backbones=PROFILE.study.backbones[3:])"
    profile = profile_file(tmp_path, "lacking", f"backbone='guide', study={study}")
    refused = run({"profile": profile, "data": tmp_path / "empty", "weights": tmp_path / "empty"}, tmp_path)
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
