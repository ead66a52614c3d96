"""The shipped guide: shape, tokenizer, and the pieces of its pre-training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from safetensors.torch import load_file

from ctrh.data.scenes.compose import compose
from ctrh.data.scenes.sets import MIR, NUS
from ctrh.guide.small import MERGES, build
from tools.pretrain_backbones import BackboneConfig
from tools.pretrain_guide import (
    PretrainConfig,
    Words,
    _encode,
    image_tokens,
    patch_of,
    pixels_to_tensor,
    train,
    word_loss,
)


def test_it_has_the_shape_of_vit_b_32():
    model, preprocess, tokenizer = build()
    tokens = image_tokens(model, torch.randn(2, 3, 112, 112))
    assert tokens.shape == (2, 50, 256)
    torch.testing.assert_close(tokens.norm(dim=-1), torch.ones(2, 50))
    assert sum(p.numel() for p in model.parameters()) < 3.2e6
    picture = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), dtype=np.uint8)
    torch.testing.assert_close(preprocess(Image.fromarray(picture[0])), pixels_to_tensor(picture)[0])


def test_tokenizer_knows_every_letter_and_the_frequent_merges():
    small, full = build().tokenizer, SimpleTokenizer()
    assert small.vocab_size == 512 + MERGES + 2 == small.eot_token_id + 1
    for text in ("dog", "a photo of a cat"):
        assert small.encode(text) == full.encode(text)
    assert small.decode(small.encode("schmetterling")).strip() == "schmetterling"
    assert max(small.encode("árvorecaidiça")) < small.sot_token_id


def test_text_without_padding_columns_is_the_same():
    model, _, tokenizer = build()
    ids = tokenizer(["A photo of a dog", "A photo of a mariposa, christmastree"])
    with torch.no_grad():
        torch.testing.assert_close(_encode(model, ids), model.encode_text(ids, normalize=True))


def test_word_loss_is_the_cross_entropy_against_the_even_distribution():
    generator = torch.Generator().manual_seed(0)
    image, words = torch.randn(3, 4, generator=generator), torch.randn(5, 4, generator=generator)
    true = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 1, 1]], dtype=torch.bool)
    expected = 0.0
    for i in range(3):
        logits = [2.0 * float(image[i] @ word) for word in words]
        normaliser = math.log(sum(math.exp(logit) for logit in logits))
        log_shares = [logits[c] - normaliser for c in range(5) if true[i, c]]
        expected -= sum(log_shares) / len(log_shares) / 3
    assert math.isclose(word_loss(image, words, true, torch.tensor(2.0)), expected, rel_tol=1e-5)


def test_the_patch_under_a_thing():
    thing = replace(compose(1, 0).things[0], centre=(0.1, 0.99))
    assert patch_of(thing, None, flipped=False) == 1 + 7 * 6 + 0
    assert patch_of(thing, None, flipped=True) == 1 + 7 * 6 + 6
    middle = replace(thing, centre=(0.5, 0.5))
    assert patch_of(middle, "macro", flipped=False) == patch_of(middle, None, flipped=True) == 1 + 7 * 3 + 3


def test_captions_tell_the_truth():
    words, rng = Words(), np.random.default_rng(0)
    for index in range(50):
        scene = compose(1, index)
        caption = words.caption(scene, rng).removeprefix("A photo of a ")
        true = {words.all[word] for word in words.of(scene)}
        assert caption and set(caption.split(", ")) <= true


def test_pretraining_never_sees_the_data_sets():
    first = [PretrainConfig.seed, BackboneConfig.seed]
    held_out = [seed + 1 for seed in first]
    assert not {*first, *held_out} & {MIR.seed, NUS.seed}


def test_a_few_steps_write_weights_that_load(tmp_path):
    config = PretrainConfig(seed=9, scenes=8, held_out=4, epochs=1, stop=1, batch=4)
    train(config, tmp_path / "guide.safetensors")
    state = load_file(tmp_path / "guide.safetensors")
    build().model.load_state_dict(state)
    assert all(value.isfinite().all() for value in state.values())
