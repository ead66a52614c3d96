"""The shipped guide: shape, tokenizer, and the pieces of its pre-training."""

from __future__ import annotations

import ast
import io
import json
import math
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from safetensors.torch import load_file

from ctrh.data.scenes.compose import compose
from ctrh.data.scenes.sets import MIR, NUS
from ctrh.data.scenes.world import KIND_OF_GLYPH
from ctrh.guide.small import MERGES, build
from tools.icons import ARTISTS, render
from tools.other_corpus import corpus, picture
from tools.pretrain_guide import (
    HELD_OUT_SEED,
    PretrainConfig,
    Words,
    _encode,
    image_tokens,
    patch_of,
    pixels_to_tensor,
    train,
    word_loss,
)

TOOLS = Path(__file__).parents[1] / "tools"


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
    assert small.vocab_size == 512 + MERGES + 2
    for text in ("dog", "a photo of a cat"):
        assert small.encode(text) == full.encode(text)
    pieces = list(small.encoder)
    assert "".join(pieces[token] for token in small.encode("schmetterling")) == "schmetterling</w>"
    assert max(small.encode("árvorecaidiça")) < 512 + MERGES


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
    assert patch_of(thing, flipped=False) == 1 + 7 * 6 + 0
    assert patch_of(thing, flipped=True) == 1 + 7 * 6 + 6
    middle = replace(thing, centre=(0.5, 0.5))
    assert patch_of(middle, flipped=False) == patch_of(middle, flipped=True) == 1 + 7 * 3 + 3


def test_captions_tell_the_truth():
    words, rng = Words(), np.random.default_rng(0)
    for index in range(50):
        scene = compose(1, index)
        caption = words.caption(scene, rng).removeprefix("A photo of a ")
        true = {words.all[word] for word in words.of(scene)}
        assert caption and set(caption.split(", ")) <= true


def test_pretraining_sees_no_picture_by_the_data_sets_artist():
    """Its modules draw without OpenMoji's font and without the scenes' own backgrounds."""
    for module in ("other_corpus", "landscapes", "icons"):
        imported = {
            node.module
            for node in ast.walk(ast.parse((TOOLS / f"{module}.py").read_text()))
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ctrh")
        }
        assert imported <= {"ctrh.data.scenes.compose", "ctrh.data.scenes.world"}
    assert HELD_OUT_SEED not in {MIR.seed, NUS.seed}


def test_a_picture_shows_its_icons_and_nothing_where_there_are_none():
    icons = np.zeros((2, len(KIND_OF_GLYPH), 8, 8, 4), dtype=np.uint8)
    assert all(picture(icons, 3, index)[1].things == () for index in range(20))
    icons[1, :, :, :] = (255, 0, 255, 255)
    pixels, scenes = corpus(icons, 3, 20)
    assert pixels.shape == (20, 112, 112, 3) and scenes == [picture(icons, 3, index)[1] for index in range(20)]
    for shown, scene in zip(pixels.astype(int), scenes):
        for thing in scene.things if scene.look is None else ():
            x, y = (min(111, int(112 * c)) for c in thing.centre)
            assert shown[y, x, 1] < shown[y, x, [0, 2]].mean()


def test_icons_are_found_by_code_or_by_name(tmp_path):
    pytest.importorskip("resvg_py")
    square = '<path fill="#0f0" d="M2 2h8v8H2z"/>'
    for artist in ARTISTS:
        found = {"icons": {"dog-face": {"body": square}}, "width": 16, "height": 16}
        chars = {"1f431": "any-name"} if artist == "noto" else None
        if chars:
            found["icons"]["any-name"] = {"body": square, "width": 12}
        with tarfile.open(tmp_path / f"iconify-json-{artist}-1.2.3.tgz", "w:gz") as package:
            for name, content in (("icons", found), ("chars", chars)):
                if content is not None:
                    data = json.dumps(content).encode()
                    entry = tarfile.TarInfo(f"package/{name}.json")
                    entry.size = len(data)
                    package.addfile(entry, io.BytesIO(data))
    drawings = render(tmp_path)
    column = {glyph: i for i, glyph in enumerate(KIND_OF_GLYPH)}
    drawn = drawings[..., 3].any(axis=(2, 3))
    assert drawn[:, column["🐶"]].all() and drawn[:, column["🐱"]].tolist() == [True] + [False] * 5
    assert (drawings[0, column["🐱"], 36, 36] == (0, 255, 0, 255)).all()


def test_a_few_steps_write_weights_that_load(tmp_path):
    icons = np.full((1, len(KIND_OF_GLYPH), 8, 8, 4), 200, dtype=np.uint8)
    config = PretrainConfig(seed=9, scenes=8, held_out=4, epochs=1, batch=4)
    train(config, icons, tmp_path / "guide.safetensors")
    state = load_file(tmp_path / "guide.safetensors")
    build().model.load_state_dict(state)
    assert all(value.isfinite().all() for value in state.values())
