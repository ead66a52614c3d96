"""Tag statistics of a data set small enough to count."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from ctrh.data.statistics import tag_statistics


def test_statistics_by_hand(tiny_photos):
    tags = np.zeros((20, 6), dtype=bool)
    tags[:, 0] = tags[:3, 1] = tags[:1, 4] = True  # word 0 on all photos, 1 on three, 4 on one
    tags[19] = False
    photos = replace(tiny_photos, tags=sp.csr_array(tags), common=np.array([1, 0, 1, 0, 1, 0], dtype=bool))
    found = tag_statistics(photos)
    assert (found.photos, found.untagged, found.vocabulary, found.used_20, found.common) == (20, 1, 3, 0, 2)
    assert found.tags_per_photo == pytest.approx((19 + 3 + 1) / 20)
    assert found.median_tags == 1
    assert found.common_share_of_words == pytest.approx(2 / 3)
    assert found.common_share_of_uses == pytest.approx(20 / 23)
    assert found.rarest_half == pytest.approx(1 / 23)
    assert found.most_used == pytest.approx(19 / 20)


def test_without_any_tag_shares_are_nan_and_counts_zero(tiny_photos):
    found = tag_statistics(tiny_photos.with_tags(sp.csr_array((20, 6), dtype=bool)))
    assert found.vocabulary == found.common == found.tags_per_photo == 0
    assert np.isnan(found.common_share_of_uses) and np.isnan(found.rarest_half)
