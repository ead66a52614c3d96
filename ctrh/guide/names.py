"""Which guides there are and which of them Eq. (4) can use, known without importing PyTorch, which takes seconds."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SMALL = ("small", "small-b")


def published_config(name: str) -> dict[str, Any] | None:
    """What ``open_clip.get_model_config`` gives for the models that come with it, read without importing it."""
    package = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    path = Path(package, "model_configs", f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def check_tower(name: str, config: Mapping[str, Any] | None) -> None:
    """Raises ``ValueError`` for an unknown model (``config`` None), and for an image tower without a class token and
    patch tokens in the joint space."""
    if config is None:
        raise ValueError(
            f"no guide {name!r}: shipped are {', '.join(SMALL)}; otherwise a model of open_clip.list_models()"
        )
    vision = config["vision_cfg"]
    pooled = vision.get("attentional_pool") or vision.get("pool_type", "tok") != "tok"
    # Refused by its configuration, because building some of these towers needs gigabytes or a network.
    if pooled or "timm_model_name" in vision or not isinstance(vision["layers"], int):
        raise ValueError(wrong_tower(name))


def wrong_tower(name: str) -> str:
    return (
        f"{name}: its image tower has no class token and patch tokens in the joint space, which Eq. (4) "
        "needs; use an open_clip VisionTransformer with pool_type 'tok', such as ViT-B-32"
    )
