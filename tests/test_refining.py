"""Whether a guide knows what is in the photos, in numbers."""

import numpy as np
import pytest
import scipy.sparse as sp

from ctrh.app import refining
from ctrh.app.refining import agreement, say_agreement, say_trust
from ctrh.guide.calibrate import Calibration
from ctrh.guide.features import ImageFeatures


class Knowing:
    """A guide whose texts are the axes of its space."""

    def text_features(self, words):
        return np.eye(len(words), dtype=np.float32)


@pytest.fixture
def seen(monkeypatch):
    """``seen(features)``: what the guide sees in every photo."""
    return lambda features: monkeypatch.setattr(
        refining, "image_features", lambda guide, images: ImageFeatures(features, features)
    )


def test_a_guide_that_sees_the_tags_names_all_of_them(seen, tiny_photos, capsys):
    seen(tiny_photos.tags.toarray().astype(np.float32) + 0.01)
    own, other = agreement(tiny_photos, Knowing())
    assert own == 1 and 0.2 < other < 0.9
    say_agreement(tiny_photos, Knowing())
    assert capsys.readouterr().err.startswith("the guide names 100% of the tags that a photo has")


def test_a_guide_that_sees_the_same_everywhere_is_warned_about(seen, tiny_photos, capsys):
    seen(np.tile(np.arange(6, 0, -1, dtype=np.float32), (20, 1)))
    own, other = agreement(tiny_photos, Knowing())
    assert own == pytest.approx(other)
    with pytest.warns(UserWarning, match="hardly knows.*--tags user"):
        say_agreement(tiny_photos, Knowing())


def calibration(seen: int, trust: float) -> Calibration:
    by_guide = np.arange(6) < seen
    return Calibration(sp.csr_array((20, 6)), np.zeros(6), by_guide, ~by_guide, trust, 0.8, None)


def test_trust_is_said_in_numbers(capsys):
    say_trust(calibration(4, 0.9))
    assert "sees 4 of 6 words in the photos, and 90% of what was written" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="sees 1 of 6 words.*20%.*hardly fits"):
        say_trust(calibration(1, 0.2))
