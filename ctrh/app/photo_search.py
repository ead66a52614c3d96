"""A trained hasher with the codes of a photo collection, in one folder: fitted once, searched with pictures or words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ctrh.app import model_folder
from ctrh.app.model_folder import INDEX, TUNED_GUIDE, WEIGHTS, EncoderSpec
from ctrh.backbones import Backbone, backbone_features, load_backbone
from ctrh.data.images import FileImages, upright_rgb
from ctrh.data.photos import Images
from ctrh.guide.clip import Guide, load_guide
from ctrh.guide.features import image_features
from ctrh.methods.ctrh import CTRH
from ctrh.methods.deep import DeepHasher
from ctrh.methods.text_codes import text_scores
from ctrh.retrieval.code_file import write_code_file
from ctrh.retrieval.codes import pack, unpack
from ctrh.retrieval.search import EXACT, HammingIndex
from ctrh.store import replacing, sha256

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def guide_of(spec: EncoderSpec, device: str = "cpu") -> Guide:
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"there is no {device} here: leave --device out")
    return load_guide(spec.guide, spec.pretrained, spec.weights_dir, device)


def backbone_of(spec: EncoderSpec, guide: Guide | None) -> Backbone:
    """The backbone, frozen; ``guide``: that of ``spec``, needed where it is the backbone."""
    return load_backbone("guide", guide) if spec.backbone == "guide" else load_backbone(spec.backbone)


def features_of(images: Images, spec: EncoderSpec, guide: Guide) -> np.ndarray:
    """(N, F) float32 features of the pictures, cached on disk."""
    if spec.backbone == "guide":
        # Tag refinement has computed these already, in the same pass over the pictures.
        return image_features(guide, images).class_token
    return backbone_features(images, backbone_of(spec, guide), device=guide.device)


@dataclass(frozen=True)
class PhotoSearch:
    """``hasher`` and ``backbone`` turn a picture into a code; ``index`` holds the codes of the photos ``names``.

    ``digests``: SHA-256 of the photos' files, as they were when they were encoded; ``text_guide``: the guide whose text
    features the hasher has learned from, None where no words will ask; ``folder``: where the photos lie.
    """

    hasher: DeepHasher | BaseEstimator
    backbone: Backbone
    index: HammingIndex
    names: tuple[str, ...]
    digests: tuple[str, ...]
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
        distances, rows = self.index.search(pack(encode(self.hasher, features.float().numpy())), k)
        return [(self.names[row], int(distance)) for row, distance in zip(rows[0], distances[0], strict=True)]

    def search_text(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """The ``k`` photos whose codes fit "A photo of a {text}" best: name and cos(v, r), the highest first.

        :mod:`ctrh.methods.text_codes` says how; photos of equal codes come in the order of the index.
        """
        if self.text_guide is None:
            raise ValueError("this search was loaded without text=True: it answers pictures only")
        if not self.text_guide.reads_whole(text):
            warnings.warn("the text is longer than the guide reads: its end makes no difference", stacklevel=2)
        features = self.text_guide.text_features([text])  # (1, D)
        scores = text_scores(self.hasher, unpack(self.index.codes, self.index.bits), features)[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self.names[row], float(scores[row])) for row in best]


def save_search(
    out: Path,
    hasher: DeepHasher | BaseEstimator,
    codes: np.ndarray,
    images: FileImages,
    spec: EncoderSpec,
    backbone_key: str,
    tuned_guide: Guide | None,
    about: Mapping[str, object],
) -> None:
    """Writes a folder that :func:`load_search` reads. codes: (N, K) bool, of the ``images``; ``tuned_guide``: the one of
    Eq. (2), if the text features came from it and not from that of ``spec``; ``about``: whatever else is to be told.

    :func:`ctrh.app.model_folder.begin` has been called: an interruption leaves a folder that is refused, never one of
    two trainings mixed.
    """
    _save(hasher, out / WEIGHTS)
    save_photos(out, pack(codes), codes.shape[1], dict(zip(images.names, images.digests, strict=True)), images.root)
    if tuned_guide is not None:
        state = tuned_guide.model.state_dict()
        with replacing(out / TUNED_GUIDE) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in state.items()}, temporary)
    settings = {"encoder": asdict(spec), "backbone_key": backbone_key, **about}
    model_folder.finish(out, settings)


def save_photos(out: Path, codes: np.ndarray, bits: int, digests: Mapping[str, str], folder: Path) -> None:
    """Writes what photos are searched, whole or not at all: packed codes (N, ceil(K/8)), digests by name, the folder."""
    # An index that HammingIndex.load reads as well; with the digest of the weights, it belongs to one hasher alone.
    photos = {"hasher": sha256(out / WEIGHTS), "folder": str(folder.resolve()), "photos": dict(digests)}
    write_code_file(out / INDEX, {"bits": bits, "config": asdict(EXACT), **photos}, {"codes": codes})


def load_search(path: str | Path, text: bool = False) -> PhotoSearch:
    """Reads the folder that :func:`save_search` wrote. ``text``: also what searching by words needs.

    Raises ``ValueError`` for another, incomplete or mixed folder, and when the backbone's weights are not those of the
    training any more: its codes would be compared with codes of other features.
    """
    path = Path(path)
    config = model_folder.read_config(path)
    spec = config["encoder"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to say about the weights, fit has said
        guide = guide_of(spec) if spec.backbone == "guide" or text else None
    backbone = backbone_of(spec, guide)
    if backbone.key != config["backbone_key"]:
        raise ValueError(
            f"the weights of {spec.backbone} are not those that {path} was fitted with: fit it again"
        )
    if text and TUNED_GUIDE in config["files"]:
        guide = guide.with_weights(load_file(path / TUNED_GUIDE))
    about, codes = model_folder.read_photos(path, config)
    return PhotoSearch(
        hasher=_load(path / WEIGHTS, config["method"]),
        backbone=backbone,
        index=HammingIndex(codes, about["bits"]),
        names=tuple(about["photos"]),
        digests=tuple(about["photos"].values()),
        text_guide=guide if text else None,
        folder=Path(about["folder"]),
    )


def encode(hasher: DeepHasher | BaseEstimator, features: np.ndarray) -> np.ndarray:
    """(N, F) -> (N, K) bool."""
    return hasher.encode(features) if isinstance(hasher, DeepHasher) else hasher.transform(features)


def _save(hasher: DeepHasher | BaseEstimator, path: Path) -> None:
    if isinstance(hasher, DeepHasher):
        return hasher.save(path)
    # Of scikit-learn's estimators all that fit has learned are attributes that end in an underscore.
    learned = {name: torch.as_tensor(value) for name, value in vars(hasher).items() if name.endswith("_")}
    with replacing(path) as temporary:
        save_file(learned, temporary)


def _load(path: Path, method: str) -> DeepHasher | BaseEstimator:
    if method == CTRH.name:
        return CTRH.load(path)
    from ctrh.methods.registry import METHODS  # scikit-learn and the other methods take their time

    if issubclass(METHODS[method], DeepHasher):
        return METHODS[method].load(path)
    hasher = METHODS[method]()
    for name, value in load_file(path).items():
        setattr(hasher, name, value.numpy())
    return hasher
