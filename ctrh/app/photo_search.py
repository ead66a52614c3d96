"""A trained hasher with the codes of a photo collection, in one folder: fitted once, searched with pictures or words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ctrh.app import model_folder
from ctrh.app.model_folder import INDEX, TUNED_GUIDE, WEIGHTS, EncoderSpec
from ctrh.app.queries import SHARE, Chance, least_of_chance, random_codes, random_texts, text_results
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

KNOWN_WORDS = 256  # enough for a mean and a deviation

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
    features the hasher has learned from, None where no words will ask; ``chance``: None where the hasher knows no words;
    ``folder``: where the photos lie.
    """

    hasher: DeepHasher | BaseEstimator
    backbone: Backbone
    index: HammingIndex
    names: tuple[str, ...]
    digests: tuple[str, ...]
    text_guide: Guide | None
    chance: Chance | None
    folder: Path

    def __post_init__(self) -> None:
        if len(self.names) != len(self.index):
            raise ValueError(f"{len(self.names)} names for {len(self.index)} codes")

    def search(self, picture: Image.Image, k: int = 10) -> list[tuple[str, int, bool]]:
        """The ``k`` nearest photos (all when there are fewer), nearest first: name, Hamming distance, and whether codes
        of random bits find photos as near."""
        pixels = self.backbone.preprocess(upright_rgb(picture))
        with torch.inference_mode():
            features = self.backbone.module(pixels[None])  # (1, F)
        return self.search_code(pack(encode(self.hasher, features.float().numpy())), k)

    def search_code(self, code: np.ndarray, k: int = 10) -> list[tuple[str, int, bool]]:
        """As :meth:`search`, for a packed code (1, ceil(K/8))."""
        distances, rows = self.index.search(code, k)
        by_chance, _ = self.index.search(pack(random_codes(unpack(self.index.codes, self.index.bits))), k)
        least = np.quantile(by_chance, SHARE, axis=0, method="lower")  # of the i-th nearest, each
        found = zip(rows[0], distances[0], distances[0] >= least, strict=True)
        return [(self.names[row], int(distance), bool(chance)) for row, distance, chance in found]

    def search_text(self, text: str, k: int = 10) -> list[tuple[str, float, bool]]:
        """The ``k`` photos whose codes fit "A photo of a {text}" best, the highest first: name, cos(v, r), and whether
        random letters do as well.

        :mod:`ctrh.methods.text_codes` says how, :func:`ctrh.app.queries.wanted` what signs in a text mean; photos of
        equal codes come in the order of the index.
        """
        if self.text_guide is None:
            raise ValueError("this search was loaded without text=True: it answers pictures only")
        found = zip(*text_results(text, self.text_scores, self.chance, k), strict=True)
        return [(self.names[row], float(score), bool(chance)) for row, score, chance in found]

    def text_scores(self, phrases: Sequence[str]) -> np.ndarray:
        """(P, N): cos(v, r) of each phrase and photo."""
        if not all(self.text_guide.reads_whole(phrase) for phrase in phrases):
            warnings.warn("the text is longer than the guide reads: its end makes no difference", stacklevel=2)
        features = self.text_guide.text_features(phrases)  # (P, D)
        return text_scores(self.hasher, unpack(self.index.codes, self.index.bits), features)


def save_search(
    out: Path,
    hasher: DeepHasher | BaseEstimator,
    codes: np.ndarray,
    images: FileImages,
    spec: EncoderSpec,
    backbone_key: str,
    guide: Guide,
    tuned_guide: Guide | None,
    about: Mapping[str, object],
) -> None:
    """Writes a folder that :func:`load_search` reads. codes: (N, K) bool, of the ``images``; ``guide``: that of
    ``spec``; ``tuned_guide``: the one of Eq. (2), if the text features came from it; ``about``: whatever else is to be told.

    :func:`ctrh.app.model_folder.begin` has been called: an interruption leaves a folder that is refused, never one of
    two trainings mixed.
    """
    _save(hasher, out / WEIGHTS)
    least = None
    if isinstance(hasher, CTRH):
        random = text_scores(hasher, codes, (tuned_guide or guide).text_features(random_texts()))
        least = least_of_chance(random, *_of_known_words(hasher, codes))
    save_photos(out, hasher, codes, dict(zip(images.names, images.digests, strict=True)), images.root, least)
    if tuned_guide is not None:
        state = tuned_guide.model.state_dict()
        with replacing(out / TUNED_GUIDE) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in state.items()}, temporary)
    settings = {"encoder": asdict(spec), "backbone_key": backbone_key, **about}
    model_folder.finish(out, settings)


def save_photos(
    out: Path,
    hasher: DeepHasher | BaseEstimator,
    codes: np.ndarray,
    digests: Mapping[str, str],
    folder: Path,
    least: float | None,
) -> None:
    """Writes what photos are searched, whole or not at all: codes (N, K) bool, digests by name, their folder, and what
    :class:`Chance` says of them."""
    bits, arrays = codes.shape[1], {"codes": pack(codes)}
    if least is not None:
        arrays["mean"], arrays["std"] = _of_known_words(hasher, codes)
    # An index that HammingIndex.load reads as well; with the digest of the weights, it belongs to one hasher alone.
    about = {"bits": bits, "config": asdict(EXACT), "hasher": sha256(out / WEIGHTS), "least": least}
    write_code_file(out / INDEX, {**about, "folder": str(folder.resolve()), "photos": dict(digests)}, arrays)


def _of_known_words(hasher: CTRH, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (N,) of each photo's scores for the words of the training, or KNOWN_WORDS of them."""
    text = hasher._fitted().text.cpu().numpy()
    some = np.random.default_rng(0).permutation(len(text))[:KNOWN_WORDS]
    scores = text_scores(hasher, codes, text[np.sort(some)])  # (C, N)
    return scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-6)


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
    about, parts = model_folder.read_photos(path, config)
    return PhotoSearch(
        hasher=_load(path / WEIGHTS, config["method"]),
        backbone=backbone,
        index=HammingIndex(parts["codes"], about["bits"]),
        names=tuple(about["photos"]),
        digests=tuple(about["photos"].values()),
        text_guide=guide if text else None,
        chance=Chance.of(about, parts),
        folder=Path(about["folder"]),
    )


def encode(hasher: DeepHasher | BaseEstimator, features: np.ndarray) -> np.ndarray:
    """(N, F) -> (N, K) bool."""
    return hasher.encode(features) if isinstance(hasher, DeepHasher) else hasher.transform(features)


def _save(hasher: DeepHasher | BaseEstimator, path: Path) -> None:
    if isinstance(hasher, DeepHasher):
        return hasher.save(path)
    # Of scikit-learn's estimators all that fit has learned are attributes that end in an underscore.
    learned = {name: torch.as_tensor(value).contiguous() for name, value in vars(hasher).items() if name.endswith("_")}
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
