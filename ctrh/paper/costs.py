"""Table 3: what it takes to encode a picture, from its pixels to its bits, in time and memory.

Networks are measured untrained: neither number depends on the weights. Each has a fresh process, so that its peak of
resident memory is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from PIL import Image
from torch import Tensor, nn

from ctrh.backbones import backbone_parts
from ctrh.methods.registry import METHODS
from ctrh.paper.profiles import GuideConfig, Profile
from ctrh.paper.runs import code_key, default_settings, make_run, versions
from ctrh.paper.timing import machine, measure, measured_apart, peak_megabytes
from ctrh.store import cached_arrays, content_key, intact, stored_path
from ctrh.training import TrainConfig

BATCH = 8
# The vectors of words and of the guide's texts that the article's networks map to, and MirFlickr's common tags.
ARTICLE_WORDS, ARTICLE_TEXT, ARTICLE_TAGS = 300, 512, 1386


@dataclass(frozen=True)
class Candidate:
    """A network to measure. ``text``: (C, D), the shape of the tags' features."""

    method: str
    settings: Any
    backbone: str
    guide: GuideConfig | None
    text: tuple[int, int]
    device: str = "cpu"
    threads: int = 1

    def build(self) -> tuple[nn.Module, Tensor]:
        """The network, on its device, and the pixels (1, 3, H, W) of a picture as its backbone reads them."""
        module, width, preprocess = backbone_parts(self.backbone, self.guide.load() if self.guide else None)
        hasher = METHODS[self.method](self.settings)
        tags = sp.csr_array(np.eye(2, self.text[0], dtype=bool))
        network = hasher.untrained(module, width, tags, torch.randn(self.text))
        pixels = preprocess(Image.new("RGB", (256, 256), "skyblue"))
        return network.to(self.device).eval(), pixels[None].to(self.device)


@dataclass(frozen=True)
class Cost:
    """``one`` and ``batched``: milliseconds a picture, alone and in batches of ``BATCH``: the median and its 95 %
    interval. Megabytes (10^6 bytes) of parameters: ``encoding``, what codes need; ``image``, with what else reads the
    picture (mapping, heads); ``training``, with what reads the tags. ``peak_one``, ``peak_batched``: the process's
    resident memory at most, Python and its libraries included, which are ``idle``.
    """

    one: Sequence[float]
    batched: Sequence[float]
    encoding: float
    image: float
    training: float
    peak_one: float
    peak_batched: float
    idle: float


def own_candidates(profile: Profile) -> list[Candidate]:
    """The deep methods of ``profile`` as it trains them, at its longest codes."""
    name = profile.datasets[0].data.name
    guide = profile.guide if profile.backbone == "guide" else None
    device = "cuda" if profile.train.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    found = []
    for method in profile.learners:
        run = make_run(profile, name, method, profile.bits[-1], profile.seeds[0])
        text = run.task.text.shape
        found.append(Candidate(method, run.settings, profile.backbone, guide, text, device))
    return found


def article_candidates(profile: Profile, bits: int = 64) -> list[Candidate]:
    """The same methods as the article has them: on AlexNet, with its widths of words and texts."""
    paper = Profile.named("paper")
    return [
        Candidate(
            method,
            replace(default_settings(method, paper, paper.datasets[0]), bits=bits),
            "alexnet",
            None,
            (ARTICLE_TAGS, ARTICLE_WORDS if METHODS[method].needs == "words" else ARTICLE_TEXT),
        )
        for method in profile.learners
    ]


def costs(candidates: list[Candidate]) -> list[Cost]:
    """What they cost on this machine; measured once, then read back from the cache."""
    keys = [content_key(candidate, BATCH, code_key(), versions(), machine()) for candidate in candidates]
    missing = [x for x, key in zip(candidates, keys, strict=True) if not intact(stored_path("costs", key))]
    measured = iter(measured_apart(_measure, missing) if missing else [])
    stored = [cached_arrays("costs", key, lambda: asdict(next(measured))) for key in keys]
    return [Cost(**{name: value.tolist() for name, value in arrays.items()}) for arrays in stored]


def _measure(candidate: Candidate) -> Cost:
    """Meant for a process of its own."""
    idle = peak_megabytes()
    network, picture = candidate.build()
    batch = picture.repeat(BATCH, 1, 1, 1)
    with torch.inference_mode():
        # To the bits on the host: nobody has a code before.
        one = measure(lambda: (network(picture) > 0.5).cpu(), candidate.threads)
        peak_one = peak_megabytes()
        batched = measure(lambda: (network(batch) > 0.5).cpu(), candidate.threads)
    sizes = parameter_megabytes(network)
    return Cost(
        one.of(1, 1000),
        batched.of(BATCH, 1000),
        **sizes,
        peak_one=peak_one,
        peak_batched=peak_megabytes(),
        idle=idle,
    )


def parameter_megabytes(network: nn.Module) -> dict[str, float]:
    """Megabytes of parameters: ``encoding`` (backbone, hidden and hash layer), ``image`` (all that do not read tags),
    ``training`` (all)."""
    groups = {group["name"]: group["params"] for group in network.parameter_groups(TrainConfig())}
    tags = {id(each) for each in groups.get("tags", [])}
    coding = [network.backbone, getattr(network, "hidden", nn.Identity()), network.hash]
    counted = {
        "encoding": [each for module in coding for each in module.parameters()],
        "image": [each for each in network.parameters() if id(each) not in tags],
        "training": list(network.parameters()),
    }
    return {name: sum(each.nbytes for each in group) / 1e6 for name, group in counted.items()}
