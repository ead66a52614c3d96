"""Two devices with half a batch each learn what one device learns with the whole."""

from __future__ import annotations

import pytest
import torch
from two_devices import STEPS, learned, on_two_devices, under_torchrun

from ctrh.parallel import gathered


def test_one_device_gathers_nothing():
    h, v = torch.rand(3, 2), torch.rand(3, 4)
    assert all(got is given for got, given in zip(gathered(h, v), (h, v), strict=True))


@pytest.mark.parametrize("start", [on_two_devices, under_torchrun])
def test_two_devices_learn_what_one_learns_from_the_whole_batch(start, tmp_path):
    expected = learned(STEPS)
    assert sum("gradient" in name for name in expected) > 20
    for found in start(tmp_path):
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-12)
