"""What the article's experiments take on the machine at hand: a little of each step measured, times how often it is done.

Networks are measured untrained and photos are made up: neither changes the time. Each measurement has a process of its
own, so that its memory is its own too.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from ctrh.backbones import BACKBONES
from ctrh.data import mirflickr, nuswide
from ctrh.data.images import upright_rgb
from ctrh.guide.features import ImageFeatures
from ctrh.guide.finetune import contrastive_loss
from ctrh.guide.refine import replaced_tags
from ctrh.network import padded_tags
from ctrh.paper.apart import measured_apart, peak_megabytes
from ctrh.paper.costs import Candidate, article_candidates
from ctrh.paper.hardware import machine
from ctrh.paper.launch import cores
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import code_key, versions
from ctrh.retrieval.metrics import evaluate
from ctrh.store import cached_arrays, content_key
from ctrh.training import TrainConfig, TrainingData, train

PHOTO = (500, 375)  # pixels of Flickr's medium size, which both data sets have
PIXELS, TAGS_OF_A_PHOTO, RANKED = 224, 9, 100_000


@dataclass(frozen=True)
class Sizes:
    """A data set of the article: how many photos, of them queries and for training, and tags to choose among."""

    dataset: str
    photos: int
    queries: int
    train: int
    tags: int


@dataclass(frozen=True)
class Task:
    """One thing to measure: what is done (of ``WORK``), on how many photos at once, where, over how many tags."""

    what: str
    batch: int
    device: str
    tags: int


@dataclass(frozen=True)
class Measured:
    """``seconds`` a photo (the median); ``megabytes``: how far memory (the GPU's, on one) grew at the most; ``each``: what
    a photo more in the batch adds to it (:func:`kept_megabytes`), 0 where no other batch is asked for."""

    seconds: float
    megabytes: float
    each: float = 0.0

    def at(self, batch: int, measured: int) -> float:
        """Megabytes with ``batch`` photos at once instead of ``measured``."""
        return self.megabytes + self.each * (batch - measured)


def article_sizes() -> list[Sizes]:
    """MIRFLICKR-25K (before photos without a tag are removed: at most so many) and NUS-WIDE, as the article splits them."""
    mir, nus = mirflickr.ARTICLE, nuswide.ARTICLE
    return [
        Sizes("mirflickr", mirflickr.PHOTOS, mir.queries, mirflickr.PHOTOS - mir.queries, mirflickr.COMMON),
        Sizes("nuswide", nus.photos, nus.queries, nus.train, nuswide.COMMON_TAGS),
    ]


def tasks(device: str | None = None) -> list[Task]:
    """All that is measured; smaller batches on a CPU, where they take long and cost the same a photo."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    at_once = {"read": 1, "see": 64, "fine-tune": 128, "replace": 512, "learn": 32, "encode": 64, "rank": 16}
    if device == "cpu":
        at_once |= {"see": 8, "fine-tune": 4, "encode": 16}
    tags = max(each.tags for each in article_sizes())
    return [Task(what, batch, device, tags) for what, batch in at_once.items()]


def measure_all(wanted: list[Task]) -> dict[str, Measured]:
    """By ``what``; once a machine, then out of the cache."""

    def compute() -> dict[str, np.ndarray]:
        return {"numbers": np.array([astuple(each) for each in measured_apart(_measure, wanted)])}

    key = content_key("estimates", 3, wanted, code_key(), versions(), machine())
    numbers = cached_arrays("costs", key, compute)["numbers"]
    return {task.what: Measured(*row) for task, row in zip(wanted, numbers.tolist(), strict=True)}


def estimate_rows(profile: Profile, measured: dict[str, Measured], wanted: list[Task]) -> pd.DataFrame:
    """Tables 1 and 2 in ``profile``, a row a data set and step: ``dataset``, ``step``, ``times`` (how often), ``seconds``
    (each, measured), ``hours`` (the product) and ``megabytes`` (of memory, with the batch that the profile has)."""
    learners = len(profile.learners)
    grid = len(profile.bits) * len(profile.seeds)
    batches = {task.what: task.batch for task in wanted}
    own = batches | {"fine-tune": profile.finetune.batch, "learn": profile.train.batch_size}
    rows = []
    for size in article_sizes():
        trained = learners * grid
        times = {
            # The zero-shot guide reads every photo, the fine-tuned and the ensembled one those for training.
            "read": size.photos + 2 * size.train,
            "see": size.photos + 2 * size.train,
            "fine-tune": profile.finetune.epochs * size.train,
            "replace": size.train,
            "learn": trained * profile.train.epochs * size.train,
            "encode": trained * size.photos,
            "rank": len(profile.methods) * grid * size.queries * (size.photos - size.queries) / RANKED,
        }
        for what, count in times.items():
            cost = measured[what]
            rows.append(
                {
                    "dataset": size.dataset,
                    "step": STEPS[what],
                    "times": count,
                    "seconds": cost.seconds,
                    "hours": count * cost.seconds / 3600,
                    "megabytes": cost.at(own[what], batches[what]),
                }
            )
    return pd.DataFrame(rows)


def disk_rows(profile: Profile) -> pd.DataFrame:
    """What stays on disk: ``dataset``, ``what``, ``gigabytes`` (10^9 bytes)."""
    candidate = _candidate(profile)
    trained = len(profile.learners) * len(profile.bits) * len(profile.seeds)
    width = candidate.text[1]
    weights = 4 * sum(each.numel() for each in candidate.build()[0].parameters())
    rows = []
    for size in article_sizes():
        kept = {
            "training photos for the guide, as bytes": 3 * PIXELS**2 * size.train,
            "features of three guides": 2 * 4 * width * (size.photos + 2 * size.train),
            "weights of all trainings": trained * weights,
        }
        rows += [
            {"dataset": size.dataset, "what": what, "gigabytes": each / 1e9} for what, each in kept.items()
        ]
    return pd.DataFrame(rows)


def _measure(task: Task) -> Measured:
    """Meant for a process of its own."""
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    before = _peak(task)
    seconds, each = WORK[task.what](task)
    return Measured(seconds, _peak(task) - before, each)


def _peak(task: Task) -> float:
    return peak_megabytes() if task.device == "cpu" else torch.cuda.max_memory_allocated() / 1e6


def _each(work: Callable[[], object], photos: int, at_least: float = 0.5) -> float:
    """Seconds a photo: the median of 2 to 20 repetitions, after a first one that also sets things up."""
    found: list[float] = []
    while len(found) < 3 or (len(found) < 21 and sum(found[1:]) < at_least):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return statistics.median(found[1:]) / photos


def _read(task: Task) -> tuple[float, float]:
    """A JPEG with some grain, decoded and scaled for the network."""
    grain = np.random.default_rng(0).normal(0, 8, (PHOTO[1], PHOTO[0], 3))
    smooth = np.asarray(Image.linear_gradient("L").resize(PHOTO), dtype=float)[..., None]
    file = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    preprocess = BACKBONES["alexnet"](None)[2]
    return _each(lambda: preprocess(upright_rgb(Image.open(io.BytesIO(file.getvalue())))), 1), 0.0


def _clip(task: Task) -> tuple[nn.Module, Tensor, Tensor]:
    import open_clip  # behind ctrh.guide, which silences what it says when a notebook imports it

    model = open_clip.create_model("ViT-B-32-quickgelu").to(task.device).eval()
    tokens = torch.randint(1, 1000, (task.batch, model.context_length), device=task.device)
    return model, torch.randn(task.batch, 3, PIXELS, PIXELS, device=task.device), tokens


def _see(task: Task) -> tuple[float, float]:
    model, pixels, _ = _clip(task)
    with torch.inference_mode():
        return _each(lambda: model.encode_image(pixels), task.batch), 0.0


def _finetune(task: Task) -> tuple[float, float]:
    model, pixels, tokens = _clip(task)
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)

    def loss(photos: int) -> Tensor:
        return contrastive_loss(*model(pixels[:photos], tokens[:photos])[:3])

    def step() -> None:
        optimiser.zero_grad()
        loss(task.batch).backward()
        optimiser.step()

    half = task.batch // 2
    kept = [kept_megabytes(lambda count=count: loss(count)) for count in (half, task.batch)]
    return _each(step, task.batch), (kept[1] - kept[0]) / (task.batch - half)


