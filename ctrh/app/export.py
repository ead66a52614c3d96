"""Encoders as files that run without PyTorch or this package: pictures in, codes out; and words in, scores out."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.functional import normalize

from ctrh.backbones import Backbone
from ctrh.guide.clip import TEMPLATE, Guide
from ctrh.guide.tokens import MERGES, SPECIAL, Tokenizer
from ctrh.methods.ctrh import CTRH
from ctrh.methods.deep import DeepHasher
from ctrh.methods.text_codes import TextSide
from ctrh.store import replacing


class Encoder(nn.Module):
    """Preprocessed pictures (B, 3, H, W) to codes (B, K) bool: backbone, hash layer, threshold."""

    def __init__(self, hasher: DeepHasher, backbone: Backbone) -> None:
        super().__init__()
        # A hasher that was trained with its backbone has its own, better copy of it.
        parts = [] if hasher.backbone else [backbone.module]
        self.network = copy.deepcopy(nn.Sequential(*parts, _Forward(hasher._fitted()))).cpu().eval()
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels) > 0.5


class _Forward(nn.Module):
    """The parts of a hasher's network that its codes depend on; losses and texts stay behind."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.hidden = getattr(network, "hidden", nn.Identity())
        self.hash = network.hash

    def forward(self, x: Tensor) -> Tensor:
        return self.hash(self.hidden(self.backbone(x)))


def export_encoder(hasher: DeepHasher, backbone: Backbone, example: Tensor) -> ExportedProgram:
    """The encoder as a program for any number of pictures. example: (B, 3, H, W) preprocessed, B > 1, of their size.

    Raises ``ValueError`` when the program and the encoder disagree on the example, or for an example of one.
    """
    if example.ndim != 4 or len(example) < 2:
        # torch.export takes a batch of one for a constant.
        raise ValueError(
            f"the example must be at least two pictures (B, 3, H, W), got {tuple(example.shape)}"
        )
    encoder = Encoder(hasher, backbone)
    program = torch.export.export(encoder, (example,), dynamic_shapes=({0: Dim.DYNAMIC},))
    with torch.inference_mode():
        if not torch.equal(program.module()(example), encoder(example)):
            raise ValueError("the exported program gives other codes than the encoder")
    return program


def save_encoder(program: ExportedProgram, path: str | Path) -> None:
    """Writes ``path`` whole or not at all: ".pt2", which ``torch.export.load(path).module()`` reads, or ".onnx" for any
    runtime of that format, with input "pixels" and output "codes" (``pip install ctrh[onnx]``).

    Raises ``ValueError`` for another ending, and where an .onnx file gives other codes than the program.
    """
    write = writer(path)
    with replacing(path) as temporary:
        write(program, temporary)


def writer(path: str | Path) -> Callable[[ExportedProgram, Path], None]:
    """What writes files like ``path``. Raises ``ValueError`` for an unknown ending, or where packages are missing."""
    ending = Path(path).suffix
    if ending == ".onnx":
        try:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ValueError("ONNX needs its packages: pip install 'ctrh[onnx]'") from error
        return _write_onnx
    if ending == ".pt2":
        return lambda program, path: torch.export.save(program, path)
    raise ValueError(f"an encoder is a file .pt2 (PyTorch) or .onnx, got {path}")


def quantise(source: str | Path, path: str | Path) -> None:
    """Writes the .onnx file ``source`` with matrices of 8-bit whole numbers: half as large and faster, but of the small
    guide's codes one bit in two hundred is another (``python -m benchmarks runtime``).

    Convolutions stay as they are: in 8 bits they took twice as long.
    """
    from onnxruntime.quantization import quantize_dynamic

    with replacing(path) as temporary:
        logging.disable(logging.WARNING)  # it recommends a clean-up that the exporter has done
        try:
            quantize_dynamic(source, temporary, op_types_to_quantize=["MatMul", "Gemm"])
        finally:
            logging.disable(logging.NOTSET)


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    onnx = torch.onnx.export(
        program, dynamo=True, input_names=["pixels"], output_names=["codes"], verbose=False
    )
    onnx.save(path, external_data=False)
    (pixels,), _ = program.example_inputs
    (codes,) = _run(path, pixels=pixels)
    if not np.array_equal(codes, program.module()(pixels).numpy()):
        raise ValueError(f"the ONNX program gives other codes than the encoder: {path.suffix} is not written")


class WordScores(nn.Module):
    """cos(v, r) of a text and codes: tokens (1, L) int64, codes (N, K) float32 -> (N,)."""

    def __init__(self, hasher: CTRH, guide: Guide) -> None:
        super().__init__()
        self.guide = copy.deepcopy(guide.model).cpu().eval()
        self.guide.visual = nn.Identity()  # texts do without
        self.text_side = TextSide(hasher)
        self.mapping = copy.deepcopy(hasher._fitted().mapping).cpu()
        self.requires_grad_(False)

    def forward(self, tokens: Tensor, codes: Tensor) -> Tensor:
        r = self.text_side(self.guide.encode_text(tokens))
        return normalize(self.mapping(codes), dim=1) @ normalize(r, dim=1)[0]


def save_words(hasher: CTRH, guide: Guide, path: str | Path) -> None:
    """Writes what :mod:`ctrh.app.words` searches by. ``guide``: the one that ``hasher`` has learned its tags from.

    Raises ``ValueError`` for a guide that does not read CLIP's tokens, and where the file gives other scores.
    """
    writer(path)
    sentence = TEMPLATE.format("corgi, möwe & 2008")
    tokens = guide.tokenizer([sentence])
    reads = {"merges": int(tokens.max()) + 1 - SPECIAL, "context": tokens.shape[1]}
    if reads["merges"] > MERGES or not np.array_equal(Tokenizer(**reads)([sentence]), tokens.numpy()):
        raise ValueError(f"{guide.name} does not read texts as CLIP does: search by words needs PyTorch")
    codes = (torch.arange(3 * hasher.config.bits).reshape(3, -1) % 5 < 2).float()
    scores = WordScores(hasher, guide)
    program = torch.export.export(scores, (tokens, codes), dynamic_shapes=(None, {0: Dim.DYNAMIC}))
    onnx = torch.onnx.export(
        program, dynamo=True, input_names=["tokens", "codes"], output_names=["scores"], verbose=False
    )
    onnx.model.metadata_props["tokenizer"] = json.dumps(reads)
    onnx.save(path, external_data=False)
    (found,) = _run(path, tokens=tokens, codes=codes)
    if not np.allclose(found, scores(tokens, codes).numpy(), atol=1e-4):
        raise ValueError("the ONNX program gives other scores than CTRH: it is not kept")


def _run(path: str | Path, **inputs: Tensor) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})
