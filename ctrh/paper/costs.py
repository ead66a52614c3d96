"""Table 3: time and memory that it takes to encode a picture, from pixels to bits, by untrained networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from PIL import Image
from torch import Tensor, nn

from ctrh.backbones import backbone_parts
from ctrh.methods.registry import METHODS
from ctrh.paper.outputs import save_rows
from ctrh.paper.profiles import GuideConfig, Profile
from ctrh.paper.published import published_table
from ctrh.paper.runs import code_key, default_settings, make_run, versions
from ctrh.paper.tables import beside_published, save_texts
from ctrh.paper.timing import machine, measure, measured_apart, peak_megabytes
from ctrh.store import cached_arrays, content_key
from ctrh.training import TrainConfig

BATCH = 8
# The vectors of words and of the guide's texts that the article's networks map to, and MirFlickr's common tags.
ARTICLE_WORDS, ARTICLE_TEXT, ARTICLE_TAGS = 300, 512, 1386
ALEXNET = "alexnet_"
# How many pictures at a time each is measured with; 0: none.
BATCHES = {"time_ms": 1, "time_batched_ms": BATCH, "memory_mb": 0, "encoding_mb": 0, "training_mb": 0}
BATCHES |= {"peak_mb": 1, "peak_batched_mb": BATCH, "idle_mb": 0}
MEASURED = {"time_ms": "ms, one by one", "time_batched_ms": f"ms, batches of {BATCH}", "memory_mb": "MB"}
MEASURED |= {"training_mb": "MB in training", "peak_mb": "MB resident", "idle_mb": "MB resident before"}


@dataclass(frozen=True)
class Candidate:
    """A network to measure. ``text``: (C, D), the shape of the tags' features."""

    method: str
    settings: Any
    backbone: str
    guide: GuideConfig | None
    text: tuple[int, int]
    device: str = "cpu"

    def build(self) -> tuple[nn.Module, Tensor]:
        """The network, on its device, and the pixels (1, 3, H, W) of a picture as its backbone reads them."""
        module, width, preprocess = backbone_parts(self.backbone, self.guide.load() if self.guide else None)
        tags = sp.csr_array(np.eye(2, self.text[0], dtype=bool))
        network = METHODS[self.method](self.settings).untrained(module, width, tags, torch.randn(self.text))
        pixels = preprocess(Image.new("RGB", (256, 256), "skyblue"))
        return network.to(self.device).eval(), pixels[None].to(self.device)


def own_candidates(profile: Profile) -> list[Candidate]:
    """The deep methods of ``profile`` as it trains them, at its longest codes."""
    name, guide = profile.datasets[0].data.name, profile.guide if profile.backbone == "guide" else None
    device = "cuda" if profile.train.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    runs = [make_run(profile, name, method, profile.bits[-1], profile.seeds[0]) for method in profile.learners]
    how = profile.backbone, guide
    return [Candidate(run.method, run.settings, *how, run.task.text.shape, device) for run in runs]


def article_candidates(profile: Profile, bits: int = 64) -> list[Candidate]:
    """The same methods as the article has them: on AlexNet, with its widths of words and texts."""
    paper, candidates = Profile.named("paper"), []
    for method in profile.learners:
        settings = replace(default_settings(method, paper, paper.datasets[0]), bits=bits)
        width = ARTICLE_WORDS if METHODS[method].needs == "words" else ARTICLE_TEXT
        candidates.append(Candidate(method, settings, "alexnet", None, (ARTICLE_TAGS, width)))
    return candidates


def cost(candidate: Candidate) -> dict[str, np.ndarray]:
    """By metric of ``BATCHES`` its value and, of times (medians), the 95 % interval; measured once on a machine, then
    cached. Times are milliseconds a picture; of memory see :func:`parameter_megabytes`, and the process's resident
    memory at most, before (``idle_mb``: Python and its libraries), ``peak_mb``, ``peak_batched_mb``."""
    key = content_key(candidate, BATCH, code_key(), versions(), machine())
    return cached_arrays("costs", key, partial(measured_apart, _measure, candidate))


