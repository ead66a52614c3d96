"""Weakly supervised image hashing via CLIP-guided tag refinement: a reproducible companion to the CTRH paper."""

import importlib

__version__ = "0.1.0"

# Where the names of the README's example live. They are imported when they are first used: a program that only wants
# the version, or --help, need not wait for PyTorch.
_EXPORTS = {
    "load_photos": "ctrh.data.registry",
    "first_photos": "ctrh.data.registry",
    "load_guide": "ctrh.guide.clip",
    "image_features": "ctrh.guide.features",
    "finetune": "ctrh.guide.finetune",
    "FinetuneConfig": "ctrh.guide.finetune",
    "refine": "ctrh.guide.refine",
    "RefineConfig": "ctrh.guide.refine",
    "mixed_guide": "ctrh.guide.refine",
    "load_backbone": "ctrh.backbones",
    "backbone_features": "ctrh.backbones",
    "CTRH": "ctrh.methods.ctrh",
    "CTRHConfig": "ctrh.methods.ctrh",
    "TrainConfig": "ctrh.training",
    "evaluate": "ctrh.retrieval.metrics",
}
__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__():
    return sorted(__all__)