def kept_megabytes(forward: Callable[[], Tensor]) -> float:
    """Megabytes of the arrays that ``forward`` leaves for its gradient: nearly all of the memory that grows with a batch,
    and unlike the process's peak the same every time."""
    kept: dict[int, int] = {}

    def note(array: Tensor) -> Tensor:
        storage = array.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return array

    with torch.autograd.graph.saved_tensors_hooks(note, lambda array: array):
        result = forward()
    del result  # until here all of them are in memory, so no address stands for two
    return sum(kept.values()) / 1e6


def _replace(task: Task) -> tuple[float, float]:
    width = 512
    token, mean = torch.randn(2, task.batch, width).numpy()
    text, counts = torch.randn(task.tags, width).numpy(), np.full(task.batch, TAGS_OF_A_PHOTO)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return _each(lambda: replaced_tags(ImageFeatures(token, unit), text, counts), task.batch), 0.0


def _learn(task: Task) -> tuple[float, float]:
    """The second epoch of two, by the loop that trains everything."""
    network, pixels = _network(task)
    photos = 2 * task.batch
    chosen = torch.rand(photos, task.tags).argsort(dim=1) < TAGS_OF_A_PHOTO
    inputs = pixels.repeat(photos, 1, 1, 1)
    config = TrainConfig(epochs=2, batch_size=task.batch, monitor=1, accelerator=task.device)
    records = train(network, TrainingData(inputs, {"tag_ids": padded_tags(chosen.numpy())}), config)
    next(records)
    began = time.perf_counter()
    next(records)
    return (time.perf_counter() - began) / photos, 0.0


