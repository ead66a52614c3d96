"""What the article's experiments take on the machine at hand: a little of each step measured, times how often it is done.

Networks are measured untrained and photos are made up: neither changes the time. Each measurement has a process of its
own, so that its memory is its own too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from ctrh.augment import for_crops, random_view, side_for
from ctrh.backbones import backbone_parts
from ctrh.data import mirflickr, nuswide
from ctrh.data.decoded import scaled
from ctrh.data.images import upright_rgb
from ctrh.guide.features import ImageFeatures
from ctrh.guide.finetune import contrastive_loss
from ctrh.guide.refine import replaced_tags
from ctrh.network import padded_tags
from ctrh.paper.costs import Candidate, article_candidates
from ctrh.paper.launch import cores
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import code_key, versions
from ctrh.paper.timing import machine, measure, measured_apart, peak_megabytes
from ctrh.retrieval.metrics import evaluate
from ctrh.store import cached_arrays, content_key
from ctrh.training import TrainConfig, TrainingData, train

PHOTO = (500, 375)  # pixels of Flickr's medium size, which both data sets have
PIXELS, WIDTH, TAGS_OF_A_PHOTO, RANKED = 224, 512, 9, 100_000
STEPS = READ, VIEW, SEE, FINETUNE, REPLACE, LEARN, ENCODE, RANK = (
    "read a photo, one core",
    "cut a view from a decoded photo, one core",
    "CLIP ViT-B-32 sees a photo",
    "CLIP learns from a photo and its tags",
    "replace a photo's tags, Eq. 3-8",
    "AlexNet and CTRH learn from a photo",
    "AlexNet and hash layer encode a photo",
    f"rank {RANKED:,} codes for a query, all scores",
)
Work = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """A data set of the article: how many photos, of them queries and for training."""

    dataset: str
    photos: int
    queries: int
    train: int


def article_sizes() -> list[Sizes]:
    """MIRFLICKR-25K (before photos without a tag are removed: at most so many) and NUS-WIDE, as the article splits them."""
    mir, nus = mirflickr.ARTICLE, nuswide.ARTICLE
    return [
        Sizes("mirflickr", mirflickr.PHOTOS, mir.queries, mirflickr.PHOTOS - mir.queries),
        Sizes("nuswide", nus.photos, nus.queries, nus.train),
    ]


@dataclass(frozen=True)
class Task:
    """One step to measure: on how many photos at once, where, over how many tags."""

    step: str
    batch: int
    device: str
    tags: int = mirflickr.COMMON  # more than NUS-WIDE's


@dataclass(frozen=True)
class Measured:
    """``seconds`` a photo (the median); ``megabytes``: how far memory (the GPU's, on one) grew at the most; ``growth``:
    what a photo more in the batch adds (:func:`kept_megabytes`), 0 where the batch is the profile's."""

    seconds: float
    megabytes: float
    growth: float = 0.0


def tasks(device: str | None = None) -> list[Task]:
    """All that is measured; smaller batches on a CPU, where they take long and cost the same a photo."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    batches = dict(zip(STEPS, (1, 1, 64, 128, 512, 32, 64, 16), strict=True))
    if device == "cpu":
        batches |= {SEE: 8, FINETUNE: 4, ENCODE: 16}
    return [Task(step, batch, device) for step, batch in batches.items()]


def measure_all(wanted: list[Task]) -> dict[str, Measured]:
    """By step; once a machine, then out of the cache."""

    def compute() -> dict[str, np.ndarray]:
        return {"numbers": np.array([astuple(measured) for measured in measured_apart(_measure, wanted)])}

    key = content_key("estimates", 4, wanted, code_key(), versions(), machine())
    numbers = cached_arrays("costs", key, compute)["numbers"]
    return {task.step: Measured(*row) for task, row in zip(wanted, numbers.tolist(), strict=True)}


def estimate_rows(profile: Profile, measured: dict[str, Measured], wanted: list[Task]) -> pd.DataFrame:
    """Tables 1 and 2 in ``profile``, a row a data set and step: ``dataset``, ``step``, ``times`` (how often), ``seconds``
    (of one, measured), ``hours`` (the product) and ``megabytes`` (of memory, with the batch that the profile has)."""
    grid = len(profile.bits) * len(profile.seeds)
    trained = _trainings(profile)
    rows = []
    for size in article_sizes():
        # The zero-shot guide sees every photo, the fine-tuned and the ensembled one those for training.
        seen = size.photos + 2 * size.train
        learned = trained * profile.train.epochs * size.train
        # Every trained network encodes every photo; training reads a photo once for all, or each time anew.
        read_to_learn = size.train if profile.train.decoded else learned
        times = {
            READ: seen + trained * size.photos + read_to_learn,
            VIEW: learned if profile.train.decoded else 0,
            SEE: seen,
            FINETUNE: profile.finetune.epochs * size.train,
            REPLACE: size.train,
            LEARN: learned,
            ENCODE: trained * size.photos,
            RANK: len(profile.methods) * grid * size.queries * (size.photos - size.queries) / RANKED,
        }
        for task in wanted:
            cost = measured[task.step]
            more = profile.finetune.batch - task.batch if task.step == FINETUNE else 0
            row = {
                "dataset": size.dataset,
                "step": task.step,
                "times": times[task.step],
                "seconds": cost.seconds,
            }
            row["hours"] = row["times"] * cost.seconds / 3600
            row["megabytes"] = cost.megabytes + more * cost.growth
            rows.append(row)
    return pd.DataFrame(rows)


def disk_rows(profile: Profile) -> pd.DataFrame:
    """What stays on disk: ``dataset``, ``what``, ``gigabytes`` (10^9 bytes)."""
    candidate = _candidate()
    weights = 4 * sum(parameter.numel() for parameter in candidate.build()[0].parameters())
    side = side_for(PIXELS)
    rows = []
    for size in article_sizes():
        kept = {
            "training photos for the guide, as bytes": 3 * PIXELS**2 * size.train,
            "training photos, decoded": profile.train.decoded
            * 3
            * side
            * (side * PHOTO[0] // PHOTO[1])
            * size.train,
            "features of three guides": 2 * 4 * candidate.text[1] * (size.photos + 2 * size.train),
            "weights of all trainings": _trainings(profile) * weights,
        }
        rows += [(size.dataset, what, count / 1e9) for what, count in kept.items()]
    return pd.DataFrame(rows, columns=["dataset", "what", "gigabytes"])


def _trainings(profile: Profile) -> int:
    return len(profile.learners) * len(profile.bits) * len(profile.seeds)


def _measure(task: Task) -> Measured:
    """Meant for a process of its own."""
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    before = _peak(task)
    work, growth = WORK[task.step](task), 0.0
    if task.step == FINETUNE:
        work, growth = work
    # Reading is of one core, as each worker has one.
    threads = 1 if task.step in (READ, VIEW) else cores()
    with torch.inference_mode(task.step in (SEE, ENCODE)):
        seconds = (
            measure(work, threads, seconds=0.5)
            .of(2 * task.batch if task.step == LEARN else task.batch)
            .median
        )
    return Measured(seconds, _peak(task) - before, growth)


def _peak(task: Task) -> float:
    return peak_megabytes() if task.device == "cpu" else torch.cuda.max_memory_allocated() / 1e6


def _photo() -> io.BytesIO:
    """A JPEG with some grain."""
    grain = np.random.default_rng(0).normal(0, 8, (PHOTO[1], PHOTO[0], 3))
    smooth = np.asarray(Image.linear_gradient("L").resize(PHOTO), dtype=float)[..., None]
    file = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file


def _read(task: Task) -> Work:
    file, preprocess = _photo(), backbone_parts("alexnet", None)[2]
    return lambda: preprocess(upright_rgb(Image.open(io.BytesIO(file.getvalue()))))


def _view(task: Task) -> Work:
    size, preprocess = for_crops(backbone_parts("alexnet", None)[2])
    pixels = np.asarray(scaled(upright_rgb(Image.open(_photo())), side_for(size)))
    return lambda: preprocess(random_view(Image.fromarray(pixels), size, (0, 0)))


def _clip(task: Task) -> tuple[nn.Module, Tensor, Tensor]:
    import open_clip  # behind ctrh.guide, which silences what it says when a notebook imports it

    model = open_clip.create_model("ViT-B-32-quickgelu").to(task.device).eval()
    tokens = torch.randint(1, 1000, (task.batch, model.context_length), device=task.device)
    return model, torch.randn(task.batch, 3, PIXELS, PIXELS, device=task.device), tokens


def _see(task: Task) -> Work:
    model, pixels, _ = _clip(task)
    return lambda: model.encode_image(pixels)


def _finetune(task: Task) -> tuple[Work, float]:
    """And the megabytes that a photo more would take."""
    model, pixels, tokens = _clip(task)
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)

    def loss(photos: int) -> Tensor:
        return contrastive_loss(*model(pixels[:photos], tokens[:photos])[:3])

    def step() -> None:
        optimiser.zero_grad()
        loss(task.batch).backward()
        optimiser.step()

    half = task.batch // 2
    kept = kept_megabytes(lambda: loss(task.batch)) - kept_megabytes(lambda: loss(half))
    return step, kept / (task.batch - half)


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


def _replace(task: Task) -> Work:
    token, mean = torch.randn(2, task.batch, WIDTH).numpy()
    text, counts = torch.randn(task.tags, WIDTH).numpy(), np.full(task.batch, TAGS_OF_A_PHOTO)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return lambda: replaced_tags(ImageFeatures(token, unit), text, counts)


def _learn(task: Task) -> Work:
    """Epochs of two batches, by the loop that trains everything."""
    network, pixels = _network(task)
    photos = 2 * task.batch
    chosen = torch.rand(photos, task.tags).argsort(dim=1) < TAGS_OF_A_PHOTO
    data = TrainingData(pixels.repeat(photos, 1, 1, 1), {"tag_ids": padded_tags(chosen.numpy())})
    config = TrainConfig(epochs=10_000, batch_size=task.batch, monitor=1, accelerator=task.device)
    records = train(network, data, config)
    return lambda: next(records)


def _encode(task: Task) -> Work:
    network, pixels = _network(task)
    network, batch = network.to(task.device).eval(), pixels.repeat(task.batch, 1, 1, 1).to(task.device)
    return lambda: (network(batch) > 0.5).cpu()


def _rank(task: Task) -> Work:
    """Queries among ``RANKED`` codes of 64 bits with 38 labels: every score of them."""
    random = np.random.default_rng(0)
    codes = [random.random((n, 64)) < 0.5 for n in (task.batch, RANKED)]
    labels = [random.random((n, 38)) < 0.1 for n in (task.batch, RANKED)]
    return lambda: evaluate(*codes, *labels)


def _candidate() -> Candidate:
    """CTRH on AlexNet, as the article has it."""
    return next(x for x in article_candidates(Profile.named("paper")) if x.method == "CTRH")


def _network(task: Task) -> tuple[nn.Module, Tensor]:
    """It untrained, over the task's tags, and the pixels (1, 3, 224, 224) of a picture."""
    candidate = _candidate()
    return replace(candidate, text=(task.tags, candidate.text[1])).build()


WORK = dict(zip(STEPS, (_read, _view, _see, _finetune, _replace, _learn, _encode, _rank), strict=True))
