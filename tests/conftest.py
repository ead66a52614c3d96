"""Shared fixtures: a cache of one's own for every test, and a guide and photos small enough for a loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from safetensors.torch import save_file

from ctrh.app.cli import main
from ctrh.data.images import ArrayImages
from ctrh.data.photos import Photos, random_split
from ctrh.data.vocabulary import tag_matrix
from ctrh.guide import small
from ctrh.guide.clip import Guide

WORDS = ("dog", "cat", "sea", "sky", "nikon", "sunset")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes goes first: at the end, all cores but one would wait for it."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path.suffix != ".ipynb"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, so that no test reads what another (or a user's run) has left."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CTRH_CACHE", str(folder))
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    return folder


@pytest.fixture(scope="session")
def tiny_clip() -> Callable[..., CLIP]:
    """``tiny_clip(seed, **vision)``: a random CLIP of 2 layers, width 32, 32x32 pixels in 16 patches, 24-d
    space."""

    def build(seed: int = 0, **vision: object) -> CLIP:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = CLIP(
                embed_dim=24,
                vision_cfg=CLIPVisionCfg(
                    **{
                        "layers": 2,
                        "width": 32,
                        "head_width": 16,
                        "patch_size": 8,
                        "image_size": 32,
                        **vision,
                    }
                ),
                text_cfg=CLIPTextCfg(context_length=16, width=32, heads=2, layers=2),
            )
            # open_clip starts the biases of norms and attention at zero, which would hide a forgotten one.
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    torch.nn.init.normal_(parameter, std=0.1)
        return model

    return build


@pytest.fixture(scope="session")
def tiny_tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer(context_length=16)


@pytest.fixture(scope="session")
def tiny_guide(tiny_clip: Callable[..., CLIP], tiny_tokenizer: SimpleTokenizer) -> Guide:
    """A random guide with real open_clip parts: 17 tokens, D = 24. Nothing may change it."""
    return Guide("tiny", tiny_clip(), open_clip.image_transform(32, is_train=False), tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_photos() -> Photos:
    """20 noise pictures (36x40) with 0-4 of 6 tags each, the first two without any; the true tags are
    known."""
    generator = np.random.default_rng(7)
    pixels = generator.integers(0, 256, (20, 36, 40, 3), dtype=np.uint8)
    lists = [[]] * 2 + [
        list(generator.choice(WORDS, generator.integers(1, 5), replace=False)) for _ in range(18)
    ]
    truth = [list(generator.choice(WORDS, 2, replace=False)) for _ in range(20)]
    return Photos(
        name="tiny",
        images=ArrayImages(pixels),
        names=[f"photo{i}" for i in range(20)],
        tags=tag_matrix(lists, WORDS),
        vocabulary=WORDS,
        common=np.array([True, True, True, True, False, True]),
        split=random_split(20, queries=4, train=12, seed=0),
        truth=tag_matrix(truth, WORDS),
    )


COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 190)}


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file for the shipped guide's architecture with random weights: what is tested here is not their use."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(
            {name: value.contiguous() for name, value in small.build().model.state_dict().items()}, path
        )
    return path


@pytest.fixture
def folder(tmp_path):
    """Twelve noisy pictures in three colours, tagged and labelled by colour."""
    root, generator = tmp_path / "photos", np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    tags, labels = ["image,tags"], ["image,labels"]
    for index in range(12):
        colour = list(COLOURS)[index % 3]
        pixels = generator.normal(COLOURS[colour], 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{index:02}.png")
        tags.append(f"{index:02}.png,{colour} colour photo")
        labels.append(f"{index:02}.png,{colour}")
    (root / "tags.csv").write_text("\n".join(tags))
    (root / "labels.csv").write_text("\n".join(labels))
    return root


@pytest.fixture
def fit(folder, weights, tmp_path):
    """``fit(*options)`` runs the command on the folder; ``fit.out`` is its model."""

    def run(*options):
        options = ("--pretrained", weights, "--bits", 8, "--epochs", 2, "--queries", 3, *options)
        return main(["fit", str(folder), "--out", str(run.out), *map(str, options)])

    run.out = tmp_path / "model"
    return run


def failed(capsys, code):
    """The one line that a user sees when a command fails for a reason that the user can mend."""
    assert code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]
