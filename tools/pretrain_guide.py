"""How the shipped guides are trained, from a clone, with the icon sets that :mod:`tools.icons` names in the folder ICONS:
``python -m tools.pretrain_guide ICONS --name small``, and for the second one, of fewer other pictures and for a shorter
time, ``--name small-b --seed 5001 --scenes 50000 --epochs 3``. About 20 and 12 minutes on two cores.

In place of pictures from the web there are things drawn by six artists (:mod:`tools.other_corpus`), none of them that of
the data sets, whose drawings, backgrounds and looks the guides never see. Captions are random subsets of what is shown:
things by name (six languages), kinds, concepts, background and look. Three losses share the batch:
CLIP's contrastive loss over captions; a softmax of each image over single-word prompts, on the class token and on the
mean of all tokens; and the same for the patch under each thing, which stands in for the billions of pairs from which
CLIP learns where things are (Eq. 4-8 compare every token with text, so every token has to live in the joint space).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from ctrh.data.scenes.compose import Mix, Scene, Thing
from ctrh.data.scenes.draw import draw
from ctrh.data.scenes.gallery import compose_all
from ctrh.data.scenes.tags import true_words
from ctrh.data.scenes.world import BACKGROUNDS, CONCEPTS, KIND_OF_GLYPH, KINDS, LANGUAGES, LOOKS, names
from ctrh.guide.clip import TEMPLATE
from ctrh.guide.small import MEAN, STD, SmallTokenizer, build
from ctrh.store import replacing
from tools.icons import render
from tools.other_corpus import corpus

HELD_OUT_SEED = 1002
WEIGHTS = Path(__file__).parents[1] / "ctrh" / "weights"


@dataclass(frozen=True)
class PretrainConfig:
    """``seed`` also selects the pictures: two seeds are two corpora."""

    seed: int = 4001
    scenes: int = 60_000
    held_out: int = 2_000  # scenes like those of the data sets, of another seed: only to tell how training goes on
    epochs: int = 5
    batch: int = 256
    lr: float = 2e-3
    weight_decay: float = 0.05
    names_in_batch: int = 96


class Words:
    """All words of the corpus, and which of them are true of a scene."""

    def __init__(self) -> None:
        fine = set()
        for glyph, language in product(KIND_OF_GLYPH, ("en", *LANGUAGES)):
            fine.update(names(glyph, language))
        self.coarse = (*CONCEPTS, *(look for look in LOOKS if look not in CONCEPTS))
        self.all = (*self.coarse, *sorted(fine - set(self.coarse)))
        self.index = {word: i for i, word in enumerate(self.all)}

    def of(self, scene: Scene) -> list[int]:
        return sorted(self.index[word] for word in true_words(scene))

    def of_thing(self, thing: Thing) -> list[int]:
        true = {*KINDS[thing.kind].words, *names(thing.glyph)}
        return sorted(self.index[word] for word in true)

    def caption(self, scene: Scene, rng: np.random.Generator) -> str:
        """Some of what the scene shows, drawn at random, each thing by one of its words."""
        mentioned = []
        for thing in scene.things:
            language = "en" if rng.random() < 0.8 else str(rng.choice(LANGUAGES))
            fine, kind = names(thing.glyph, language), KINDS[thing.kind]
            pool = [kind.word, *kind.above, *fine[:1]]
            mentioned.append(str(rng.choice(pool)))
        mentioned.append(str(rng.choice(BACKGROUNDS[scene.background])))
        if scene.look and rng.random() < 0.5:
            mentioned.append(scene.look)
        kept = max(1, int(rng.binomial(len(mentioned), 0.7)))
        return TEMPLATE.format(", ".join(rng.permutation(mentioned)[:kept]))


def pixels_to_tensor(pixels: np.ndarray) -> Tensor:
    """(B, 112, 112, 3) uint8 -> (B, 3, 112, 112) float32, normalised as the guide's transform does it."""
    batch = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255
    return (batch - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def image_tokens(model: CLIP, batch: Tensor) -> Tensor:
    """All tokens in the joint space, normalised, (B, 50, D)."""
    visual = model.visual
    tokens = visual.ln_post(visual.transformer(visual._embeds(batch))) @ visual.proj
    return F.normalize(tokens, dim=-1)


def patch_of(thing: Thing, flipped: bool) -> int:
    """The index among the 50 tokens of the patch that shows the middle of ``thing``."""
    x, y = thing.centre
    x = 1 - x if flipped else x
    column = min(6, max(0, int(7 * x)))
    row = min(6, max(0, int(7 * y)))
    return 1 + 7 * row + column


def word_loss(image: Tensor, words: Tensor, true: Tensor, scale: Tensor) -> Tensor:
    """Softmax over words against the even distribution over an image's true words. (B, D), (W, D), (B, W)."""
    target = true.float() / true.sum(dim=1, keepdim=True).clamp(min=1)
    return F.cross_entropy(scale * image @ words.T, target)


def train(config: PretrainConfig, icons: np.ndarray, out: Path) -> None:
    """Trains one guide on drawings (:func:`tools.icons.render`) and writes its weights in half precision to ``out``."""
    torch.manual_seed(config.seed)
    model, _, tokenizer = build()
    model = model.to(memory_format=torch.channels_last)
    words = Words()
    pixels, scenes = corpus(icons, config.seed, config.scenes)
    held_scenes = compose_all(HELD_OUT_SEED, config.held_out, Mix())
    held_pixels = np.stack([draw(scene) for scene in held_scenes])
    true_words_of = [words.of(scene) for scene in scenes]
    # Biases, norms and the temperature are not decayed.
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    per_epoch = config.scenes // config.batch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_warm_cosine, config.epochs * per_epoch))
    rng = np.random.default_rng(config.seed)
    for epoch in range(config.epochs):
        order, begun, losses = rng.permutation(config.scenes), time.time(), []
        model.train()
        for step in tqdm(range(per_epoch), f"epoch {epoch}", disable=None):
            rows = np.sort(order[step * config.batch : (step + 1) * config.batch])
            batch = pixels_to_tensor(pixels[rows])  # (B, 3, 112, 112)
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
            captions = tokenizer([words.caption(scenes[row], rng) for row in rows])
            things = [(i, thing) for i, row in enumerate(rows) for thing in scenes[row].things]
            patches = [patch_of(thing, bool(flip[i])) for i, thing in things]
            # First what is true of the B scenes, then what is true of each of their M things: (B + M, W).
            true_lists = [true_words_of[row] for row in rows] + [words.of_thing(thing) for _, thing in things]
            chosen, true = _batch_words(words, true_lists, config.names_in_batch, rng)
            prompts = tokenizer([TEMPLATE.format(words.all[word]) for word in chosen])
            # The plain attention kernel: on CPUs the backward pass of the fused one is several times slower.
            with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
                tokens = image_tokens(model, batch).float()  # (B, 50, D)
                caption = _encode(model, captions).float()  # (B, D)
                prompt = _encode(model, prompts).float()  # (W, D)
            scale = model.logit_scale.exp().clamp(max=100)
            token, mean = tokens[:, 0], F.normalize(tokens.mean(dim=1), dim=-1)
            logits, diagonal = scale * token @ caption.T, torch.arange(len(rows))
            contrastive = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
            of_scene, of_thing = true[: len(rows)], true[len(rows) :]
            by_word = word_loss(token, prompt, of_scene, scale)
            by_word = by_word + 0.5 * word_loss(mean, prompt, of_scene, scale)
            by_patch = word_loss(tokens[[i for i, _ in things], patches], prompt, of_thing, scale)
            loss = 0.5 * contrastive + by_word + by_patch
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append((contrastive.item(), by_word.item(), by_patch.item()))
        with replacing(out) as temporary:
            save_file(half(model.state_dict()), temporary)
        by_class, by_mean = held_out_precision(model, tokenizer, held_pixels, held_scenes)
        contrastive, by_word, by_patch = np.mean(losses, axis=0)
        print(
            f"epoch {epoch + 1}: contrastive {contrastive:.3f}, words {by_word:.3f}, patches {by_patch:.3f}, "
            f"R-precision {by_class:.3f} (class token) {by_mean:.3f} (mean), {time.time() - begun:.0f} s",
            flush=True,
        )


def _encode(model: CLIP, ids: Tensor) -> Tensor:
    """Normalised text features as ``model.encode_text`` gives them, without computing columns of mere padding."""
    length = int((ids != 0).sum(dim=1).max())
    hidden = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    last = hidden[torch.arange(len(ids)), ids.argmax(dim=1)]
    return F.normalize(last @ model.text_projection, dim=-1)


def _warm_cosine(steps: int, step: int) -> float:
    warm = 0.04 * steps
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in half precision, ready to be saved; counters stay as they are."""
    return {name: v.half().contiguous() if v.is_floating_point() else v for name, v in state.items()}


def _batch_words(
    words: Words, true: list[list[int]], most_names: int, rng: np.random.Generator
) -> tuple[np.ndarray, Tensor]:
    """All coarse words and some of the names that occur; which of them are true, (B, W) bool."""
    dense = np.zeros((len(true), len(words.all)), dtype=bool)
    for row, columns in enumerate(true):
        dense[row, columns] = True
    occurring = np.flatnonzero(dense.any(axis=0))
    fine = rng.permutation(occurring[occurring >= len(words.coarse)])[:most_names]
    chosen = np.concatenate([np.arange(len(words.coarse)), fine])
    return chosen, torch.from_numpy(dense[:, chosen])


@torch.no_grad()
def held_out_precision(
    model: CLIP, tokenizer: SmallTokenizer, pixels: np.ndarray, scenes: list[Scene]
) -> tuple[float, float]:
    """Zero-shot R-precision over the concept words: by the class token, by the mean token."""
    model.eval()
    text = model.encode_text(tokenizer([TEMPLATE.format(word) for word in CONCEPTS]), normalize=True)
    tokens = [image_tokens(model, pixels_to_tensor(pixels[i : i + 256])) for i in range(0, len(scenes), 256)]
    precisions = []
    for view in (torch.cat([t[:, 0] for t in tokens]), torch.cat([t.mean(dim=1) for t in tokens])):
        ranked = (view @ text.T).argsort(dim=1, descending=True).numpy()
        hits = [
            np.mean([CONCEPTS[word] in scene.words for word in row[: len(scene.words)]])
            for row, scene in zip(ranked, scenes, strict=True)
        ]
        precisions.append(float(np.mean(hits)))
    return precisions[0], precisions[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain_guide", description=__doc__)
    parser.add_argument("icons", type=Path, help="the folder of packages that tools.icons names")
    parser.add_argument("--name", default="small", help="writes ctrh/weights/guide-NAME.safetensors")
    for name in ("seed", "scenes", "epochs"):
        parser.add_argument(f"--{name}", type=int, default=getattr(PretrainConfig, name))
    options = parser.parse_args()
    config = PretrainConfig(seed=options.seed, scenes=options.scenes, epochs=options.epochs)
    train(config, render(options.icons), WEIGHTS / f"guide-{options.name}.safetensors")


if __name__ == "__main__":
    main()
