"""Fine-tuning and Eq. (2): the loss by loops, skipped photos, resuming, and averages that refuse what has
none."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import open_clip
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import normalize

import ctrh.guide.finetune as module
from ctrh.data.images import ArrayImages
from ctrh.data.vocabulary import tag_matrix
from ctrh.guide.clip import Guide
from ctrh.guide.finetune import FinetuneConfig, captions, contrastive_loss, ensemble, finetune
from ctrh.guide.pixels import TrainingPixels
from ctrh.store import DamagedCache

QUICK = FinetuneConfig(epochs=3, batch=4, learning_rate=1e-3, decay_every=2)


@pytest.fixture(scope="module")
def stem_guide(tiny_clip: Callable, tiny_guide: Guide) -> Guide:
    """With batch norm in the stem and dropout, which must both stay as in evaluation."""
    model = tiny_clip()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.visual.conv1 = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.BatchNorm2d(32), nn.Dropout(0.5))
    return Guide("stem", model, tiny_guide.preprocess, tiny_guide.tokenizer)


def same_weights(a: Guide, b: Guide) -> bool:
    other = b.model.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.model.state_dict().items())


def test_contrastive_loss_equals_the_loops():
    generator = torch.Generator().manual_seed(0)
    image, text = normalize(torch.randn(2, 5, 8, generator=generator, dtype=torch.float64), dim=-1)
    scale = 7.0
    terms = []
    for i in range(5):
        by_image = [math.exp(scale * float(image[i] @ text[j])) for j in range(5)]
        by_text = [math.exp(scale * float(image[j] @ text[i])) for j in range(5)]
        terms += [-math.log(by_image[i] / sum(by_image)), -math.log(by_text[i] / sum(by_text))]
    assert float(contrastive_loss(image, text, scale)) == pytest.approx(sum(terms) / 10, abs=1e-12)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        contrastive_loss(image[order], text[order], scale), contrastive_loss(image, text, scale)
    )


def test_contrastive_loss_has_a_floor_for_duplicates_and_is_zero_for_one_pair():
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert float(contrastive_loss(same, same, 100.0)) == pytest.approx(math.log(2))
    assert float(contrastive_loss(same[:1], same[1:], 100.0)) == 0


def test_contrastive_loss_equals_open_clips(tiny_guide):
    image, text = normalize(torch.randn(2, 6, 24), dim=-1)
    theirs = open_clip.loss.ClipLoss()(image, text, torch.tensor(9.0))
    torch.testing.assert_close(contrastive_loss(image, text, 9.0), theirs)


def test_captions_join_the_tags_of_photos_that_have_any(tiny_photos):
    photos = tiny_photos.with_tags(
        tag_matrix([[], ["cat", "dog"], ["nikon"], *[["sea"]] * 17], tiny_photos.vocabulary)
    )
    kept, texts = captions(photos, np.array([2, 0, 1]))
    assert kept.tolist() == [2, 1]
    assert texts == ["A photo of a nikon", "A photo of a dog, cat"]  # the vocabulary's order
    assert captions(photos, np.array([0]))[1] == []


def test_captions_take_a_tag_that_is_stored_twice_once_and_a_stored_false_not_at_all(tiny_photos):
    shape, indptr = tiny_photos.tags.shape, np.full(len(tiny_photos) + 1, 4)
    indptr[0] = 0
    stored = sp.csr_array((np.array([True, True, False, True]), np.array([1, 0, 2, 1]), indptr), shape=shape)
    photos = dataclasses.replace(tiny_photos, tags=stored)
    kept, texts = captions(photos, np.array([1, 0]))
    assert kept.tolist() == [0] and texts == [f"A photo of a {', '.join(photos.vocabulary[:2])}"]
    assert photos.tags.nnz == 4


def test_training_pixels_are_what_the_guide_sees(tiny_guide, tiny_photos):
    indices = np.array([4, 1, 9])
    pixels = TrainingPixels(tiny_guide, tiny_photos.images, indices)
    expected = torch.stack([tiny_guide.preprocess(tiny_photos.images[i]) for i in indices])
    torch.testing.assert_close(pixels[np.array([0, 1, 2])], expected)
    torch.testing.assert_close(pixels[np.array([2, 0])], expected[[2, 0]])
    assert pixels.bytes.dtype == np.uint8


def test_a_transform_that_cannot_be_cut_is_refused(tiny_guide, tiny_photos):
    whole = dataclasses.replace(tiny_guide, preprocess=lambda image: tiny_guide.preprocess(image))
    with pytest.raises(ValueError, match="must end in torchvision's Normalize"):
        TrainingPixels(whole, tiny_photos.images, np.array([0]))
    steps = tiny_guide.preprocess.transforms
    blurred = type(tiny_guide.preprocess)([*steps[:-1], lambda pixels: pixels * 0.37, steps[-1]])
    with pytest.raises(ValueError, match="8-bit"):
        TrainingPixels(dataclasses.replace(tiny_guide, preprocess=blurred), tiny_photos.images, np.array([0]))


def test_finetune_lowers_the_loss_and_leaves_the_guide_alone(stem_guide, tiny_photos):
    before = {name: value.clone() for name, value in stem_guide.model.state_dict().items()}
    indices = np.arange(2, 8)
    config = dataclasses.replace(QUICK, epochs=8, batch=6, decay_every=8)
    tuned = finetune(stem_guide, tiny_photos, indices, config)

    def loss(guide: Guide) -> float:
        pixels = torch.stack([guide.preprocess(tiny_photos.images[i]) for i in indices])
        with torch.no_grad():
            return float(
                contrastive_loss(*guide.model(pixels, guide.tokenizer(captions(tiny_photos, indices)[1]))[:3])
            )

    assert loss(tuned) < loss(stem_guide) - 0.1
    assert all(torch.equal(value, before[name]) for name, value in stem_guide.model.state_dict().items())
    assert not tuned.model.training and tuned.name == "stem, fine-tuned" and tuned.key != stem_guide.key


def test_finetune_keeps_evaluation_statistics(stem_guide, tiny_photos):
    tuned = finetune(stem_guide, tiny_photos, config=QUICK)
    for name, buffer in stem_guide.model.named_buffers():
        assert torch.equal(dict(tuned.model.named_buffers())[name], buffer), name
    # Dropout would make the result depend on the global generator.
    torch.manual_seed(99)
    module.cache_dir().rename(module.cache_dir().with_name("first"))
    assert same_weights(tuned, finetune(stem_guide, tiny_photos, config=QUICK))


def test_finetune_equals_a_plain_loop(tiny_guide, tiny_photos):
    """Adam on the whole of the data in one batch, written out; the order within a batch does not matter."""
    config = dataclasses.replace(QUICK, batch=64, epochs=3)
    tuned = finetune(tiny_guide, tiny_photos, config=config)
    indices = [i for i in tiny_photos.split.train if tiny_photos.tags[[i]].nnz]
    pixels = torch.stack([tiny_guide.preprocess(tiny_photos.images[i]) for i in indices])
    words = [[tiny_photos.vocabulary[c] for c in tiny_photos.tags[[i]].indices] for i in indices]
    tokens = tiny_guide.tokenizer(["A photo of a " + ", ".join(row) for row in words])
    model = tiny_guide.with_weights(tiny_guide.model.state_dict()).model
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=1e-3)
    for rate in (1e-3, 1e-3, 1e-4):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        image, text, scale = model(pixels, tokens)
        logits = scale * image @ text.T
        target = torch.arange(len(indices))
        (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)).div(
            2
        ).backward()
        optimiser.step()
    expected = model.state_dict()
    for name, value in tuned.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=2e-4, msg=name)


def test_no_epochs_give_the_guide_itself(tiny_guide, tiny_photos):
    assert (
        finetune(tiny_guide, tiny_photos, config=dataclasses.replace(QUICK, epochs=0)).key == tiny_guide.key
    )


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_interrupted_and_resumed_equals_uninterrupted(
    tiny_guide, tiny_photos, monkeypatch, tmp_path, stop_at
):
    whole = finetune(tiny_guide, tiny_photos, config=QUICK)
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "second"))
    steps = 0

    def stopping(*arguments):
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise KeyboardInterrupt
        return contrastive_loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "contrastive_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            finetune(tiny_guide, tiny_photos, config=QUICK, checkpoint_dir=tmp_path / "states")
    monkeypatch.setattr(module, "contrastive_loss", lambda *a: (calls.append(1), contrastive_loss(*a))[1])
    calls = []
    resumed = finetune(tiny_guide, tiny_photos, config=QUICK, checkpoint_dir=tmp_path / "states")
    assert same_weights(whole, resumed)
    assert len(calls) == 9 - 3 * ((stop_at - 1) // 3)  # only unfinished epochs, of three steps each
    assert list((tmp_path / "states").glob("*")) == []


def test_finished_results_are_read_back_and_named_by_everything_they_depend_on(
    tiny_guide, tiny_photos, monkeypatch
):
    first = finetune(tiny_guide, tiny_photos, config=QUICK)
    trained = []
    monkeypatch.setattr(module, "_train", lambda guide, *_: trained.append(1) or guide.model.state_dict())
    assert same_weights(finetune(tiny_guide, tiny_photos, config=QUICK), first) and not trained
    darker = ArrayImages(tiny_photos.images.pixels // 2)
    other_tags = tag_matrix([["dog", "sea"]] * 20, tiny_photos.vocabulary)
    for guide, photos, indices, config in (
        (tiny_guide, tiny_photos, None, dataclasses.replace(QUICK, seed=1)),
        (tiny_guide, tiny_photos, np.arange(9), QUICK),
        (tiny_guide, dataclasses.replace(tiny_photos, images=darker), None, QUICK),
        (tiny_guide, tiny_photos.with_tags(other_tags), None, QUICK),
        (first, tiny_photos, None, QUICK),
    ):
        finetune(guide, photos, indices, config)
    assert len(trained) == 5


def test_a_damaged_result_is_trained_again(tiny_guide, tiny_photos, cache):
    first = finetune(tiny_guide, tiny_photos, config=QUICK)
    (path,) = (cache / "finetuned").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(DamagedCache, match="safetensors"):
        assert same_weights(finetune(tiny_guide, tiny_photos, config=QUICK), first)


def test_a_loss_that_is_not_finite_stops_with_an_explanation(tiny_guide, tiny_photos, cache):
    with pytest.raises(FloatingPointError, match=r"loss is nan in epoch 1, step 2.*learning rate \(1e\+30\)"):
        finetune(tiny_guide, tiny_photos, config=dataclasses.replace(QUICK, learning_rate=1e30))
    assert not list((cache / "finetuned").iterdir())


def test_too_few_photos_with_tags(tiny_guide, tiny_photos):
    with pytest.raises(ValueError, match="two photos with tags or more, got 1"):
        finetune(tiny_guide, tiny_photos, np.array([0, 1, 5]), QUICK)


def test_the_temperature_stays_within_clips_bound(tiny_guide, tiny_photos):
    state = dict(tiny_guide.model.state_dict())
    state["logit_scale"] = torch.tensor(4.7)
    tuned = finetune(tiny_guide.with_weights(state), tiny_photos, config=dataclasses.replace(QUICK, epochs=1))
    assert tuned.scale <= 100.001


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"batch": 1}, {"decay_every": 0}, {"template": "A photo"}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError):
        FinetuneConfig(**wrong)


def test_the_papers_schedule():
    rates = [FinetuneConfig().rate(epoch) for epoch in (0, 9, 10, 19, 20, 29)]
    assert rates == pytest.approx([1e-5, 1e-5, 1e-6, 1e-6, 1e-7, 1e-7])


def states() -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(4)
    make = lambda: {  # noqa: E731
        "weight": torch.randn(3, 2, generator=generator),
        "half": torch.randn(4, generator=generator).half(),
        "running_mean": torch.randn(3, generator=generator),
        "count": torch.tensor(7),
    }
    return make(), make()


@settings(deadline=None, max_examples=30)
@given(alpha=st.floats(0, 1))
def test_ensemble_is_equation_2(alpha):
    zero_shot, fine_tuned = states()
    copies = [{name: value.clone() for name, value in state.items()} for state in (zero_shot, fine_tuned)]
    mixed = ensemble(zero_shot, fine_tuned, alpha)
    for name in ("weight", "half", "running_mean"):
        exact = (1 - alpha) * zero_shot[name].double() + alpha * fine_tuned[name].double()
        torch.testing.assert_close(mixed[name], exact.to(mixed[name].dtype))
        assert mixed[name].dtype == zero_shot[name].dtype
    assert mixed["count"] == 7
    for name in mixed:
        mixed[name] += 1  # a result that shared memory would change the inputs
        assert torch.equal(zero_shot[name], copies[0][name]) and torch.equal(
            fine_tuned[name], copies[1][name]
        )


@pytest.mark.parametrize("alpha", [0, 1])
def test_ensemble_ends_are_exact(alpha):
    zero_shot, fine_tuned = states()
    (fine_tuned, zero_shot)[alpha]["weight"][0, 0] = torch.inf  # 0 * inf would be NaN
    mixed = ensemble(zero_shot, fine_tuned, alpha)
    assert all(torch.equal(mixed[name], (zero_shot, fine_tuned)[alpha][name]) for name in mixed)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_ensemble_refuses_alpha_outside_0_1(alpha):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        ensemble(*states(), alpha)


def test_ensemble_refuses_what_does_not_fit():
    zero_shot, fine_tuned = states()
    with pytest.raises(ValueError, match="missing: half"):
        ensemble(zero_shot, {name: value for name, value in fine_tuned.items() if name != "half"}, 0.5)
    with pytest.raises(ValueError, match=r"weight is \(2, 3\), expected \(3, 2\)"):
        ensemble(zero_shot, {**fine_tuned, "weight": fine_tuned["weight"].T}, 0.5)
    with pytest.raises(ValueError, match="integer buffer count differs"):
        ensemble(zero_shot, {**fine_tuned, "count": torch.tensor(8)}, 0.5)


def test_mixed_precision_trains_and_keeps_full_weights(tiny_guide, tiny_photos):
    config = dataclasses.replace(QUICK, epochs=1)
    full = finetune(tiny_guide, tiny_photos, config=config)
    mixed = finetune(tiny_guide, tiny_photos, config=dataclasses.replace(config, precision="bf16-mixed"))
    assert not same_weights(full, mixed) and mixed.key != tiny_guide.key
    assert {value.dtype for value in mixed.model.state_dict().values()} == {torch.float32}
