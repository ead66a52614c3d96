"""Codes in batches, in evaluation mode; statistics by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ctrh.encoding import Reader, code_statistics, mode, relaxed_codes


class Rows(Dataset):
    """A tensor that is read one by one, as pictures are."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Tensor:
        return self.values[row]


def test_tensor_and_dataset_read_the_same_batches():
    values = torch.randn(10, 3)
    rows = [torch.tensor([4, 1]), torch.tensor([9, 0, 3])]
    for reader in (Reader(values), Reader(Rows(values))):
        for got, chosen in zip(reader.batches(rows), rows, strict=True):
            assert torch.equal(got, values[chosen])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_codes_do_not_depend_on_the_batches_nor_on_dropout(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Sigmoid())
    values = torch.randn(10, 3)
    h = relaxed_codes(model, values, batch_size=batch_size)
    torch.testing.assert_close(h, torch.sigmoid(model[0](values)).detach())
    rows = np.array([7, 2])
    torch.testing.assert_close(relaxed_codes(model, Rows(values), rows, batch_size), h[rows])
    assert model.training and not h.requires_grad


def test_inputs_follow_the_models_precision():
    model = nn.Linear(3, 2).to(torch.bfloat16)
    assert relaxed_codes(model, torch.randn(4, 3)).dtype == torch.bfloat16


def test_mode_gives_each_part_its_own_back():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
    with pytest.raises(KeyError), mode(model, training=False):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]


def test_statistics_by_hand():
    """Three images, four bits: on for all, none, one, two of them."""
    h = torch.tensor([[0.9, 0.1, 0.8, 0.6], [0.9, 0.1, 0.2, 0.6], [0.9, 0.1, 0.2, 0.4]])
    statistics = code_statistics(h)
    assert statistics.pop("note") == ""
    expected = {
        "unique_codes": 1.0,
        "bit_balance": (0 + 0 + 2 / 3 + 2 / 3) / 4,
        "dead_bits": 2,
        "mean_deviation": (6 * 0.4 + 3 * 0.3 + 3 * 0.1) / 12,
    }
    assert statistics == pytest.approx(expected, abs=1e-6)


def test_balanced_binary_codes_are_the_ideal():
    statistics = code_statistics(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert (statistics["bit_balance"], statistics["mean_deviation"], statistics["dead_bits"]) == (1, 0.5, 0)


@pytest.mark.parametrize(("distinct", "collapsed"), [(1, True), (2, True), (3, False)])
def test_collapse_is_said_at_a_hundred_images_a_code(distinct, collapsed):
    h = torch.zeros(200, 4)
    for code in range(1, distinct):
        h[code, code] = 1
    note = code_statistics(h)["note"]
    assert (f"{distinct} distinct among 200" in note) == collapsed


def test_a_single_image_cannot_collapse():
    assert code_statistics(torch.zeros(1, 4))["note"] == ""
    assert "1 distinct" in code_statistics(torch.zeros(2, 4))["note"]
