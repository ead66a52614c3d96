"""Tag scores, Eq. (4)-(8): contracted, beside the arrays as printed; and beside the image encoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torchvision
from torch.nn.functional import normalize

from benchmarks.measuring import Result, timed, timed_with_memory
from ctrh.guide import equations
from ctrh.guide.features import ImageFeatures
from ctrh.guide.refine import replaced_tags, tag_scores

TOKENS, WIDTH = 50, 512
# images scored at once, tags, images of the uncontracted form; streamed images, words; images for the encoder
SIZES = {
    "full": ((512, 1386, 3), (200_000, 5018), 16),
    "small": ((128, 1386, 1), (8000, 5018), 4),
    "tiny": ((6, 40, 6), (300, 50), 1),
}


def run(scale: str) -> Iterator[Result]:
    (images, tags, printed_images), (streamed, words), encoded = SIZES[scale]
    yield contraction(images, tags, printed_images)
    yield streaming(streamed, words, encoded)


def contraction(images: int, tags: int, printed_images: int) -> Result:
    """Seconds an image from the encoder's tokens on, in batches of ``images``."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(images, TOKENS, WIDTH, generator=generator)
    text = torch.randn(tags, WIDTH, generator=generator)

    def contracted() -> np.ndarray:
        mean = normalize(tokens, dim=-1).mean(dim=1)
        return tag_scores(tokens[:, 0].numpy(), mean.numpy(), text.numpy())

    def printed(image: torch.Tensor) -> torch.Tensor:
        w = equations.tag_weights(equations.tag_distribution(image[:, 0], text))
        F_m = equations.products(image, text)
        F_r = equations.redundant_features(F_m, w)
        return equations.token_mean_scores(equations.without_redundant(F_m, w, F_r))

    ours_s, scores = timed(contracted, repeats=3)
    reference_s, expected = timed(lambda: [printed(tokens[i : i + 1]) for i in range(printed_images)])
    difference = float(np.abs(scores[:printed_images] - torch.cat(expected).numpy()).max())
    size = f"per image, {tags} tags, {TOKENS} tokens, batches of {images}; reference one image at a time"
    return Result("refinement", size, ours_s / images, reference_s / printed_images, difference)


def streaming(images: int, words: int, encoded: int, block: int = 4000) -> Result:
    """Replacing the tags of a large set, made-up features block by block, beside encoding as many pictures."""
    random = np.random.default_rng(0)
    text = random.standard_normal((words, WIDTH), dtype=np.float32)
    made = [random.standard_normal((min(block, images), WIDTH), dtype=np.float32) for _ in range(2)]
    features = ImageFeatures(made[0], normalize(torch.from_numpy(made[1]), dim=1).numpy())
    counts = random.integers(1, 10, len(made[0]))

    def replace_all() -> int:
        kept = 0
        for start in range(0, images, block):
            here = min(block, images - start)
            part = ImageFeatures(features.class_token[:here], features.mean_token[:here])
            kept += replaced_tags(part, text, counts[:here]).nnz
        return kept

    ours_s, megabytes, _ = timed_with_memory(replace_all)
    # Random weights cost what trained ones do.
    encoder = torchvision.models.vit_b_32(weights=None).eval()
    pictures = torch.randn(encoded, 3, 224, 224)
    with torch.inference_mode():
        encoder(pictures)
        encoder_s, _ = timed(lambda: encoder(pictures))
    size = f"{images} images x {words} words; reference: ViT-B-32 on as many, extrapolated from {encoded}"
    facts = {"peak extra MB": megabytes, "share of encoding %": 100 * ours_s / (encoder_s * images / encoded)}
    return Result("refinement beside encoding", size, ours_s, encoder_s * images / encoded, 0.0, facts)
