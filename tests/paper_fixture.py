"""All that the paper profile takes from outside, small where size is not the point: photos, word vectors, and full-size
networks with random weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import torch
import torchvision.models as zoo
from flickr_fixtures import NOISE, write_mirflickr, write_nuswide
from open_clip.model import CLIP
from safetensors.torch import save_file

PROFILE = Path(__file__).with_name("paper-fixture.py")


def write_everything(folder: Path) -> dict[str, Path]:
    """The profile file, and below ``folder`` the folder of data and that of weights."""
    write_mirflickr(folder / "data", photos=20, words=10, size=(256, 240))
    write_nuswide(folder / "data" / "nuswide", photos=24, words=10, size=(256, 240))
    write_weights(folder / "weights")
    return {"profile": PROFILE, "data": folder / "data", "weights": folder / "weights"}


def write_weights(folder: Path) -> None:
    """Random weights in half precision under the names that the loaders look for."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for name, build in {"alexnet": zoo.alexnet, "resnet50": zoo.resnet50, "vit_b_16": zoo.vit_b_16}.items():
        _save(build(weights=None), folder / f"{name}.safetensors")
    clip = folder / "ViT-B-32-quickgelu-openai.safetensors"
    _save(CLIP(**open_clip.get_model_config("ViT-B-32-quickgelu")), clip)
    # The same numbers make another guide: this one computes GELU.
    (folder / "ViT-B-32-laion2b_s34b_b79k.safetensors").hardlink_to(clip)
    write_word_vectors(folder / "GoogleNews-vectors-negative300.bin")


def _save(model: torch.nn.Module, path: Path) -> None:
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_file(state, path)


def write_word_vectors(path: Path) -> None:
    """word2vec's binary format: a line with the sizes, then each word, a blank and its numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Most of what the photos are tagged with: random guides choose any of it.
    shown = "animals bird car clouds dog flower food sea sky tree water airport beach bears boats bridge NYC".split()
    words = [*shown, *NOISE]
    vectors = np.random.default_rng(0).standard_normal((len(words), 300)).astype("<f4")
    with open(path, "wb") as file:
        file.write(f"{len(words)} 300\n".encode())
        for word, vector in zip(words, vectors):
            file.write(word.encode() + b" " + vector.tobytes() + b"\n")
