"""Backbones by name: shapes, weights, preprocessing, cached features; big networks without their memory."""

from __future__ import annotations

import hashlib
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from ctrh import backbones, small_backbones
from ctrh.backbones import BACKBONES, Pictures, backbone_features, load_backbone, register, small_preprocess
from ctrh.data.images import ArrayImages

SMALL = list(small_backbones.SMALL)


@pytest.fixture(scope="module")
def images() -> ArrayImages:
    return ArrayImages(np.random.default_rng(0).integers(0, 256, (5, 120, 140, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_give_their_width_within_their_budget(name):
    network = small_backbones.build(name).eval()
    assert network(torch.randn(2, 3, 112, 112)).shape == (2, network.width)
    assert sum(p.numel() for p in network.parameters()) < 0.61e6


@pytest.mark.parametrize("name", SMALL)
def test_every_part_of_a_small_network_takes_part(name):
    torch.manual_seed(0)
    network = small_backbones.build(name)
    for parameter in network.parameters():  # a block that starts as its shortcut hides what is inside
        nn.init.normal_(parameter, std=0.1)
    pictures = torch.randn(2, 3, 112, 112)
    cells = network.cells(pictures)
    assert cells.shape[2:] == (7, 7)
    (network(pictures).square().sum() + cells.square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_an_unknown_small_network_is_refused():
    with pytest.raises(ValueError, match="small-alexnet, small-resnet, small-vit"):
        small_backbones.build("alexnet")


def test_normalise_is_imagenets():
    pixels = torch.tensor([0, 255, 128], dtype=torch.uint8).view(3, 1, 1)
    expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    torch.testing.assert_close(small_backbones.normalise(pixels).flatten(), torch.tensor(expected))
    with pytest.raises(ValueError, match="uint8"):
        small_backbones.normalise(pixels.float())


def test_small_preprocess_leaves_pixels_of_the_right_size_alone():
    pixels = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    got = small_preprocess(Image.fromarray(pixels))
    torch.testing.assert_close(
        got, small_backbones.normalise(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
    )
    assert small_preprocess(Image.new("L", (300, 50))).shape == (3, 112, 112)


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [("alexnet", 4096, 57_003_840), ("resnet50", 2048, 23_508_032), ("vit_b_16", 768, 85_798_656)],
)
def test_torchvision_networks_end_before_their_classifier(name, width, parameters):
    with torch.device("meta"):
        module, told, _ = BACKBONES[name](None)
        features = module.eval()(torch.empty(2, 3, 224, 224))
    assert features.shape == (2, width) and told == width
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_weights_of_a_folder_are_taken_and_published_ones_checked(monkeypatch, tmp_path):
    def small_net(weights=None):
        return nn.Linear(3, 2)

    monkeypatch.setenv("CTRH_WEIGHTS", str(tmp_path))
    url = "https://example.org/models/small-12345678.pth"
    assert backbones._stored("small_net", url) is None
    torch.save(small_net().state_dict(), tmp_path / "plain")
    digest = hashlib.sha256((tmp_path / "plain").read_bytes()).hexdigest()
    (tmp_path / "small_net.safetensors").touch()
    assert backbones._stored("small_net", url).name == "small_net.safetensors"
    published = (tmp_path / "plain").rename(tmp_path / f"small-{digest[:8]}.pth")
    assert backbones._stored("small_net", f"https://example.org/{published.name}") == published
    published.rename(tmp_path / "small-12345678.pth")
    with pytest.raises(ValueError, match="small-12345678.pth is damaged or another file"):
        backbones._stored("small_net", url)


def test_alexnets_features_are_fc7_after_its_relu():
    with torch.device("meta"):
        module, _, _ = BACKBONES["alexnet"](None)
    assert isinstance(module.classifier[-1], nn.ReLU) and module.classifier[-2].out_features == 4096


def test_torchvisions_own_preprocessing_is_used():
    with torch.device("meta"):
        _, _, preprocess = BACKBONES["resnet50"](None)
    assert preprocess(Image.new("RGB", (300, 280))).shape == (3, 224, 224)


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(backbones.zoo._api, "load_state_dict_from_url", offline)
    with (
        torch.device("meta"),
        pytest.raises(FileNotFoundError, match=r"resnet50.*https://.*--weights DIR"),
    ):
        BACKBONES["resnet50"]("default")


def test_weights_from_a_file_in_half_precision(tmp_path):
    trained = small_backbones.build("small-vit")
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in trained.state_dict().items()
    }
    save_file(half, tmp_path / "w.safetensors")
    torch.save(half, tmp_path / "w.pt")
    loaded = [load_backbone("small-vit", tmp_path / name) for name in ("w.safetensors", "w.pt")]
    assert loaded[0].key == loaded[1].key
    for name, value in loaded[0].module.state_dict().items():
        assert value.dtype == trained.state_dict()[name].dtype and torch.equal(
            value, half[name].to(value.dtype)
        )
    assert not loaded[0].module.training
    with pytest.raises(ValueError, match=r"w\.pt does not fit"):
        load_backbone("small-resnet", tmp_path / "w.pt")
    with pytest.raises(FileNotFoundError):
        load_backbone("small-vit", tmp_path / "none.safetensors")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="alexnet, resnet50, vit_b_16, .*guide, small-alexnet"):
        load_backbone("vgg")


class Mean(nn.Module):
    """Three features: the mean of each channel, times a weight."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.mean(dim=(2, 3))


@pytest.fixture
def mean_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more backbone, as a user would add it; "weights" is its scale."""
    monkeypatch.setattr(backbones, "BACKBONES", dict(BACKBONES))

    @register("mean")
    def build(weights: float) -> backbones.Parts:
        return Mean(weights), 3, small_preprocess


def test_a_new_backbone_is_one_function(mean_backbone, images):
    backbone = load_backbone("mean", 2.0)
    expected = torch.stack([2 * small_preprocess(images[i]).mean(dim=(1, 2)) for i in range(5)]).detach()
    np.testing.assert_allclose(backbone_features(images, backbone, batch_size=2), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="already"):
        register("mean")(None)


def test_features_are_computed_once(mean_backbone, images, monkeypatch):
    backbone = load_backbone("mean", 2.0)
    first = backbone_features(images, backbone, np.array([3, 0]))
    assert first.shape == (2, 3) and first.dtype == np.float32
    np.testing.assert_allclose(first, backbone_features(images, backbone)[[3, 0]], rtol=1e-5)
    monkeypatch.setattr(Mean, "forward", lambda self, x: pytest.fail("computed again"))
    np.testing.assert_array_equal(
        backbone_features(images, load_backbone("mean", 2.0), np.array([3, 0])), first
    )


def test_other_weights_other_pictures_and_other_preprocessing_have_other_names(mean_backbone, images):
    assert load_backbone("mean", 2.0).key == load_backbone("mean", 2.0).key != load_backbone("mean", 3.0).key

    @register("brighter")
    def build(weights: float) -> backbones.Parts:
        return Mean(weights), 3, lambda picture: small_preprocess(picture) + 1

    assert load_backbone("brighter", 2.0).key != load_backbone("mean", 2.0).key
    backbone = load_backbone("mean", 2.0)
    names = {
        Pictures(images, backbone).key,
        Pictures(images, backbone, np.array([0])).key,
        Pictures(images, load_backbone("mean", 3.0)).key,
        Pictures(ArrayImages(images.pixels[::-1]), backbone).key,
    }
    assert len(names) == 4


def test_pictures_are_read_by_row(mean_backbone, images):
    pictures = Pictures(images, load_backbone("mean", 1.0), np.array([4, 1, 2]))
    assert len(pictures) == 3
    assert torch.equal(pictures[0], small_preprocess(images[4]))
    taken = pictures.take(np.array([2, 1]))
    assert torch.equal(taken[0], small_preprocess(images[2])) and len(taken) == 2


def test_the_guide_as_a_backbone_is_its_frozen_image_encoder(tiny_guide, images):
    backbone = load_backbone("guide", tiny_guide)
    pixels = torch.stack([tiny_guide.preprocess(images[i]) for i in range(3)])
    assert backbone.width == tiny_guide.width
    torch.testing.assert_close(backbone.module(pixels), tiny_guide.image_tokens(pixels)[:, 0])
    assert not any(p.requires_grad for p in backbone.module.parameters())
    assert any(p.requires_grad for p in tiny_guide.model.parameters())
    with pytest.raises(ValueError, match="needs a Guide"):
        load_backbone("guide")
