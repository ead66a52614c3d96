"""Exported encoders against the hashers that they were made of."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ctrh.backbones import load_backbone
from ctrh.export import export_encoder, save_encoder
from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.methods.wdht import WDHT, WDHTConfig
from ctrh.training import TrainConfig


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def backbone(tiny_guide):
    return load_backbone("guide", tiny_guide)


def trained(hasher, inputs):
    tags = sp.csr_array(np.eye(3, dtype=bool)[np.arange(6) % 3])
    hasher.fit(inputs, tags, np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32))
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


@pytest.mark.parametrize("kind", HASHERS)
def test_the_file_gives_the_same_codes_for_any_number_of_pictures(kind, backbone, pictures, tmp_path):
    hasher = HASHERS[kind](backbone)
    end_to_end = hasher.backbone is not None
    inputs = pictures if end_to_end else features_of(backbone, pictures).numpy()
    trained(hasher, inputs)
    save_encoder(export_encoder(hasher, backbone, pictures[:2]), tmp_path / "encoder.pt2")
    encode = torch.export.load(tmp_path / "encoder.pt2").module()
    for count in (1, 2, 6):
        codes = encode(pictures[:count])
        assert codes.dtype == torch.bool
        np.testing.assert_array_equal(codes.numpy(), hasher.encode(inputs[:count]))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["encoder.pt2"]


def test_what_cannot_be_exported_is_refused(backbone, pictures, tmp_path):
    hasher = CTRH(CTRHConfig(12, train=TRAIN))
    with pytest.raises(ValueError, match="not trained"):
        export_encoder(hasher, backbone, pictures)
    with pytest.raises(ValueError, match="at least two"):
        export_encoder(hasher, backbone, pictures[:1])
    with pytest.raises(ValueError, match=".pt2"):
        save_encoder(None, tmp_path / "encoder.bin")
