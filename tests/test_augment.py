"""Random views of pictures: what they are cut from, who draws them, and that neither cache nor workers change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from PIL import Image
from torch import nn
from torchvision.transforms.functional import normalize, pil_to_tensor

from ctrh.augment import for_crops, random_view, side_for
from ctrh.backbones import Backbone, Pictures, small_preprocess
from ctrh.data.decoded import decoded, scaled
from ctrh.data.images import ArrayImages, FileImages
from ctrh.encoding import Reader
from ctrh.losses import MIRFLICKR
from ctrh.methods.ctrh import CTRHNetwork
from ctrh.network import TagWeighting
from ctrh.store import DamagedCache, cache_dir
from ctrh.training import TrainConfig, TrainingData, train


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Pictures:
    """Photos of several shapes, as files, for a small network; the cache is empty."""
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "cache"))
    names = [f"{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        noise(130 + 9 * i, 150, i).save(tmp_path / name)
    backbone = Backbone("tiny", nn.Flatten(), 3 * 112**2, small_preprocess, "tiny")
    return Pictures(FileImages(tmp_path, names), backbone, np.array([5, 0, 3, 1]))


def test_a_view_is_a_part_of_the_scaled_picture_or_its_mirror_image():
    columns = np.broadcast_to((np.arange(300) % 256).astype(np.uint8), (256, 300))
    rows = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, 300))
    picture = Image.fromarray(np.stack([columns, rows, 0 * rows], axis=2))
    seen = set()
    for seed in range(40):
        view = np.asarray(random_view(picture, 224, (seed,))).astype(int)
        top, left, right = view[0, 0, 1], view[0, 0, 0], view[0, -1, 0]
        assert view.shape == (224, 224, 3) and top <= 32
        step = (right - left) % 256 == 223
        expected = np.asarray(picture)[
            top : top + 224, (left if step else right) : (left if step else right) + 224
        ]
        assert (view == (expected if step else expected[:, ::-1])).all()
        seen.add((top, left, bool(step)))
        assert (view == random_view(picture, 224, (seed,))).all()
    assert len(seen) > 35 and {mirrored for *_, mirrored in seen} == {True, False}


def test_scaling_keeps_proportions_and_leaves_what_fits():
    assert scaled(noise(400, 300), 150).size == (200, 150)
    assert scaled(noise(30, 40), 60).size == (60, 80)
    picture = noise(300, 256)
    assert scaled(picture, 256) is picture
    assert (side_for(224), side_for(112)) == (256, 128)


@pytest.mark.parametrize("weights", [zoo.AlexNet_Weights.IMAGENET1K_V1, zoo.ResNet50_Weights.IMAGENET1K_V2])
def test_torchvisions_preprocessing_takes_crops_as_they_are(weights):
    whole = weights.transforms()
    size, preprocess = for_crops(whole)
    crop = noise(size, size)
    expected = normalize(pil_to_tensor(crop) / 255, whole.mean, whole.std)
    torch.testing.assert_close(preprocess(crop), expected)
    assert size == 224 and whole.resize_size != whole.crop_size  # the evaluation's own has not changed


def test_views_depend_on_the_number_and_the_row_alone(pictures):
    first, other = pictures.drawn(2, 7), pictures.drawn(2, 8)
    assert first.shape == (3, 112, 112)
    assert torch.equal(first, pictures.drawn(2, 7)) and not torch.equal(first, other)
    assert torch.equal(pictures[2], small_preprocess(pictures.images[3]))


def test_the_cache_changes_no_view_and_decodes_no_file_twice(pictures, monkeypatch):
    kept = pictures.decoded()
    monkeypatch.setattr(FileImages, "__getitem__", lambda self, index: pytest.fail("decoded again"))
    again = pictures.decoded()
    monkeypatch.undo()
    for row in range(4):
        views = [each.drawn(row, 3) for each in (pictures, kept, again)]
        assert torch.equal(views[0], views[1]) and torch.equal(views[0], views[2])
        assert min(kept.images[row].size) == 128
    assert kept.key == again.key != pictures.key


def test_a_damaged_cache_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path))
    images = ArrayImages(np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8))
    whole = decoded(images, np.arange(3), 20)
    assert (np.asarray(whole[1]) == images.pixels[1]).all() and len(whole) == 3
    whole.path.write_bytes(whole.path.read_bytes()[:-1])
    with pytest.warns(DamagedCache, match="is not what was written"):
        assert (np.asarray(decoded(images, np.arange(3), 20)[2]) == images.pixels[2]).all()
    assert [path.name for path in (cache_dir() / "decoded").glob("*.pixels")] == [whole.path.name]


def network() -> CTRHNetwork:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(147, 5))
    return CTRHNetwork(backbone, 5, 6, torch.randn(7, 8), MIRFLICKR, TagWeighting(8, heads=2, dropout=0.5))


CONFIG = TrainConfig(epochs=3, batch_size=2, lr_head=0.1, augment=True)


def weights_after(pictures: Pictures, config: TrainConfig, stop: int = 0, folder=None) -> list[torch.Tensor]:
    data = TrainingData(pictures, {"tag_ids": torch.arange(4)[:, None]})
    if stop:
        run = train(network(), data, config, folder / "run.pt")
        for _ in range(stop):
            next(run)
        run.close()
    model = network()
    list(train(model, data, config, folder and folder / "run.pt"))
    return list(model.state_dict().values())


def test_workers_cache_and_interruptions_change_nothing(pictures, tmp_path):
    expected = weights_after(pictures, CONFIG)
    for found in (
        weights_after(pictures, replace(CONFIG, workers=2)),
        weights_after(pictures, replace(CONFIG, workers=1), stop=1, folder=tmp_path),
        weights_after(pictures, replace(CONFIG, monitor=1)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    cached = weights_after(pictures, replace(CONFIG, decoded=True, workers=1))
    assert all(torch.equal(a, b) for a, b in zip(cached, expected, strict=True))
    plain = weights_after(pictures, replace(CONFIG, augment=False))
    assert not all(torch.equal(a, b) for a, b in zip(plain, expected, strict=True))


def test_workers_stay_from_epoch_to_epoch(pictures):
    class Whose(Pictures):
        def __getitem__(self, row: int) -> torch.Tensor:
            return torch.tensor(
                [float(torch.utils.data.get_worker_info().id), float(torch.initial_seed() % 2**20)]
            )

    reader = Reader(Whose(pictures.images, pictures.backbone), workers=1)
    passes = [torch.cat(list(reader.batches([torch.tensor([0, 1]), torch.tensor([2])]))) for _ in range(2)]
    assert torch.equal(passes[0], passes[1])  # a new worker would have been given another seed


@pytest.mark.parametrize("option", ["augment", "decoded"])
def test_features_cannot_be_cropped(option):
    data = TrainingData(torch.zeros(4, 5), {"tag_ids": torch.arange(4)[:, None]})
    with pytest.raises(ValueError, match=f"{option} needs Pictures, got Tensor: train end to end"):
        next(train(network(), data, replace(CONFIG, **{"augment": False, option: True})))
