"""An encoder as one file that runs without this package: pictures in, codes out, for PyTorch or as ONNX."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ctrh.backbones import Backbone
from ctrh.methods.deep import DeepHasher
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


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    import onnxruntime

    onnx = torch.onnx.export(
        program, dynamo=True, input_names=["pixels"], output_names=["codes"], verbose=False
    )
    onnx.save(path, external_data=False)
    (pixels,), _ = program.example_inputs
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (codes,) = session.run(["codes"], {"pixels": pixels.numpy()})
    if not np.array_equal(codes, program.module()(pixels).numpy()):
        raise ValueError(f"the ONNX program gives other codes than the encoder: {path.suffix} is not written")
