"""What the article's experiments take on this machine: each step's time, untrained, on made-up photos, times how often."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

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
from ctrh.paper.costs import ARTICLE_TEXT, article_candidates
from ctrh.paper.launch import cores
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import code_key, versions
from ctrh.paper.timing import machine, measure, measured_apart, peak_megabytes
from ctrh.retrieval.metrics import evaluate
from ctrh.store import cached_arrays, content_key
from ctrh.training import TrainConfig, TrainingData, train

PHOTO = (500, 375)  # pixels of Flickr's medium size, which both data sets have
PIXELS, TAGS_OF_A_PHOTO, RANKED = 224, 9, 100_000
# Photos, queries, training photos. Of MIRFLICKR-25K all, before those without a tag are removed.
ALL, MIR, NUS = mirflickr.PHOTOS, mirflickr.ARTICLE, nuswide.ARTICLE
SIZES = {"mirflickr": (ALL, MIR.queries, ALL - MIR.queries), "nuswide": (NUS.photos, NUS.queries, NUS.train)}
READ, VIEW = "read a photo, one core", "cut a view from a decoded photo, one core"
SEE, FINETUNE = "CLIP ViT-B-32 sees a photo", "CLIP learns from a photo and its tags"
REPLACE = "replace a photo's tags, Eq. 3-8"
LEARN, ENCODE = "AlexNet and CTRH learn from a photo", "AlexNet and hash layer encode a photo"
RANK = f"rank {RANKED:,} codes for a query, all scores"
Work = Callable[[], object]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def measured_steps() -> pd.DataFrame:
    """Index: the steps; ``seconds`` a photo (the median), ``megabytes`` that memory (a GPU's, on one) grows by,
    ``growth``: what a photo more in the ``batch`` adds. Measured once on a machine, then read from the cache."""
    rows = {}
    for step, (gpu, cpu, _) in STEPS.items():
        task = step, cpu if DEVICE == "cpu" else gpu, DEVICE
        key = content_key("estimates", task, code_key(), versions(), machine())
        numbers = cached_arrays("costs", key, partial(measured_apart, _measure, task))
        rows[step] = {name: float(value) for name, value in numbers.items()} | {"batch": task[1]}
    return pd.DataFrame(rows).T


def estimate_rows(profile: Profile, steps: pd.DataFrame) -> pd.DataFrame:
    """Tables 1 and 2 in ``profile``: ``dataset``, ``step``, ``times`` (how often), ``seconds`` (of one), ``hours`` (the
    product) and ``megabytes`` (of memory, with the profile's batch)."""
    repeated = len(profile.bits) * len(profile.seeds)
    trainings = len(profile.learners) * repeated
    more = profile.finetune.batch - steps["batch"]  # counts where another photo adds to memory: in fine-tuning
    steps = steps.assign(megabytes=steps["megabytes"] + more * steps["growth"])
    frames = []
    for dataset, (photos, queries, training) in SIZES.items():
        # The zero-shot guide sees every photo, the fine-tuned and the ensembled one those for training.
        seen = photos + 2 * training
        learned = trainings * profile.train.epochs * training
        # Every trained network encodes every photo; training reads a photo once for all, or each time anew.
        times = {
            READ: seen + trainings * photos + (training if profile.train.decoded else learned),
            VIEW: learned if profile.train.decoded else 0,
            SEE: seen,
            FINETUNE: profile.finetune.epochs * training,
            REPLACE: training,
            LEARN: learned,
            ENCODE: trainings * photos,
            RANK: len(profile.methods) * repeated * queries * (photos - queries) / RANKED,
        }
        frame = steps.assign(dataset=dataset, times=pd.Series(times)).rename_axis("step").reset_index()
        frames.append(frame.assign(hours=frame["times"] * frame["seconds"] / 3600))
    rows = pd.concat(frames, ignore_index=True)
    return rows[["dataset", "step", "times", "seconds", "hours", "megabytes"]]


def disk_rows(profile: Profile) -> pd.DataFrame:
    """What stays on disk: ``dataset``, ``what``, ``gigabytes`` (10^9 bytes)."""
    trainings = len(profile.learners) * len(profile.bits) * len(profile.seeds)
    weights = trainings * 4 * sum(parameter.numel() for parameter in _network()[0].parameters())
    side = side_for(PIXELS)
    decoded = 3 * side * (side * PHOTO[0] // PHOTO[1]) if profile.train.decoded else 0
    rows = []
    for dataset, (photos, _, training) in SIZES.items():
        rows += [
            (dataset, "training photos for the guide, as bytes", 3 * PIXELS**2 * training / 1e9),
            (dataset, "training photos, decoded", decoded * training / 1e9),
            (dataset, "features of three guides", 2 * 4 * ARTICLE_TEXT * (photos + 2 * training) / 1e9),
            (dataset, "weights of all trainings", weights / 1e9),
        ]
    return pd.DataFrame(rows, columns=["dataset", "what", "gigabytes"])


def _measure(task: tuple[str, int, str]) -> dict[str, np.ndarray]:
    """Meant for a process of its own."""
    step, batch, device = task
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    peak = peak_megabytes if device == "cpu" else lambda: torch.cuda.max_memory_allocated() / 1e6
    before = peak()
    work = STEPS[step][2](batch, device)
    # Reading is of one core, as each worker has one.
    threads = 1 if step in (READ, VIEW) else cores()
    photos = 2 * batch if step == LEARN else batch
    with torch.inference_mode(step in (SEE, ENCODE)):
        seconds = measure(work, threads, seconds=0.5)[0] / photos
    found = {"seconds": seconds, "megabytes": peak() - before}
    found["growth"] = kept_a_photo(device) if step == FINETUNE else 0.0
    return {name: np.float64(value) for name, value in found.items()}


def _read(batch: int, device: str, view: bool = False) -> Work:
    """Decode a JPEG with some grain, or cut a ``view`` from the decoded one; then what AlexNet needs."""
    file, preprocess = io.BytesIO(), backbone_parts("alexnet", None)[2]
    grain = Image.blend(Image.linear_gradient("L").resize(PHOTO), Image.effect_noise(PHOTO, 16), 0.5)
    grain.convert("RGB").save(file, "JPEG", quality=90)
    if not view:
        return lambda: preprocess(upright_rgb(Image.open(io.BytesIO(file.getvalue()))))
    size, preprocess = for_crops(preprocess)
    photo = scaled(upright_rgb(Image.open(file)), side_for(size))
    return lambda: preprocess(random_view(photo, size, (0, 0)))


def _clip(batch: int, device: str) -> tuple[nn.Module, Tensor, Tensor]:
    import open_clip  # behind ctrh.guide, which silences what it says when a notebook imports it

    # Not by create_model, which would warn that there are no weights.
    model = open_clip.CLIP(**open_clip.get_model_config("ViT-B-32-quickgelu")).to(device).eval()
    tokens = torch.randint(1, 1000, (batch, model.context_length), device=device)
    return model, torch.randn(batch, 3, PIXELS, PIXELS, device=device), tokens


def _see(batch: int, device: str, learn: bool = False) -> Work:
    model, pixels, tokens = _clip(batch, device)
    if not learn:
        return lambda: model.encode_image(pixels)
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)

    def step() -> None:
        optimiser.zero_grad()
        contrastive_loss(*model(pixels, tokens)[:3]).backward()
        optimiser.step()

    return step


def kept_a_photo(device: str) -> float:
    """Megabytes that the gradient needs of a photo more in fine-tuning: unlike the process's peak always the same."""
    model, pixels, tokens = _clip(4, device)

    def loss(n: int) -> Tensor:
        return contrastive_loss(*model(pixels[:n].clone(), tokens[:n])[:3])

    return (kept_megabytes(partial(loss, 4)) - kept_megabytes(partial(loss, 2))) / 2


def kept_megabytes(forward: Callable[[], Tensor]) -> float:
    """Megabytes of the arrays that ``forward`` leaves for its gradient."""
    kept = []  # all of them, so that no address stands for two

    def note(array: Tensor) -> Tensor:
        kept.append(array.untyped_storage())
        return array

    with torch.autograd.graph.saved_tensors_hooks(note, lambda array: array):
        forward()
    return sum({storage.data_ptr(): storage.nbytes() for storage in kept}.values()) / 1e6


def _replace(batch: int, device: str) -> Work:
    token, mean = torch.randn(2, batch, ARTICLE_TEXT).numpy()
    text, counts = torch.randn(mirflickr.COMMON, ARTICLE_TEXT).numpy(), np.full(batch, TAGS_OF_A_PHOTO)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return lambda: replaced_tags(ImageFeatures(token, unit), text, counts)


def _network() -> tuple[nn.Module, Tensor]:
    """CTRH on AlexNet, as the article has it, untrained, and the pixels (1, 3, 224, 224) of a picture."""
    return {x.method: x for x in article_candidates(Profile.named("paper"))}["CTRH"].build()


def _learn(batch: int, device: str) -> Work:
    """Epochs of two batches, by the loop that trains everything."""
    network, pixels = _network()
    chosen = torch.rand(2 * batch, mirflickr.COMMON).argsort(dim=1) < TAGS_OF_A_PHOTO
    data = TrainingData(pixels.repeat(2 * batch, 1, 1, 1), {"tag_ids": padded_tags(chosen.numpy())})
    records = train(network, data, TrainConfig(epochs=10_000, batch_size=batch, monitor=1, accelerator=device))
    return lambda: next(records)


def _encode(batch: int, device: str) -> Work:
    network, pixels = _network()
    network, pixels = network.to(device).eval(), pixels.repeat(batch, 1, 1, 1).to(device)
    return lambda: (network(pixels) > 0.5).cpu()


def _rank(batch: int, device: str) -> Work:
    """Queries among ``RANKED`` codes of 64 bits with 38 labels: every score of them."""
    codes = [torch.rand(n, 64).numpy() < 0.5 for n in (batch, RANKED)]
    labels = [torch.rand(n, 38).numpy() < 0.1 for n in (batch, RANKED)]
    return lambda: evaluate(*codes, *labels)


# How many photos at once on a GPU, and on a CPU, where large batches take long and cost the same a photo.
STEPS = {
    READ: (1, 1, _read),
    VIEW: (1, 1, partial(_read, view=True)),
    SEE: (64, 8, _see),
    FINETUNE: (128, 4, partial(_see, learn=True)),
    REPLACE: (512, 512, _replace),
    LEARN: (32, 32, _learn),
    ENCODE: (64, 16, _encode),
    RANK: (16, 16, _rank),
}
