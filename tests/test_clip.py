"""The guide: tokens and texts against open_clip's own forward pass; weights found, read, refused."""

import os
import pickle
import subprocess
import sys
import urllib.error
import warnings
import zipfile

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from open_clip.factory import _MODEL_CONFIGS
from open_clip.model import CLIP
from open_clip.pretrained import _PRETRAINED, _pcfg
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize

import ctrh.guide.weights as weights_module
from ctrh.data.images import ArrayImages
from ctrh.guide.clip import Guide, fill, load_guide
from ctrh.guide.features import image_features
from ctrh.guide.weights import check_matches, find_weights, read_weights

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def registered(monkeypatch):
    """open_clip knows tiny-ViT (tag "web") and its QuickGELU twin (tag "openai"), neither of which is on the
    hub."""
    monkeypatch.setitem(_MODEL_CONFIGS, "tiny-ViT", TINY)
    monkeypatch.setitem(_MODEL_CONFIGS, "tiny-ViT-quickgelu", {**TINY, "quick_gelu": True})
    tags = {"web": _pcfg(hf_hub="nobody/tiny/", mean=(0.5,) * 3, std=(0.5,) * 3)}
    openai = {"openai": _pcfg(hf_hub="nobody/tiny-openai/", quick_gelu=True)}
    monkeypatch.setitem(_PRETRAINED, "tiny-ViT", {**tags, **openai})
    monkeypatch.setitem(_PRETRAINED, "tiny-ViT-quickgelu", openai)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def pictures(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "vision", [{}, {"no_ln_pre": True}, {"final_ln_after_pool": True}, {"ls_init_value": 0.1}]
)
def test_token_0_is_the_image_feature(tiny_clip, tiny_guide, vision):
    guide = Guide("tiny", tiny_clip(1, **vision), tiny_guide.preprocess, tiny_guide.tokenizer)
    tokens = guide.image_tokens(pictures())
    assert tokens.shape == (5, 17, 24) and not tokens.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(tokens[:, 0], guide.model.encode_image(pictures()))


def test_every_token_goes_through_norm_and_projection(tiny_guide):
    visual = tiny_guide.model.visual
    seen = []
    handle = visual.transformer.resblocks[-1].register_forward_hook(lambda *call: seen.append(call[-1]))
    tokens = tiny_guide.image_tokens(pictures())
    handle.remove()
    with torch.no_grad():
        expected = torch.stack([visual.ln_post(token) @ visual.proj for token in seen[0].unbind(1)], dim=1)
    torch.testing.assert_close(tokens, expected)


def test_tokens_with_a_convolutional_stem(tiny_clip, tiny_guide):
    model = tiny_clip()
    model.visual.conv1 = nn.Sequential(nn.Conv2d(3, 32, 4, 4), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 2, 2))
    guide = Guide("stem", model, tiny_guide.preprocess, tiny_guide.tokenizer)
    with torch.no_grad():
        torch.testing.assert_close(guide.image_tokens(pictures())[:, 0], model.encode_image(pictures()))


def test_text_features_put_words_into_the_template(tiny_guide):
    words = ["dog", "new york", "a {brace}", "Möwe", ""]
    features = tiny_guide.text_features(words, batch_size=2)
    assert features.shape == (5, 24) and features.dtype == np.float32
    for word, feature in zip(words, features):
        with torch.no_grad():
            expected = tiny_guide.model.encode_text(tiny_guide.tokenizer([f"A photo of a {word}"]))[0]
        np.testing.assert_allclose(feature, expected, atol=1e-5)
    assert tiny_guide.text_features([]).shape == (0, 24)
    plain = tiny_guide.text_features(["dog"], template="{}")
    assert not np.allclose(plain, features[:1])


@pytest.mark.parametrize("template", ["A photo", "{} and {}"])
def test_a_template_has_one_place_for_the_word(template):
    with pytest.raises(ValueError, match="exactly one"):
        fill(template, "dog")


