"""`Guide`: a CLIP model with its transform and tokenizer, seen through image tokens and text features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import VisionTransformer
from PIL import Image
from torch import Tensor, nn

from ctrh.guide import small
from ctrh.guide.names import SMALL, check_tower, wrong_tower
from ctrh.guide.tokens import TEMPLATE, fill
from ctrh.guide.weights import SHIPPED, check_file_activation, check_matches, find_weights, read_weights
from ctrh.progress import progress
from ctrh.store import content_key


@dataclass(frozen=True, eq=False)
class Guide:
    """A CLIP model, its transform (PIL -> (3, H, W)) and tokenizer (list of texts -> (B, length) int64).

    ``key`` names what the three compute: weights, architecture, and what transform and tokenizer make of a
    fixed probe. It is taken once, so the weights must not change afterwards (:meth:`with_weights` makes
    another guide). The guide owns the model and puts it in evaluation mode. Raises ``ValueError`` for an
    image tower without projected tokens: Eq. (4) needs a ViT whose class token is the image feature.
    """

    name: str
    model: CLIP | CustomTextCLIP = field(repr=False)
    preprocess: Callable[[Image.Image], Tensor] = field(repr=False)
    tokenizer: Callable[[list[str]], Tensor] = field(repr=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        visual = self.model.visual
        if not isinstance(visual, VisionTransformer) or visual.attn_pool or visual.pool_type != "tok":
            raise ValueError(wrong_tower(self.name))
        self.model.eval()
        object.__setattr__(self, "key", _content(self.model, self.preprocess, self.tokenizer))

    @property
    def width(self) -> int:
        """D, the width of the joint space."""
        return self.model.visual.output_dim

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def scale(self) -> float:
        """The learned inverse temperature: CLIP's probabilities are softmax(scale * cosine)."""
        return float(self.model.logit_scale.detach().exp())

    @torch.no_grad()
    def image_tokens(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed -> (B, 1+P, D): every token in the joint space, not normalised.

        Token 0 is the class token, equal to ``model.encode_image(images)``; the P patches go through the same
        final layer norm and projection.
        """
        visual = self.model.visual
        last = visual.forward_intermediates(
            images.to(self.device),
            indices=1,
            normalize_intermediates=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        tokens = torch.cat([last["image_intermediates_prefix"][0], last["image_intermediates"][0]], dim=1)
        return tokens @ visual.proj

    @torch.no_grad()
    def text_features(
        self, words: Sequence[str], template: str = TEMPLATE, batch_size: int = 256
    ) -> np.ndarray:
        """C words, each put into ``template`` -> (C, D) float32, not normalised."""
        texts = [fill(template, word) for word in words]
        features = np.empty((len(texts), self.width), dtype=np.float32)
        for start in progress(range(0, len(texts), batch_size), "text features"):
            tokens = self.tokenizer(texts[start : start + batch_size]).to(self.device)
            features[start : start + batch_size] = self.model.encode_text(tokens).float().cpu().numpy()
        return features

    def reads_whole(self, text: str, template: str = TEMPLATE) -> bool:
        """Whether ``text`` in its ``template`` is short enough; of a longer one the tokenizer drops the end in silence."""
        whole, cut = (self.tokenizer([fill(template, part)]) for part in (text, text[:-1]))
        return not torch.equal(whole, cut)

    def with_weights(self, state: Mapping[str, Tensor], name: str | None = None) -> Guide:
        """The same architecture, transform and tokenizer with the weights ``state``; this guide is unchanged.

        Raises ``ValueError`` when names, shapes or values do not fit.
        """
        model = copy.deepcopy(self.model)
        _fill_weights(model, state, "the state dict")
        return Guide(name or self.name, model, self.preprocess, self.tokenizer)


def load_guide(
    name: str = "small",
    pretrained: str | Path | None = None,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Guide:
    """A guide with trained weights; never a randomly initialised one.

    ``name``: a shipped guide (``small``, ``small-b``) or any open_clip ViT with a class token ("ViT-B-32").
    ``pretrained``: for an open_clip model the tag of its weights ("laion2b_s34b_b79k", looked for in
    ``weights_dir``, then on the hub) or a file; for a shipped guide a file in place of the shipped one.
    With a file, the name alone decides the activation: "ViT-B-32-quickgelu" for OpenAI's weights.

    Raises ``ValueError`` for an unknown name or tag, weights known to be trained with another activation, and weights
    that do not fit; ``FileNotFoundError``, with the remedy, when there is neither a file nor a network.
    """
    if name in SMALL:
        model, preprocess, tokenizer = small.build()
        path = _shipped_file(name, pretrained, weights_dir)
    else:
        config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
        check_tower(name, config)
        if pretrained is None:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(name))
            raise ValueError(
                f"{name}: say which weights (pretrained=), random ones would be useless: a file or {tags}"
            )
        from_hub = not Path(pretrained).is_file()
        # Before building: a wrong tag or a missing file should not cost a minute.
        path = find_weights(name, str(pretrained), weights_dir) if from_hub else Path(pretrained)
        if not from_hub:
            check_file_activation(name, path)
        model, preprocess = _build_open_clip(config, open_clip.get_pretrained_cfg(name, str(pretrained)))
        tokenizer = open_clip.get_tokenizer(name)
    _fill_weights(model, read_weights(path), str(path))
    return Guide(name, model.to(device), preprocess, tokenizer)


def _shipped_file(name: str, pretrained: str | Path | None, weights_dir: str | Path | None) -> Path:
    if pretrained is not None:
        return Path(pretrained)
    path = Path(weights_dir or SHIPPED) / f"guide-{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"the shipped weights {path} are missing: reinstall ctrh, or pass the folder that holds "
            f"{path.name} with --weights DIR (in Python: weights_dir=DIR)"
        )
    return path


def _build_open_clip(
    config: dict[str, Any], known: Mapping[str, Any]
) -> tuple[CLIP | CustomTextCLIP, Callable]:
    """The model, to be filled with weights, and the transform that belongs to the weights ``known``."""
    arguments = dict(config)
    hugging_face_text = "hf_model_name" in config["text_cfg"]
    if hugging_face_text:
        arguments["text_cfg"] = {**config["text_cfg"], "hf_model_pretrained": False}
    custom_text = arguments.pop("custom_text", False) or hugging_face_text
    with torch.random.fork_rng(
        devices=[]
    ):  # the discarded initial weights should not move the global generator
        model = (CustomTextCLIP if custom_text else CLIP)(**arguments)
    preprocess = open_clip.image_transform(
        model.visual.image_size,
        is_train=False,
        **{
            option: known[option]
            for option in ("mean", "std", "interpolation", "resize_mode")
            if option in known
        },
    )
    return model, preprocess


def _fill_weights(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    expected = model.state_dict()
    # Some files store the temperature as a vector of one.
    state = {
        name: value.reshape(expected[name].shape)
        if name in ("logit_scale", "logit_bias") and name in expected
        else value
        for name, value in state.items()
    }
    check_matches(expected, state, source)
    broken = [
        name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise ValueError(f"{source} has weights that are not finite: {', '.join(broken[:5])}")
    model.load_state_dict(state)


def _content(model: nn.Module, preprocess: Callable, tokenizer: Callable) -> str:
    """Sizes and switches of every module, every weight, and what the transform and the tokenizer do to a
    probe."""
    plain = (bool, int, float, str, tuple, type(None))
    modules = {
        path: [
            type(module).__name__,
            {k: v for k, v in vars(module).items() if _is_setting(k) and isinstance(v, plain)},
        ]
        for path, module in model.named_modules()
    }
    weights = {
        name: [str(value.dtype), _portable(value)]
        # Not the state dict: it leaves out the attention mask, which makes a text tower causal or not.
        for name, value in [*model.named_parameters(), *model.named_buffers()]
    }
    rows, columns = np.mgrid[0:61, 0:97]
    probe = np.stack([rows * 4, columns * 2, rows * columns % 251], axis=-1).astype(np.uint8)
    pixels = preprocess(Image.fromarray(probe)).numpy()
    tokens = tokenizer([TEMPLATE.format("corgi, sunset, 2008, explore"), "Möwe, seagull"]).numpy()
    return content_key(modules, weights, pixels, tokens)


def _portable(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16


def _is_setting(attribute: str) -> bool:
    return not attribute.startswith("_") and attribute != "training"
