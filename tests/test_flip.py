"""Hidden patches: which are left, in training alone, the same for the same seed; tuning and its cost."""

import copy
from dataclasses import replace

import pytest
import torch
from open_clip.transformer import PatchDropout
from torch import nn

from ctrh.guide.finetune import FinetuneConfig, finetune
from ctrh.guide.flip import FlipConfig, flip
from ctrh.guide.masking import masked, patches_left
from ctrh.guide.small import build

QUICK = FinetuneConfig(epochs=2, batch=4, learning_rate=1e-3)


@pytest.fixture
def visual(tiny_guide):
    return copy.deepcopy(tiny_guide.model.visual)


def pictures(count=3, size=32):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def seen(visual, images, ratio, seed=0):
    """The tokens that reach the transformer."""
    caught = []
    hook = visual.transformer.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    with masked(visual, ratio, seed), torch.no_grad():
        visual(images)
    hook.remove()
    return caught[0]


@pytest.mark.parametrize(("ratio", "left"), [(0, 16), (0.5, 8), (0.75, 4), (0.99, 1)])
def test_the_transformer_sees_the_class_token_and_the_patches_left(visual, ratio, left):
    tokens = seen(visual, pictures(), ratio)
    assert tokens.shape == (3, 1 + left, 32) and patches_left(visual, ratio) == left
    whole = seen(visual, pictures(), 0)
    torch.testing.assert_close(tokens[:, 0], whole[:, 0])
    for picture in range(3):
        # Every patch that is left is one of the picture's own, with its own place, and none comes twice.
        same = (tokens[picture, 1:, None] - whole[picture, None, 1:]).abs().amax(dim=-1) < 1e-6
        assert same.sum(dim=1).tolist() == [1] * left and same.sum(dim=0).max() == 1


def test_each_picture_hides_other_patches_and_the_seed_says_which(visual):
    images = pictures()[:1].expand(4, -1, -1, -1)
    state = torch.random.get_rng_state()
    first, again, other = (seen(visual, images, 0.5, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0].sort(dim=0).values, first[1].sort(dim=0).values)


def test_afterwards_the_tower_sees_whole_pictures_again(visual):
    whole = visual(pictures())
    before = visual.patch_dropout
    with pytest.raises(KeyError), masked(visual, 0.5, seed=0):
        assert isinstance(visual.patch_dropout, PatchDropout) and not visual.training
        raise KeyError
    assert visual.patch_dropout is before
    torch.testing.assert_close(visual(pictures()), whole)


def test_hidden_patches_get_no_gradient_where_patches_are_cut_out_first(visual):
    images = pictures(1).requires_grad_()
    with masked(visual, 0.75, seed=0):
        visual(images).sum().backward()
    touched = images.grad.abs().sum(dim=1).unfold(1, 8, 8).unfold(2, 8, 8).sum(dim=(3, 4)) > 0
    assert int(touched.sum()) == 4


def test_the_small_guides_stem_shows_neighbours():
    """What masking.py says of the stem: patches that are left have seen pixels of hidden ones."""
    model = build().model
    images = pictures(1, 112).requires_grad_()
    with masked(model.visual, 0.75, seed=0):
        model.visual(images).sum().backward()
    touched = images.grad.abs().sum(dim=1).unfold(1, 16, 16).unfold(2, 16, 16).sum(dim=(3, 4)) > 0
    assert patches_left(model.visual, 0.75) == 12 < int(touched.sum())


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_a_ratio_leaves_something_to_see(visual, ratio):
    with pytest.raises(ValueError, match="masking ratio"), masked(visual, ratio, seed=0):
        pass
    with pytest.raises(ValueError, match="masking ratio"):
        FlipConfig(ratio=ratio)


def test_epochs_are_masked_and_the_last_ones_are_not():
    config = FlipConfig(replace(QUICK, epochs=4), ratio=0.75, unmasked=1)
    assert config.masks == (0.75, 0.75, 0.75, 0.0)
    with pytest.raises(ValueError, match="5 unmasked epochs out of 4"):
        replace(config, unmasked=5)


def test_tuning_depends_on_the_ratio_and_leaves_a_guide_that_sees_everything(tiny_guide, tiny_photos):
    guides = {
        name: flip(tiny_guide, tiny_photos, config=FlipConfig(QUICK, *settings))
        for name, settings in {"half": (0.5, 0), "last whole": (0.5, 1), "whole": (0.0, 0)}.items()
    }
    assert len({guide.key for guide in guides.values()}) == 3
    assert guides["whole"].key == finetune(tiny_guide, tiny_photos, config=QUICK).key
    assert all(isinstance(guide.model.visual.patch_dropout, nn.Identity) for guide in guides.values())
    assert isinstance(tiny_guide.model.visual.patch_dropout, nn.Identity)


def test_masked_tuning_is_repeatable_and_resumes(tiny_guide, tiny_photos, tmp_path, monkeypatch):
    config = FlipConfig(QUICK, 0.5, 0)
    key = flip(tiny_guide, tiny_photos, config=config).key
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "other"))
    steps = []

    def stop_in_the_second_epoch(*arguments):
        steps.append(1)
        if len(steps) > 3:
            raise KeyboardInterrupt
        return contrastive(*arguments)

    import ctrh.guide.finetune as module

    contrastive = module.contrastive_loss
    monkeypatch.setattr(module, "contrastive_loss", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        flip(tiny_guide, tiny_photos, config=config)
    monkeypatch.setattr(module, "contrastive_loss", contrastive)
    assert flip(tiny_guide, tiny_photos, config=config).key == key


def test_masks_are_one_for_each_epoch(tiny_guide, tiny_photos):
    with pytest.raises(ValueError, match="1 masking ratios for 2 epochs"):
        finetune(tiny_guide, tiny_photos, config=QUICK, masks=(0.5,))