@pytest.mark.parametrize(
    "vision",
    [
        {"pool_type": "avg"},
        {"attentional_pool": True, "attn_pooler_heads": 2},
        {"layers": (1, 1, 1, 1), "head_width": 64},
    ],
)
def test_towers_without_a_class_token_are_refused(tiny_clip, tiny_guide, vision):
    with pytest.raises(ValueError, match="class token"):
        Guide("wrong", tiny_clip(0, **vision), tiny_guide.preprocess, tiny_guide.tokenizer)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16-SigLIP", "convnext_base", "coca_ViT-B-32"])
def test_open_clip_models_without_a_class_token_are_refused_before_anything_is_built(name):
    with pytest.raises(ValueError, match="class token"):
        load_guide(name, "any")


def test_image_features_are_the_streamed_tokens(tiny_guide, tiny_photos):
    indices = np.array([7, 2, 2, 19, 0])
    features = image_features(tiny_guide, tiny_photos.images, indices, batch_size=2)
    assert features.class_token.shape == features.mean_token.shape == (5, 24)
    for row, index in enumerate(indices):
        tokens = tiny_guide.image_tokens(tiny_guide.preprocess(tiny_photos.images[index])[None])[0]
        np.testing.assert_allclose(features.class_token[row], tokens[0], atol=1e-5)
        np.testing.assert_allclose(features.mean_token[row], normalize(tokens, dim=1).mean(0), atol=1e-6)


def test_image_features_are_computed_once_for_each_guide_and_photo(tiny_guide, tiny_photos, monkeypatch):
    some = image_features(tiny_guide, tiny_photos.images, np.array([5, 1, 3]))
    every = image_features(tiny_guide, tiny_photos.images)
    assert all(np.array_equal(few, whole[[5, 1, 3]]) for few, whole in zip(some, every))
    other = tiny_guide.with_weights({k: v * 1.01 for k, v in tiny_guide.model.state_dict().items()})
    assert not np.allclose(image_features(other, tiny_photos.images).class_token, every.class_token)
    monkeypatch.setattr(Guide, "image_tokens", lambda *_: pytest.fail("computed again"))
    again = image_features(tiny_guide, tiny_photos.images, np.array([3, 3, 9]))
    assert all(np.array_equal(few, whole[[3, 3, 9]]) for few, whole in zip(again, every))


def test_image_features_hold_one_batch_of_pictures(tiny_guide, monkeypatch):
    class Counting(ArrayImages):
        asked = 0

        def __getitem__(self, index):
            self.asked += 1
            return super().__getitem__(index)

    images, asked = Counting(np.zeros((400, 32, 32, 3), dtype=np.uint8)), []

    def image_tokens(self, batch):
        asked.append(images.asked)
        return torch.zeros(len(batch), 17, 24)

    monkeypatch.setattr(Guide, "image_tokens", image_tokens)
    image_features(tiny_guide, images, batch_size=10)
    assert len(asked) == 40
    assert max(read - 10 * (batch + 1) for batch, read in enumerate(asked)) <= 40


def test_key_names_weights_architecture_transform_and_tokenizer(tiny_clip, tiny_guide):
    preprocess, tokenizer = tiny_guide.preprocess, tiny_guide.tokenizer
    assert Guide("other name", tiny_clip(), preprocess, tokenizer).key == tiny_guide.key
    changed = [
        Guide("tiny", tiny_clip(seed=1), preprocess, tokenizer),
        Guide("tiny", tiny_clip(head_width=8), preprocess, tokenizer),  # the same weights in other heads
        Guide("tiny", tiny_clip(), open_clip.image_transform(32, is_train=False, mean=(0.5,) * 3), tokenizer),
        Guide("tiny", tiny_clip(), open_clip.image_transform(32, False, resize_mode="squash"), tokenizer),
        Guide(
            "tiny", tiny_clip(), preprocess, lambda texts: tokenizer([text.upper() + "!" for text in texts])
        ),
    ]
    assert len({guide.key for guide in [tiny_guide, *changed]}) == 6


def test_key_sees_the_attention_mask(tiny_clip, tiny_guide):
    model = tiny_clip()
    model.attn_mask = torch.zeros_like(model.attn_mask)  # not in the state dict
    assert Guide("tiny", model, tiny_guide.preprocess, tiny_guide.tokenizer).key != tiny_guide.key


