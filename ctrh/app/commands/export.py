"""``python -m ctrh export``."""

from __future__ import annotations

from argparse import Namespace
from inspect import isfunction
from pathlib import Path

from ctrh.app.inputs import say
from ctrh.app.model_folder import WORDS, check_file, read_config, replacing_words


def run(args: Namespace) -> None:
    method = read_config(Path(args.model))["method"]
    if method in ("LSH", "SH", "PCA-RR", "ITQ"):
        raise ValueError(f"{method} is no network that could be exported: fit with another --method")
    if args.out is None and method != "CTRH":
        raise ValueError(f"{method} learns nothing about texts: name a FILE.onnx or FILE.pt2 for its encoder")
    if args.out is not None:
        check_file(Path(args.out), "an encoder", ".pt2", ".onnx")
    if args.int8 and not str(args.out).endswith(".onnx"):
        raise ValueError("--int8 is for an encoder as FILE.onnx")
    # PyTorch takes seconds: only now, when what can be wrong with model and file has been said.
    import numpy as np
    import torch
    from PIL import Image

    from ctrh.app.export import export_encoder, quantise, save_encoder, save_words, writer
    from ctrh.app.photo_search import load_search

    writer(args.out or WORDS)  # a wrong name is told before the work
    if args.out is None:
        found = load_search(args.model, text=True)
        with replacing_words(Path(args.model)) as temporary:
            save_words(found.hasher, found.text_guide, temporary)
        return say(f"written: {Path(args.model) / WORDS}; search --text does without PyTorch now")
    found = load_search(args.model)
    preprocess = found.backbone.preprocess
    grain = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    example = torch.stack([preprocess(Image.fromarray(each)) for each in grain])
    save_encoder(export_encoder(found.hasher, found.backbone, example), args.out)
    if args.int8:
        quantise(args.out, args.out)
    height, width = example.shape[2:]
    told = f"{preprocess.__module__}.{preprocess.__name__}" if isfunction(preprocess) else preprocess
    say(f"written: {args.out}")
    print(f"in:   pixels (N, 3, {height}, {width}) float32, each picture preprocessed by {told}")
    print(f"out:  codes (N, {found.index.bits}) bool")
