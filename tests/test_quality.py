"""Tag quality on cases small enough to count by hand, and against scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import precision_recall_fscore_support

from ctrh.guide.quality import r_precision, tag_quality


def tags(*rows: str) -> sp.csr_array:
    return sp.csr_array(np.array([[c == "x" for c in row] for row in rows]))


def test_quality_by_hand():
    given = tags("xx..", "xxx.", "....", "...x")
    truth = tags("x.x.", "..x.", "x...", "....")
    quality = tag_quality(given, truth)
    # Right: 1, 1, 0, 0 of 2, 3, 0, 1 given and 2, 1, 1, 0 true.
    assert quality.precision_micro == pytest.approx(2 / 6)
    assert quality.recall_micro == pytest.approx(2 / 4)
    assert quality.f1_micro == pytest.approx(2 * 2 / (6 + 4))
    assert quality.best_precision_micro == pytest.approx((2 + 1 + 0 + 0) / 6)
    assert quality.precision_photo == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)  # the third gives no tag
    assert quality.recall_photo == pytest.approx((1 / 2 + 1 + 0) / 3)  # the fourth has no true tag
    assert quality.f1_photo == pytest.approx((2 / 4 + 2 / 4 + 0 + 0) / 4)
    assert quality.best_precision_photo == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert quality.tags_per_photo == pytest.approx(6 / 4)


def test_micro_quality_equals_scikit_learn():
    generator = np.random.default_rng(0)
    given, truth = generator.random((2, 40, 12)) < 0.3
    quality = tag_quality(sp.csr_array(given), sp.csr_array(truth))
    expected = precision_recall_fscore_support(truth, given, average="micro")[:3]
    np.testing.assert_allclose((quality.precision_micro, quality.recall_micro, quality.f1_micro), expected)


def test_the_truth_itself_is_perfect():
    truth = tags("x.x.", "..x.", "....")
    quality = tag_quality(truth, truth)
    assert (
        quality.precision_micro
        == quality.recall_photo
        == quality.f1_photo
        == quality.best_precision_micro
        == 1
    )


def test_quality_without_any_tag_is_nan_where_undefined():
    quality = tag_quality(tags("...", "..."), tags("x..", "..."))
    assert np.isnan(quality.precision_micro) and np.isnan(quality.best_precision_photo)
    assert quality.recall_micro == quality.f1_photo == quality.tags_per_photo == 0


def test_quality_refuses_other_shapes():
    with pytest.raises(ValueError, match="shape"):
        tag_quality(tags("x."), tags("x.."))


def test_r_precision_by_hand():
    truth = tags("xx..", "..x.", "....")
    scores = np.array([[0.9, 0.1, 0.8, 0.7], [0.2, 0.2, 0.3, 0.0], [1.0, 2.0, 3.0, 4.0]])
    assert r_precision(scores, truth) == pytest.approx((1 / 2 + 1) / 2)
    assert r_precision(np.zeros((1, 4)), tags("x...")) == 1  # a tie goes to the lower index
    assert r_precision(np.zeros((1, 4)), tags("...x")) == 0
