"""``python -m ctrh export``."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import torch
from PIL import Image

from ctrh.commands.inputs import say
from ctrh.export import export_encoder, save_encoder
from ctrh.photo_search import load_search


def run(args: Namespace) -> None:
    found = load_search(args.model)
    grain = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    example = torch.stack([found.backbone.preprocess(Image.fromarray(each)) for each in grain])
    save_encoder(export_encoder(found.hasher, found.backbone, example), args.out)
    height, width = example.shape[2:]
    say(f"written: {args.out}")
    print(
        f"in:   pixels (N, 3, {height}, {width}) float32, each picture preprocessed by {found.backbone.preprocess}"
    )
    print(f"out:  codes (N, {found.index.bits}) bool")
