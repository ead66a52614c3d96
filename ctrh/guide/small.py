"""The shipped guide: a CLIP with 50 image tokens, as ViT-B-32 has them, that a laptop runs in a millisecond.

It is open_clip's own ``CLIP`` with two changes that small data and small size ask for: the patches are cut out by a
convolutional stem, and the byte-pair vocabulary keeps its most frequent merges only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor, nn

from ctrh.guide.tokens import Tokenizer

WIDTH, MERGES, CONTEXT = 192, 3582, 32
MEAN, STD = (0.45, 0.45, 0.45), (0.28, 0.28, 0.28)


class SmallTokenizer(Tokenizer):
    """CLIP's byte-pair tokenizer without its rarer merges: 4,096 tokens instead of 49,408."""

    def __init__(self) -> None:
        super().__init__(MERGES, CONTEXT)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(super().__call__(texts))


class SmallGuide(NamedTuple):
    """Model, evaluation transform and tokenizer belong together."""

    model: CLIP
    preprocess: Callable[..., Tensor]
    tokenizer: SmallTokenizer


def build() -> SmallGuide:
    """An untrained small guide; :func:`ctrh.guide.clip.load_guide` fills in the shipped weights."""
    tokenizer = SmallTokenizer()
    vision = CLIPVisionCfg(layers=3, width=WIDTH, head_width=64, patch_size=16, image_size=112)
    text = CLIPTextCfg(context_length=CONTEXT, vocab_size=tokenizer.vocab_size, width=128, heads=2, layers=2)
    model = CLIP(embed_dim=256, vision_cfg=vision, text_cfg=text)
    model.visual.conv1 = _stem(WIDTH)
    preprocess = image_transform_v2(PreprocessCfg(size=112, mean=MEAN, std=STD), is_train=False)
    return SmallGuide(model.eval(), preprocess, tokenizer)


def _stem(width: int) -> nn.Sequential:
    """(B, 3, 112, 112) -> (B, width, 7, 7)."""

    def step(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    steps = [*step(3, 48, 7, 4), *step(48, 96, 3, 2), *step(96, 128, 3, 1), *step(128, 192, 3, 2)]
    return nn.Sequential(*steps, nn.Conv2d(192, width, 1))
