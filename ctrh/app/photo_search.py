"""A trained hasher with the codes of a photo collection, in one folder: fitted once, searched with pictures or words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ctrh.backbones import Backbone, backbone_features, load_backbone
from ctrh.data.images import upright_rgb
from ctrh.data.photos import Images
from ctrh.guide.clip import Guide, load_guide
from ctrh.guide.features import image_features
from ctrh.methods.ctrh import CTRH
from ctrh.methods.text_codes import text_scores
from ctrh.retrieval.codes import pack, unpack
from ctrh.retrieval.search import HammingIndex
from ctrh.store import replacing

CONFIG, WEIGHTS, INDEX, NAMES = "config.json", "ctrh.safetensors", "codes.index", "names.json"
TUNED_GUIDE = "guide.safetensors"  # only where the guide was fine-tuned
FILES = CONFIG, WEIGHTS, INDEX, NAMES, TUNED_GUIDE


@dataclass(frozen=True)
class EncoderSpec:
    """Which networks turn a picture into features, so that a search can load the same ones again.

    ``guide``, ``pretrained``, ``weights_dir``: as :func:`ctrh.guide.clip.load_guide` takes them; ``backbone``: a name
    of :data:`ctrh.backbones.BACKBONES`, "guide" for the guide's own image encoder.
    """

    guide: str = "small"
    pretrained: str | None = None
    weights_dir: str | None = None
    backbone: str = "guide"

    def load_guide(self, device: str = "cpu") -> Guide:
        return load_guide(self.guide, self.pretrained, self.weights_dir, device)

    def load_backbone(self, guide: Guide | None = None) -> Backbone:
        """The backbone, frozen. ``guide``: to be used when it is loaded already."""
        if self.backbone == "guide":
            return load_backbone("guide", guide or self.load_guide())
        return load_backbone(self.backbone)


def features_of(images: Images, spec: EncoderSpec, guide: Guide) -> np.ndarray:
    """(N, F) float32 features of the pictures, cached on disk."""
    if spec.backbone == "guide":
        # Tag refinement has computed these already, in the same pass over the pictures.
        return image_features(guide, images).class_token
    return backbone_features(images, spec.load_backbone(), device=guide.device)


@dataclass(frozen=True)
class PhotoSearch:
    """``hasher`` and ``backbone`` turn a picture into a code; ``index`` holds the codes of the photos ``names``.

    ``text_guide``: the guide whose text features the hasher has learned from, None where no words will ask; ``folder``:
    where the photos lie, for showing them.
    """

    hasher: CTRH
    backbone: Backbone
    index: HammingIndex
    names: tuple[str, ...]
    text_guide: Guide | None
    folder: Path

    def __post_init__(self) -> None:
        if len(self.names) != len(self.index):
            raise ValueError(f"{len(self.names)} names for {len(self.index)} codes")

    def search(self, picture: Image.Image, k: int = 10) -> list[tuple[str, int]]:
        """The ``k`` nearest photos (all when there are fewer): name and Hamming distance, nearest first."""
        pixels = self.backbone.preprocess(upright_rgb(picture))
        with torch.inference_mode():
            features = self.backbone.module(pixels[None])  # (1, F)
        distances, rows = self.index.search(pack(self.hasher.encode(features.float().numpy())), k)
        return [(self.names[row], int(distance)) for row, distance in zip(rows[0], distances[0], strict=True)]

    def search_text(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """The ``k`` photos whose codes fit "A photo of a {text}" best: name and cos(v, r), the highest first.

        :mod:`ctrh.methods.text_codes` says how; photos of equal codes come in the order of the index.
        """
        if self.text_guide is None:
            raise ValueError("this search was loaded without text=True: it answers pictures only")
        features = self.text_guide.text_features([text])  # (1, D)
        scores = text_scores(self.hasher, unpack(self.index.codes, self.index.bits), features)[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self.names[row], float(scores[row])) for row in best]


def save_search(
    out: Path,
    hasher: CTRH,
    codes: np.ndarray,
    names: Sequence[str],
    folder: Path,
    spec: EncoderSpec,
    backbone_key: str,
    tuned_guide: Guide | None,
    about: Mapping[str, object],
) -> None:
    """Writes a folder that :func:`load_search` reads. codes: (N, K) bool; ``tuned_guide``: the one of Eq. (2), if the
    text features came from it and not from that of ``spec``; ``about``: whatever else is to be told.

    An interruption leaves a folder that is refused, never one of two trainings mixed: the configuration is
    taken away first and written last.
    """
    (out / CONFIG).unlink(missing_ok=True)
    hasher.save(out / WEIGHTS)
    HammingIndex(pack(codes), codes.shape[1]).save(out / INDEX)
    _write_json(out / NAMES, list(names))
    (out / TUNED_GUIDE).unlink(missing_ok=True)
    if tuned_guide is not None:
        state = tuned_guide.model.state_dict()
        with replacing(out / TUNED_GUIDE) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in state.items()}, temporary)
    settings = {
        "encoder": asdict(spec),
        "backbone_key": backbone_key,
        "folder": str(folder.resolve()),
        "tuned_guide": tuned_guide is not None,
        **about,
    }
    _write_json(out / CONFIG, settings)


def load_search(path: str | Path, text: bool = False) -> PhotoSearch:
    """Reads the folder that :func:`save_search` wrote. ``text``: also what searching by words needs.

    Raises ``ValueError`` for another or incomplete folder, and when the backbone's weights are not those of the
    training any more: its codes would be compared with codes of other features.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise ValueError(
            f"{path} holds no complete model: make one with python -m ctrh fit FOLDER --out {path}"
        )
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        names = tuple(json.loads((path / NAMES).read_text(encoding="utf-8")))
        spec, folder = EncoderSpec(**config["encoder"]), Path(config["folder"])
        tuned = path / TUNED_GUIDE if config["tuned_guide"] else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): fit the model again") from error
    guide = spec.load_guide() if spec.backbone == "guide" or text else None
    backbone = spec.load_backbone(guide)
    if backbone.key != config["backbone_key"]:
        raise ValueError(
            f"the weights of {spec.backbone} are not those that {path} was fitted with: fit it again"
        )
    try:
        hasher = CTRH.load(path / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{path / WEIGHTS} is damaged ({error}): fit the model again") from error
    index = HammingIndex.load(path / INDEX)
    if guide is not None and tuned is not None and text:
        try:
            guide = guide.with_weights(load_file(tuned))
        except SafetensorError as error:
            raise ValueError(f"{tuned} is damaged ({error}): fit the model again") from error
    return PhotoSearch(hasher, backbone, index, names, guide if text else None, folder)


def _write_json(path: Path, value: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
