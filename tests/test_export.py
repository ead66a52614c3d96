"""Exported encoders against the hashers that they were made of."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.sparse as sp
import torch

from ctrh.app import words
from ctrh.app.export import export_encoder, quantise, save_encoder, save_words
from ctrh.app.queries import Chance
from ctrh.backbones import load_backbone
from ctrh.guide.clip import Guide
from ctrh.guide.tokens import Tokenizer
from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.methods.text_codes import text_scores
from ctrh.methods.wdht import WDHT, WDHTConfig
from ctrh.training import TrainConfig


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def backbone(tiny_guide):
    return load_backbone("guide", tiny_guide)


def trained(hasher, inputs, text=None):
    tags = sp.csr_array(np.eye(3, dtype=bool)[np.arange(6) % 3])
    some = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    hasher.fit(inputs, tags, some if text is None else text)
    return hasher


def features_of(backbone, pictures):
    with torch.inference_mode():
        return backbone.module(pictures)


TRAIN = TrainConfig(epochs=1, batch_size=6)
HASHERS = {
    "ctrh": lambda backbone: CTRH(CTRHConfig(12, train=TRAIN)),
    "wdht": lambda backbone: WDHT(WDHTConfig(12, train=TRAIN)),
    "end to end": lambda backbone: CTRH(CTRHConfig(12, train=TRAIN), backbone),
}


def read_pt2(path):
    encode = torch.export.load(path).module()
    return lambda pixels: encode(pixels).numpy()


def read_onnx(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["codes"], {"pixels": pixels.numpy()})[0]


@pytest.mark.parametrize("read", [read_pt2, read_onnx])
@pytest.mark.parametrize("kind", HASHERS)
def test_the_file_gives_the_same_codes_for_any_number_of_pictures(kind, read, backbone, pictures, tmp_path):
    hasher = HASHERS[kind](backbone)
    end_to_end = hasher.backbone is not None
    inputs = pictures if end_to_end else features_of(backbone, pictures).numpy()
    trained(hasher, inputs)
    name = "encoder." + read.__name__.removeprefix("read_")
    save_encoder(export_encoder(hasher, backbone, pictures[:2]), tmp_path / name)
    encode = read(tmp_path / name)
    for count in (1, 2, 6):
        codes = encode(pictures[:count])
        assert codes.dtype == np.bool_
        np.testing.assert_array_equal(codes, hasher.encode(inputs[:count]))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_eight_bits_keep_most_of_the_codes(backbone, pictures, tmp_path):
    features = features_of(backbone, pictures).numpy()
    hasher = trained(CTRH(CTRHConfig(12, train=TRAIN)), features)
    path = tmp_path / "encoder.onnx"
    save_encoder(export_encoder(hasher, backbone, pictures[:2]), path)
    size = path.stat().st_size
    quantise(path, path)
    assert "MatMulInteger" in {node.op_type for node in onnx.load(path).graph.node} and path.stat().st_size < size
    assert (read_onnx(path)(pictures) == hasher.encode(features)).mean() > 0.8
    assert [each.name for each in tmp_path.iterdir()] == ["encoder.onnx"]


@pytest.mark.parametrize("text_length, weighting", [(None, True), (3.0, True), (None, False)])
def test_words_are_scored_as_by_ctrh_itself(text_length, weighting, backbone, tiny_guide, pictures, tmp_path, monkeypatch):
    features = features_of(backbone, pictures).numpy()
    config = CTRHConfig(12, train=TRAIN, text_length=text_length, tag_weighting=weighting)
    hasher = trained(CTRH(config), features, tiny_guide.text_features(["red", "sea", "sky"]))
    save_words(hasher, tiny_guide, tmp_path / "words.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "words.onnx")
    reads = json.loads(session.get_modelmeta().custom_metadata_map["tokenizer"])
    codes = np.concatenate([hasher.encode(features)] * 2)
    monkeypatch.setattr(words, "CODES_AT_ONCE", 2)
    chance = Chance(np.zeros(12), np.ones(12), 0.0)
    found = words.WordSearch(session, Tokenizer(**reads), codes, tuple("abcdefghijkl"), chance, tmp_path)
    expected = text_scores(hasher, codes, tiny_guide.text_features(["blue sky"]))[0]
    answers = found.search_text("blue sky", 12)
    assert [name for name, _, _ in answers] == ["abcdefghijkl"[i] for i in np.argsort(-expected, kind="stable")]
    np.testing.assert_allclose([score for _, score, _ in answers], np.sort(expected)[::-1], atol=1e-4)
    with pytest.warns(UserWarning, match="longer than the guide reads"):
        found.search_text("blue " * 100)
    odd = Guide("odd", tiny_guide.model, tiny_guide.preprocess, lambda texts: tiny_guide.tokenizer(texts).flip(1))
    with pytest.raises(ValueError, match="odd does not read texts as CLIP does"):
        save_words(hasher, odd, tmp_path / "other.onnx")


def test_what_cannot_be_exported_is_refused(backbone, pictures, tmp_path, monkeypatch):
    hasher = CTRH(CTRHConfig(12, train=TRAIN))
    with pytest.raises(ValueError, match="not trained"):
        export_encoder(hasher, backbone, pictures)
    with pytest.raises(ValueError, match="at least two"):
        export_encoder(hasher, backbone, pictures[:1])
    with pytest.raises(ValueError, match="encoder.bin"):
        save_encoder(None, tmp_path / "encoder.bin")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(ValueError, match="ctrh.onnx"):
            save_encoder(None, tmp_path / "encoder.onnx")
    assert not list(tmp_path.glob("encoder*"))
