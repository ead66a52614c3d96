"""Text against codes, beside the equations written for one text and one code."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.methods.text_codes import text_codes, text_representations, text_scores
from ctrh.training import TrainConfig

WIDTH, BITS = 16, 12


@pytest.fixture(scope="module", params=[True, False], ids=["weighted", "mean"])
def hasher(request):
    """Photos whose features are noisy copies of their one tag's text feature."""
    random = np.random.default_rng(0)
    text = random.standard_normal((4, WIDTH)).astype(np.float32)
    kind = np.arange(200) % 4
    photos = (text[kind] + random.normal(0, 0.3, (200, WIDTH))).astype(np.float32)
    tags = sp.csr_array((np.ones(200, bool), (np.arange(200), kind)), shape=(200, 4))
    train = TrainConfig(epochs=15, batch_size=32, lr_head=0.3, lr_tags=0.01)
    hasher = CTRH(CTRHConfig(BITS, train=train, heads=2, tag_weighting=request.param))
    hasher.fit(photos, tags, text)
    return hasher, photos, text, kind


def test_scores_are_the_equations(hasher):
    hasher, photos, text, _ = hasher
    codes = hasher.encode(photos)[:9]
    scores = text_scores(hasher, codes, text)
    network = hasher.network.eval()
    for row, one in enumerate(torch.from_numpy(text)):
        for column, code in enumerate(codes):
            v = network.mapping.weight @ torch.from_numpy(code).float() + network.mapping.bias
            v = torch.where(v > 0, v, 0.01 * v)  # Eq. (9)
            r = one
            if network.weighting is not None:
                # The softmax over one tag is 1, so each head answers its W_v t: Eq. (12)-(14).
                parts = network.weighting
                z = parts.out.weight @ (parts.value.weight @ one)
                r = z + parts.ffn(z)
            cosine = torch.cosine_similarity(v, r, dim=0)
            assert scores[row, column] == pytest.approx(cosine.item(), abs=1e-5)


def test_a_word_finds_the_photos_that_show_it(hasher):
    hasher, photos, text, kind = hasher
    codes = hasher.encode(photos)
    scores = text_scores(hasher, codes, text)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    assert (kind[first] == np.arange(4)[:, None]).mean() > 0.8
    found = text_codes(hasher, codes, text)
    assert found.shape == (4, BITS) and found.dtype == bool
    for word in range(4):
        fits = (codes == found[word]).all(axis=1)
        assert fits.any() and scores[word][fits].max() == scores[word].max()


def test_chunks_and_company_change_nothing(hasher, monkeypatch):
    hasher, photos, text, _ = hasher
    codes = hasher.encode(photos)
    whole = text_scores(hasher, codes, text)
    monkeypatch.setattr("ctrh.methods.text_codes.CODES_AT_ONCE", 2)
    np.testing.assert_allclose(text_scores(hasher, codes, text), whole, atol=1e-6)
    np.testing.assert_allclose(text_scores(hasher, codes[3:4], text[1:2])[0, 0], whole[1, 3], atol=1e-6)


def test_the_text_has_the_length_that_training_gave_its_tags(hasher):
    hasher, _, text, _ = hasher
    scaled = CTRH(CTRHConfig(BITS, heads=2, tag_weighting=hasher.config.tag_weighting, text_length=3.0))
    scaled.network = hasher.network
    unit = 3 * text / np.linalg.norm(text, axis=1, keepdims=True)
    expected = text_representations(hasher, unit)
    np.testing.assert_allclose(text_representations(scaled, 7 * text), expected, atol=1e-5)


def test_what_does_not_fit_is_refused(hasher):
    hasher, photos, text, _ = hasher
    with pytest.raises(ValueError, match=rf"expected \(Q, {WIDTH}\)"):
        text_scores(hasher, hasher.encode(photos), text[:, 1:])
    with pytest.raises(ValueError, match="there are none"):
        text_codes(hasher, np.zeros((0, BITS), bool), text)
