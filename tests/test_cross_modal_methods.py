"""Methods without labels across modalities: ITQ on both at once, and CTRH's tag side, against other ways to the same."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import Ridge

from ctrh.encoding import relaxed_codes
from ctrh.methods.cross_modal import CrossModalITQ, TagSide
from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.methods.itq import ITQ
from ctrh.network import padded_tags
from ctrh.retrieval.metrics import evaluate
from ctrh.training import TrainConfig


def pairs(count=200, seed=0):
    """Images and texts of four classes in one space, in cones apart, as CLIP's are."""
    generator = np.random.default_rng(seed)
    classes = np.arange(count) % 4
    places = np.random.default_rng(99).normal(size=(4, 10))[classes]
    image, text = (places + 0.3 * generator.normal(size=(count, 10)) for _ in range(2))
    image[:, 0] += 6
    text[:, 1] += 6
    return image, text, np.eye(4, dtype=bool)[classes]


def test_itq_finds_across_the_gap_between_the_modalities():
    image, text, labels = pairs()
    hasher = CrossModalITQ(bits=6).fit(image, text)
    pictures, texts = hasher.encode(image), hasher.encode_text(text)
    across = evaluate(pictures, texts, labels, labels).map_all
    plain = ITQ(bits=6).fit(np.concatenate([image, text]))
    assert (
        across > 0.85
        and across > evaluate(plain.transform(image), plain.transform(text), labels, labels).map_all
    )
    assert abs(pictures.mean() - texts.mean()) < 0.1
    np.testing.assert_array_equal(hasher.encode(3 * image), pictures)  # directions alone count
    with pytest.raises(ValueError, match="must be pairs in one space"):
        CrossModalITQ().fit(image, text[:, :5])


@pytest.fixture(scope="module", params=[True, False])
def taught(request):
    """A CTRH on photos of three kinds; tag 3 says nothing, the last photo has no tag."""
    generator = np.random.default_rng(0)
    kinds = np.arange(90) % 3
    inputs = (np.eye(3)[kinds] @ generator.normal(size=(3, 8)) + 0.2 * generator.normal(size=(90, 8))).astype(
        "f4"
    )
    tags = np.concatenate([np.eye(3, dtype=bool)[kinds], generator.random((90, 1)) < 0.5], axis=1)
    tags[-1] = False
    text = generator.normal(size=(4, 12)).astype(np.float32)
    train = TrainConfig(epochs=40, batch_size=30, lr_head=0.3, lr_tags=0.02)
    hasher = CTRH(CTRHConfig(bits=8, heads=2, tag_weighting=request.param, train=train))
    hasher.fit(inputs, sp.csr_array(tags), text)
    return hasher, inputs, sp.csr_array(tags), np.eye(3, dtype=bool)[kinds]


def representations(hasher, tags):
    """r when no photo asks: the network itself, asked by a code of zeros, so that all logits of (12) are equal."""
    network = hasher.network.eval()
    ids = padded_tags(tags)
    with torch.no_grad():
        if network.weighting is None:
            return np.stack([network.text[row[row >= 0]].mean(dim=0).numpy() for row in ids])
        return network.weighting(torch.zeros(len(ids), 12), network.text, ids)[0].numpy()


def test_least_squares_is_scikit_learns_ridge(taught):
    hasher, inputs, tags, _ = taught
    side = TagSide(hasher, ridge=0.5).fit(inputs, tags)
    r = representations(hasher, tags[:-1]).astype(np.float64)
    h = relaxed_codes(hasher.network, torch.from_numpy(inputs[:-1])).double().numpy()
    penalty = 0.5 * len(r) * r.var(axis=0).mean()
    expected = Ridge(alpha=penalty).fit(r, 2 * h - 1).predict(r)
    decided = np.abs(expected) > 1e-4
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(side.encode_text(tags[:-1])[decided], (expected > 0)[decided])


def test_nearest_takes_the_code_of_the_photo_that_fits_best(taught):
    hasher, inputs, tags, _ = taught
    codes = TagSide(hasher, "nearest").fit(inputs, tags).encode_text(tags[:10])
    candidates = hasher.encode(inputs[:-1])
    with torch.no_grad():
        v = hasher.network.mapping(torch.from_numpy(candidates.astype(np.float32))).numpy()
    for row, r in enumerate(representations(hasher, tags[:10])):
        cosines = [float(r @ each) / np.linalg.norm(r) / np.linalg.norm(each) for each in v]
        own = [float(cosine) for cosine, code in zip(cosines, candidates) if (code == codes[row]).all()]
        assert max(own) == pytest.approx(max(cosines), abs=1e-6)


@pytest.mark.parametrize("reading", ["least squares", "nearest"])
def test_tags_find_their_photos(taught, reading):
    hasher, inputs, tags, labels = taught
    texts = TagSide(hasher, reading).fit(inputs, tags).encode_text(tags[:30])
    assert texts.shape == (30, 8) and texts.dtype == bool
    assert evaluate(texts, hasher.encode(inputs), labels[:30], labels).map_all > 0.8


def test_refusals(taught):
    hasher, inputs, tags, _ = taught
    with pytest.raises(ValueError, match="reading must be one of least squares, nearest"):
        TagSide(hasher, "farthest")
    with pytest.raises(ValueError, match="ridge must be positive"):
        TagSide(hasher, ridge=0)
    with pytest.raises(ValueError, match="no photo has a tag"):
        TagSide(hasher).fit(inputs[-1:], tags[-1:])
    assert TagSide(hasher).fit(inputs, tags).encode_text(tags[-1:]).shape == (1, 8)  # a text without words