def _encode(task: Task) -> tuple[float, float]:
    network, pixels = _network(task)
    network, batch = network.to(task.device).eval(), pixels.repeat(task.batch, 1, 1, 1).to(task.device)
    with torch.inference_mode():
        return _each(lambda: (network(batch) > 0.5).cpu(), task.batch), 0.0


def _rank(task: Task) -> tuple[float, float]:
    """A query among ``RANKED`` codes of 64 bits with 38 labels: every score of it."""
    random = np.random.default_rng(0)
    codes = [random.random((n, 64)) < 0.5 for n in (task.batch, RANKED)]
    labels = [random.random((n, 38)) < 0.1 for n in (task.batch, RANKED)]
    return _each(lambda: evaluate(*codes, *labels), task.batch), 0.0


def _candidate(profile: Profile) -> Candidate:
    """CTRH on AlexNet, as the article has it."""
    return next(each for each in article_candidates(profile) if each.method == "CTRH")


def _network(task: Task) -> tuple[nn.Module, Tensor]:
    """It untrained, over the task's tags, and the pixels (1, 3, 224, 224) of a picture."""
    candidate = _candidate(Profile.named("paper"))
    return replace(candidate, text=(task.tags, candidate.text[1])).build()


WORK: dict[str, Callable[[Task], tuple[float, float]]] = {
    "read": _read,
    "see": _see,
    "fine-tune": _finetune,
    "replace": _replace,
    "learn": _learn,
    "encode": _encode,
    "rank": _rank,
}
STEPS = {
    "read": "read a photo, one core",
    "see": "CLIP ViT-B-32 sees a photo",
    "fine-tune": "CLIP learns from a photo and its tags",
    "replace": "replace a photo's tags, Eq. 3-8",
    "learn": "AlexNet and CTRH learn from a photo",
    "encode": "AlexNet and hash layer encode a photo",
    "rank": f"rank {RANKED:,} codes for a query, all scores",
}