def _measure(candidate: Candidate) -> dict[str, np.ndarray]:
    """Meant for a process of its own."""
    found = {"idle_mb": peak_megabytes()}
    network, picture = candidate.build()
    for suffix, count in (("", 1), ("_batched", BATCH)):
        pixels = picture.repeat(count, 1, 1, 1)
        with torch.inference_mode():
            # To the bits on the host: nobody has a code before.
            found[f"time{suffix}_ms"] = 1000 / count * measure(lambda: (network(pixels) > 0.5).cpu())  # noqa: B023
        found[f"peak{suffix}_mb"] = peak_megabytes()
    found |= parameter_megabytes(network)
    return {metric: np.atleast_1d(value) for metric, value in found.items()}


def parameter_megabytes(network: nn.Module) -> dict[str, float]:
    """Megabytes (10^6 bytes) of parameters: ``encoding_mb`` (backbone, hidden and hash layer), ``memory_mb`` (all
    that do not read tags: also mapping and heads), ``training_mb`` (all)."""
    groups = {group["name"]: group["params"] for group in network.parameter_groups(TrainConfig())}
    coding = nn.ModuleList([network.backbone, getattr(network, "hidden", nn.Identity()), network.hash])
    counted = coding.parameters(), network.parameters(), groups.get("tags", [])
    encoding, training, tags = (sum(weight.nbytes for weight in weights) for weights in counted)
    return {"encoding_mb": encoding / 1e6, "memory_mb": (training - tags) / 1e6, "training_mb": training / 1e6}


def cost_rows(profile: Profile) -> pd.DataFrame:
    """Table 3, a row a number: ``method``, ``dataset`` (all have the same rows), ``bits``, ``metric``, ``mean`` (of
    times the median), ``low``, ``high``, ``seeds``, ``published``, ``backbone``, ``device``, ``threads``, ``batch``.

    Metrics are those of :func:`cost`, of the article's networks ``alexnet_time_ms`` and so on."""
    candidates = [("", candidate) for candidate in own_candidates(profile)]
    if profile.backbone != "alexnet" and profile.study.full_size:
        candidates += [(ALEXNET, candidate) for candidate in article_candidates(profile)]
    rows = []
    for prefix, candidate in candidates:
        found = cost(candidate)
        for metric, batch in BATCHES.items():
            mean, low, high = found[metric] if len(found[metric]) == 3 else (*found[metric], np.nan, np.nan)
            row = {"bits": candidate.settings.bits, "metric": prefix + metric, "mean": mean, "low": low, "high": high}
            row |= {"seeds": 1, "backbone": candidate.backbone, "device": candidate.device, "threads": 1, "batch": batch}
            rows += [{"method": candidate.method, "dataset": x.data.name, **row} for x in profile.datasets]
    table = pd.DataFrame(rows)
    plain = table.assign(metric=table["metric"].str.removeprefix(ALEXNET))
    table.insert(8, "published", beside_published(plain, 3, profile)["published"])
    return table


def cost_frame(rows: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Table 3 as text, from :func:`cost_rows`: a line a network and method; the article's times of both data sets.

    Nothing is marked as the best: between equal networks the clock's noise would decide."""
    first = rows[rows["dataset"] == profile.datasets[0].data.name]
    published, lines = published_table(3), {}
    for (backbone, method), group in first.groupby(["backbone", "method"], sort=False):
        values = group.set_index(group["metric"].str.removeprefix(ALEXNET))["mean"]
        printed = published[published["method"] == method].groupby("metric")["published"].unique()
        line = {(f"measured ({profile.name})", title): f"{values[metric]:.2f}" for metric, title in MEASURED.items()}
        for metric, title in (("time_ms", "ms"), ("memory_mb", "MB")):
            line["published", title] = " / ".join(f"{value:.2f}" for value in printed.get(metric, ()))
        lines[backbone, method] = line
    return pd.DataFrame(lines).T.rename_axis(["backbone", "method"])


def save_cost_table(rows: pd.DataFrame, profile: Profile) -> str:
    """Writes ``table3``.csv, .md and .tex; the Markdown."""
    how = f"median; {rows['device'].iloc[0]}, threads: 1; one by one and in batches of {BATCH}"
    caption = f"Milliseconds to encode a picture ({how}) and megabytes (parameters; the process's resident memory at "
    caption += "most). Published: the article's own machine, MirFlickr / NUS-WIDE, AlexNet, 64 bits."
    save_rows(rows, "table3", profile.name)
    return save_texts("table3", profile, {caption: cost_frame(rows, profile)})
