"""Fine-tuning a guide on the users' tags (Sec. 2.3, step 1) and averaging the weights, Eq. (2) (step 2)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from ctrh.data.photos import Photos
from ctrh.guide.clip import TEMPLATE, Guide, fill
from ctrh.guide.masking import masked
from ctrh.guide.pixels import TrainingPixels
from ctrh.guide.weights import check_matches, read_weights
from ctrh.progress import progress
from ctrh.store import cache_dir, cached_file, content_key, discard, intact, storing

LARGEST_SCALE = math.log(100)  # CLIP's own bound on the temperature


@dataclass(frozen=True)
class FinetuneConfig:
    """The article's settings; it does not give ``batch`` and ``eps`` (here CLIP's for ViTs).

    Adam with L2 weight decay; the learning rate falls by ``decay`` every ``decay_every`` epochs.
    ``precision`` is Lightning Fabric's: "32-true", "bf16-mixed" or "16-mixed".
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 1e-3
    decay: float = 0.1
    decay_every: int = 10
    template: str = TEMPLATE
    precision: str = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 2 or self.decay_every < 1:
            raise ValueError(
                "need epochs >= 0, batch >= 2 (the other pairs of a batch are the negatives) and "
                f"decay_every >= 1, got {self.epochs}, {self.batch} and {self.decay_every}"
            )
        if not 0 < self.learning_rate < math.inf:  # nor NaN
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        fill(self.template, "")

    def rate(self, epoch: int) -> float:
        """The learning rate of ``epoch`` (from 0)."""
        return self.learning_rate * self.decay ** (epoch // self.decay_every)


PAPER = FinetuneConfig()


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """CLIP's symmetric cross-entropy over B pairs -> scalar.

    image, text: (B, D) normalised; scale: the inverse temperature. Row i of one side should choose row i
    among all B of the other. Two photos of one batch with the same caption count as each other's negatives,
    as in CLIP's own training: the loss then has a floor above zero.
    """
    logits = scale * image @ text.T
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def captions(photos: Photos, indices: np.ndarray, template: str = TEMPLATE) -> tuple[np.ndarray, list[str]]:
    """Of the photos ``indices`` those that have tags, and their tags in ``template``, joined by commas.

    Tags stand in the order of the vocabulary (most frequent first). The tokenizer cuts what is longer than
    the guide's context, the rarest tags of a long list. Photos that come with sentences (``photos.texts``) are
    described by these, as they are.
    """
    if photos.texts is not None:
        written = [index for index in np.asarray(indices).tolist() if photos.texts[index]]
        return np.array(written, dtype=np.int64), [photos.texts[index] for index in written]
    tags = photos.tags[indices]
    # Stored twice, a tag is one tag, and a stored False is none.
    tags.sum_duplicates()
    tags.eliminate_zeros()
    rows = [tags.indices[start:end].tolist() for start, end in zip(tags.indptr, tags.indptr[1:], strict=False)]
    texts = [fill(template, ", ".join(photos.vocabulary[column] for column in row)) for row in rows if row]
    return np.asarray(indices)[[bool(row) for row in rows]], texts


def finetune(
    guide: Guide,
    photos: Photos,
    indices: np.ndarray | None = None,
    config: FinetuneConfig = PAPER,
    checkpoint_dir: str | Path | None = None,
    masks: Sequence[float] = (),
) -> Guide:
    """``guide`` fine-tuned on pairs (photo, its tags), of the photos ``indices`` or all training images.

    Photos without a tag are skipped. Batch-norm statistics and dropout stay in evaluation mode: a batch of
    the new photos would otherwise shift what Eq. (2) averages. The result is kept in the cache under the
    content of guide, pictures, captions and ``config``; after every epoch the state goes to
    ``checkpoint_dir`` (default: the cache), and an interrupted run goes on from there to the same weights as
    an uninterrupted one.

    ``masks``: the share of patches that is hidden in each epoch (:mod:`ctrh.guide.masking`); none by default.

    Raises ``ValueError`` for fewer than two photos with tags or ``masks`` of another number than epochs, and
    ``FloatingPointError`` when the loss is not finite.
    """
    if masks and len(masks) != config.epochs:
        raise ValueError(f"{len(masks)} masking ratios for {config.epochs} epochs")
    indices = photos.split.train if indices is None else np.asarray(indices)
    indices, texts = captions(photos, indices, config.template)
    if len(indices) < 2:
        raise ValueError(f"{photos.name}: fine-tuning needs two photos with tags or more, got {len(indices)}")
    masked_too = [list(masks)] if any(masks) else []
    key = content_key(guide.key, photos.images.key, indices, texts, config, *masked_too)
    checkpoint = Path(checkpoint_dir or cache_dir() / "checkpoints") / f"finetune-{key}.pt"

    def write(temporary: Path) -> None:
        pixels = TrainingPixels(guide, photos.images, indices)
        state = _train(
            guide, pixels, guide.tokenizer(texts), config, checkpoint, masks or (0.0,) * config.epochs
        )
        save_file({part: value.contiguous() for part, value in state.items()}, temporary)

    result = cached_file(cache_dir() / "finetuned" / f"{key}.safetensors", write)
    discard(checkpoint)
    return guide.with_weights(read_weights(result), f"{guide.name}, fine-tuned")


def _train(
    guide: Guide,
    pixels: TrainingPixels,
    tokens: Tensor,
    config: FinetuneConfig,
    checkpoint: Path,
    masks: Sequence[float],
) -> dict[str, Tensor]:
    fabric = Fabric(accelerator=guide.device.type, devices=_devices(guide.device), precision=config.precision)
    module = copy.deepcopy(guide.model)
    optimiser = torch.optim.Adam(
        module.parameters(), config.learning_rate, config.betas, config.eps, config.weight_decay
    )
    model, optimiser = fabric.setup(module, optimiser)
    model.eval()
    done = 0
    if intact(checkpoint):
        saved = torch.load(checkpoint, map_location=guide.device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        done = saved["done"]
    per_epoch = math.ceil(len(tokens) / config.batch)
    steps = progress(range(per_epoch * done, per_epoch * config.epochs), "fine-tuning the guide")
    for step, rows in zip(steps, _batches(len(tokens), done, config), strict=True):
        epoch, step_in_epoch = divmod(step, per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = config.rate(epoch)
        images, texts = fabric.to_device(pixels[rows]), fabric.to_device(tokens[rows])
        # By seed and step alone, so that a resumed run hides the patches that it would have hidden.
        with masked(module.visual, masks[epoch], seed=(config.seed << 32) + step):
            loss = contrastive_loss(*model(images, texts)[:3])
        if not loss.isfinite():
            raise FloatingPointError(
                f"fine-tuning stopped: the loss is {loss.item()} in epoch {epoch + 1}, "
                f"step {step_in_epoch + 1}. Lower the learning rate ({config.rate(epoch):g}) or use precision "
                f"'32-true' ({config.precision!r} now)."
            )
        optimiser.zero_grad()
        fabric.backward(loss)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)
        if step_in_epoch + 1 == per_epoch and epoch + 1 < config.epochs:
            saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "done": epoch + 1}
            with storing(checkpoint) as temporary:
                torch.save(saved, temporary)
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def _devices(device: torch.device) -> int | list[int]:
    return 1 if device.index is None else [device.index]


def _batches(count: int, first_epoch: int, config: FinetuneConfig) -> Iterator[np.ndarray]:
    """Rows of each step. Drawn from (seed, epoch) alone, so that a resumed run sees the batches it would have
    seen."""
    for epoch in range(first_epoch, config.epochs):
        order = np.random.default_rng([config.seed, epoch]).permutation(count)
        # Parts of nearly equal size: a last batch of one pair has no negatives and so no gradient.
        yield from np.array_split(order, math.ceil(count / config.batch))


def ensemble(
    zero_shot: Mapping[str, Tensor], fine_tuned: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Eq. (2): (1 - alpha) zero_shot + alpha fine_tuned, for every parameter and floating-point buffer.

    State dicts in, a new one out; the inputs are not touched. ``alpha`` 0 and 1 give exact copies. Raises
    ``ValueError`` for an alpha outside [0, 1], names or shapes that differ, and integer buffers that differ:
    counts and indices have no average.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    check_matches(zero_shot, fine_tuned, "the fine-tuned state dict")
    mixed = {}
    for name, start in zero_shot.items():
        end = fine_tuned[name]
        if not start.is_floating_point():
            if not torch.equal(start, end):
                raise ValueError(f"the integer buffer {name} differs: these are not weights of one training")
            mixed[name] = start.clone()
        elif alpha in (0, 1):
            mixed[name] = (end if alpha else start).clone()
        else:
            # In half precision the products would be rounded before they are added.
            wide = torch.promote_types(start.dtype, torch.float32)
            mixed[name] = ((1 - alpha) * start.to(wide) + alpha * end.to(wide)).to(start.dtype)
    return mixed