def test_another_process_without_network(tiny_guide, registered, tmp_path):
    """The key is the same there, and HF_HUB_OFFLINE ends in one line of error and no log."""
    path = tmp_path / "tiny.safetensors"
    save_file(tiny_guide.model.state_dict(), path)
    script = (
        "from open_clip.factory import _MODEL_CONFIGS\n"
        f"_MODEL_CONFIGS['tiny-ViT'] = {TINY}\n"
        "from ctrh.guide.clip import load_guide\n"
        f"print(load_guide('tiny-ViT', {str(path)!r}).key)\n"
        "try: load_guide('ViT-B-32', 'laion2b_s34b_b79k')\n"
        "except FileNotFoundError as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    key, error = done.stdout.splitlines()
    assert key == load_guide("tiny-ViT", path).key == tiny_guide.key
    assert "https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in error
    assert done.stderr == ""


def test_with_weights_leaves_the_guide_alone(tiny_guide):
    state = {name: value + 1 for name, value in tiny_guide.model.state_dict().items()}
    before = {name: value.clone() for name, value in tiny_guide.model.state_dict().items()}
    other = tiny_guide.with_weights(state, "other")
    assert other.name == "other" and other.key != tiny_guide.key
    for name, value in tiny_guide.model.state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(other.model.state_dict()[name], state[name])
    with pytest.raises(ValueError, match="missing: visual.proj"):
        tiny_guide.with_weights({name: value for name, value in before.items() if name != "visual.proj"})


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_load_guide_from_a_file(tiny_guide, registered, tmp_path, suffix):
    path = tmp_path / f"any{suffix}"
    state = tiny_guide.model.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    random_state = torch.get_rng_state()
    guide = load_guide("tiny-ViT", path)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(guide.image_tokens(pictures()), tiny_guide.image_tokens(pictures()))
    assert not guide.model.training


def test_load_guide_by_tag_takes_the_weights_own_transform(tiny_guide, registered, tmp_path):
    half = {name: value.half() for name, value in tiny_guide.model.state_dict().items()}
    half["logit_scale"] = half["logit_scale"].reshape(1)
    save_file(half, tmp_path / "tiny-ViT-web.safetensors")
    guide = load_guide("tiny-ViT", "web", weights_dir=tmp_path)
    assert {value.dtype for value in guide.model.state_dict().values()} == {torch.float32}
    grey = guide.preprocess(Image.new("RGB", (40, 32), (255, 255, 255)))
    torch.testing.assert_close(grey, torch.ones(3, 32, 32))  # (1 - 0.5) / 0.5


def test_load_guide_unwraps_training_checkpoints(tiny_guide, registered, tmp_path):
    state = {f"module.{name}": value for name, value in tiny_guide.model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    assert load_guide("tiny-ViT", tmp_path / "epoch_3.pt").key == tiny_guide.key


def test_random_weights_are_never_used(registered):
    with pytest.raises(ValueError, match="say which weights.*web"):
        load_guide("tiny-ViT")


def test_unknown_names_and_tags_are_named(registered):
    with pytest.raises(ValueError, match="no guide 'ViT-B-33'"):
        load_guide("ViT-B-33", "openai")
    with pytest.raises(ValueError, match="no weights 'nowhere' for tiny-ViT: .*web"):
        load_guide("tiny-ViT", "nowhere")


def test_weights_of_another_activation_are_an_error():
    with pytest.raises(ValueError, match="'openai' were trained with QuickGELU.*'ViT-B-32-quickgelu'"):
        load_guide("ViT-B-32", "openai")


def test_files_of_another_activation_are_an_error_or_warned_about(registered, tiny_clip, tmp_path):
    archive = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ViT-B-32/constants.pkl", b"")  # as in every program of OpenAI's
    plain = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in CLIP(**TINY).state_dict().items()}, plain)
    named = plain.rename(tmp_path / "ViT-B-32-OpenAI.safetensors")
    for path in (archive, named):
        with pytest.raises(ValueError, match="OpenAI's weights, trained with QuickGELU.*'tiny-ViT-quickgelu'"):
            load_guide("tiny-ViT", path)
    named.rename(plain)
    with pytest.warns(UserWarning, match="does not say which activation"):
        load_guide("tiny-ViT", plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_guide("tiny-ViT-quickgelu", plain)


def test_a_text_that_loses_its_end_is_recognised(tiny_guide):
    fitting = ["dog", "a dog on a hill.", " ".join(["dog"] * 10)]  # 10 words, 4 of the template, 2 at its ends: 16
    assert all(tiny_guide.reads_whole(text) for text in fitting)
    assert not tiny_guide.reads_whole(" ".join(["dog"] * 11))


def test_offline_without_weights_names_the_remedy(registered, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_guide("tiny-ViT", "web", weights_dir=tmp_path)
    message = str(caught.value)
    for part in (
        "open_clip_model.safetensors",
        "https://huggingface.co/nobody/tiny",
        "tiny-ViT-web.safetensors",
        "--weights DIR",
        str(tmp_path),
    ):
        assert part in message


def test_an_unreachable_hub_is_found_out_at_once(registered, monkeypatch):
    def unreachable(request, timeout):
        assert request.full_url.startswith("https://huggingface.co/nobody/tiny/")
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights_module.urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(
        open_clip, "download_pretrained", lambda *_: pytest.fail("went into the hub's retries")
    )
    with pytest.raises(FileNotFoundError, match="Name or service not known.*--weights DIR"):
        find_weights("tiny-ViT", "web")


def test_weights_in_the_hubs_cache_need_no_network(registered, monkeypatch, tmp_path):
    cached = tmp_path / "open_clip_model.safetensors"
    monkeypatch.setattr(
        weights_module.huggingface_hub,
        "try_to_load_from_cache",
        lambda repository, name: str(cached) if (repository, name) == ("nobody/tiny", cached.name) else None,
    )
    assert find_weights("tiny-ViT", "web") == cached


def test_weights_that_do_not_fit_are_listed(tiny_guide, registered, tmp_path):
    state = dict(tiny_guide.model.state_dict())
    state["visual.extra"] = state.pop("visual.class_embedding")
    state["visual.positional_embedding"] = torch.zeros(5, 32)  # open_clip itself would resize it silently
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError) as caught:
        load_guide("tiny-ViT", tmp_path / "odd.safetensors")
    message = str(caught.value)
    assert "odd.safetensors" in message
    assert "missing: visual.class_embedding" in message and "unexpected: visual.extra" in message
    assert "visual.positional_embedding is (5, 32), expected (17, 32)" in message


def test_weights_that_are_not_finite_are_refused(tiny_guide):
    state = dict(tiny_guide.model.state_dict())
    state["visual.proj"] = torch.full_like(state["visual.proj"], torch.nan)
    with pytest.raises(ValueError, match="not finite: visual.proj"):
        tiny_guide.with_weights(state)


def test_long_lists_of_names_are_cut():
    expected = {f"layer{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(ValueError, match="layer4 and 4 more"):
        check_matches(expected, {}, "nothing")


class Payload:
    def __reduce__(self):
        return (print, ("code of the file was run",))


@pytest.mark.filterwarnings("ignore")  # of PyTorch, about the odd files made here
def test_files_with_code_damaged_files_and_other_things_are_refused(tmp_path, capsys):
    cases = {
        "code.pt": pickle.dumps(Payload()),
        "cut.safetensors": b"\x08\0\0",
        "text.bin": b"<html>404</html>",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_weights(tmp_path / name)
    torch.save({"object": Payload()}, tmp_path / "zipped.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("zipped.pt", "list.pt"):
        with pytest.raises(ValueError, match=name):
            read_weights(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="none.pt"):
        read_weights(tmp_path / "none.pt")
    assert "was run" not in capsys.readouterr().out


def test_missing_shipped_weights_name_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="guide-small.safetensors.*--weights DIR"):
        load_guide("small", weights_dir=tmp_path)
