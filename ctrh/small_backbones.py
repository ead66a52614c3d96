"""Small AlexNet-, ResNet- and ViT-shaped image networks for 112x112 pictures: the demo's stand-ins for ImageNet ones.

Each keeps what sets its model apart as a source of features, in at most about 0.6 M parameters: AlexNet the spatial
layout of its last map, ResNet bottlenecks and a global mean, ViT a class token over 7x7 patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIZE = 112
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(pixels: Tensor) -> Tensor:
    """(..., 3, H, W) uint8 -> float32 as these networks were trained on: ImageNet's mean and deviation per channel."""
    if pixels.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pixels, got {pixels.dtype}")
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution and batch normalisation: without the latter such nets do not learn in a few CPU minutes."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


def _standard(width: int) -> nn.BatchNorm1d:
    """Standardises features by fixed statistics of the pre-training pictures.

    What all pictures have in common (after a ReLU every feature is positive, a class token is much the same for all)
    would put all bits of a hash layer on top on one side, where they stay.
    """
    return nn.BatchNorm1d(width, affine=False, momentum=None)


class SmallAlexNet(nn.Module):
    """Five convolutions as in AlexNet; the last map, 256 x 3 x 3, is flattened (what AlexNet hands to fc6) and
    standardised."""

    width = 256 * 3 * 3

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, 32, 7, stride=2),  # 56x56
            nn.MaxPool2d(3, 2, padding=1),  # 28x28
            _conv(32, 64, 5),
            nn.MaxPool2d(3, 2, padding=1),  # 14x14
            _conv(64, 128, 3),
            _conv(128, 128, 3),
            _conv(128, 256, 3),
            nn.MaxPool2d(3, 2, padding=1),  # 7x7
        )
        self.pool = nn.MaxPool2d(3, 2)  # 3x3
        self.standard = _standard(self.width)

    def cells(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 256, 7, 7), the last map."""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 2304)."""
        return self.standard(self.pool(self.cells(x)).flatten(1))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut, four times as wide outside as inside."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.body = nn.Sequential(
            _conv(inputs, inner, 1), _conv(inner, inner, 3, stride), _conv(inner, outputs, 1, act=False)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _conv(inputs, outputs, 1, stride, act=False)
        # A block that starts as its shortcut trains faster (zero-initialised residual, as in torchvision).
        nn.init.zeros_(self.body[-1][-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.shortcut(x) + self.body(x))


class SmallResNet(nn.Module):
    """Stem and four stages of bottlenecks as in ResNet-50, then the mean over the last map, standardised."""

    width = 4 * 96

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 32, 7, stride=2), nn.MaxPool2d(3, 2, padding=1))  # 28x28
        blocks: list[nn.Module] = []
        width = 32
        for inner, count, stride in ((16, 2, 1), (32, 2, 2), (64, 3, 2), (96, 1, 1)):
            for index in range(count):
                blocks.append(Bottleneck(width, inner, stride if index == 0 else 1))
                width = 4 * inner
        self.stages = nn.Sequential(*blocks)
        self.standard = _standard(self.width)

    def cells(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 384, 7, 7), the last map."""
        return self.stages(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 384)."""
        return self.standard(self.cells(x).mean(dim=(2, 3)))


class SmallViT(nn.Module):
    """A class token and 49 patches of 16x16 through four pre-norm blocks; the class token, standardised, is the feature.

    The patches are embedded by convolutions: on little data and few minutes that is what makes a ViT learn.
    """

    width = 128

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 12, 24, 48, self.width)
        self.stem = nn.Sequential(
            *(_conv(channels[i], channels[i + 1], 3, stride=2, act=i < 3) for i in range(4))
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (SIZE // 16) ** 2, self.width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    self.width,
                    nhead=4,
                    dim_feedforward=2 * self.width,
                    dropout=0.0,
                    activation="gelu",
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(4)
            )
        )
        self.norm = nn.LayerNorm(self.width)
        self.standard = _standard(self.width)

    def tokens(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 50, 128), the class token first."""
        patches = self.stem(x).flatten(2).transpose(1, 2)  # (N, 49, 128)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1) + self.positions
        return self.norm(self.blocks(tokens))

    def cells(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 128, 7, 7), the class token added to every patch, so that it is trained too."""
        tokens = self.tokens(x)
        return (tokens[:, 1:] + tokens[:, :1]).transpose(1, 2).unflatten(2, (7, 7))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, 112, 112) -> (N, 128)."""
        return self.standard(self.tokens(x)[:, 0])


SMALL: dict[str, type[nn.Module]] = {
    "small-alexnet": SmallAlexNet,
    "small-resnet": SmallResNet,
    "small-vit": SmallViT,
}


def build(name: str) -> nn.Module:
    """A small network with random weights: (N, 3, 112, 112), see :func:`normalise` -> (N, width).

    Its ``cells`` is the last map, (N, channels, 7, 7). Raises ``ValueError`` for an unknown name.
    """
    if name not in SMALL:
        raise ValueError(f"no small backbone is called {name!r}: choose one of {', '.join(SMALL)}")
    return SMALL[name]()
