"""The small guide's encoder in onnxruntime, 32 and 8 bits, beside PyTorch: speed, and what becomes of the codes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.measuring import Result, timed
from ctrh.app.export import export_encoder, quantise, save_encoder
from ctrh.backbones import load_backbone
from ctrh.data.scenes.sets import NUS, read_scenes
from ctrh.guide.clip import load_guide
from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.retrieval.metrics import evaluate
from ctrh.training import TrainConfig

# the demo's scenes, queries and photos to search among them; epochs of training on the users' tags; turns
SIZES = {
    "full": (NUS, 100, 500, 10, 5),
    "small": (replace(NUS, count=300, queries=50, train=None), 50, 150, 5, 3),
    "tiny": (replace(NUS, count=50, queries=4, train=None), 4, 20, 1, 1),
}
BITS, BATCH = 32, 64


def run(scale: str) -> Iterator[Result]:
    scenes, queries, items, epochs, turns = SIZES[scale]
    photos, guide = read_scenes(scenes), load_guide("small")
    backbone = load_backbone("guide", guide)
    rows = np.concatenate([photos.split.query[:queries], photos.split.database[:items]])
    batches = torch.stack([backbone.preprocess(photos.images[int(row)]) for row in rows]).split(BATCH)

    def in_torch() -> np.ndarray:
        with torch.inference_mode():
            return hasher.encode(np.concatenate([backbone.module(batch).numpy() for batch in batches]))

    with torch.inference_mode():
        features = torch.cat([backbone.module(batch) for batch in batches]).numpy()
    hasher = CTRH(CTRHConfig(BITS, train=TrainConfig(epochs)))
    hasher.fit(features[queries:], photos.tags[rows[queries:]], guide.text_features(photos.vocabulary))
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        save_encoder(export_encoder(hasher, backbone, batches[0][:2]), whole)
        quantise(whole, small)
        ways: dict[str, Callable[[], np.ndarray]] = {"PyTorch": in_torch}
        ways |= {path.stem: in_onnxruntime(path, batches) for path in (whole, small)}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        codes = {}
        # By turns, so that a machine's slow minute meets all of them.
        for _ in range(turns):
            for name, way in ways.items():
                taken, codes[name] = timed(way)
                seconds[name].append(taken)
    labels = photos.labels[rows]
    size = f"{len(rows)} scenes, the small guide, {BITS} bits, {torch.get_num_threads()} threads; reference: PyTorch"
    for name in ("fp32", "int8"):
        same = codes[name] == codes["PyTorch"]
        facts = {
            "bits that agree, %": 100 * same.mean(),
            "codes that agree, %": 100 * same.all(axis=1).mean(),
            "mAP": mean_precision(codes[name], labels, queries),
            "mAP in PyTorch": mean_precision(codes["PyTorch"], labels, queries),
            "mAP, queries alone encoded so": mean_precision(
                np.concatenate([codes[name][:queries], codes["PyTorch"][queries:]]), labels, queries
            ),
        }
        # What 8 bits change is measured as facts; it is no fault.
        difference = float(1 - same.mean()) if name == "fp32" else 0.0
        yield Result(
            f"runtime, {name}", size, min(seconds[name]), min(seconds["PyTorch"]), difference, facts
        )


def in_onnxruntime(path: Path, batches: tuple[torch.Tensor, ...]) -> Callable[[], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: np.concatenate([session.run(None, {"pixels": batch.numpy()})[0] for batch in batches])


def mean_precision(codes: np.ndarray, labels: np.ndarray, queries: int) -> float:
    return evaluate(codes[:queries], codes[queries:], labels[:queries], labels[queries:]).map_all
