"""Batches side by side: every picture once, in order, whatever the number of threads; threads are given back."""

import threading

import numpy as np
import pytest
import torch

from ctrh.guide.batches import AT_LEAST, AT_ONCE, batch_by_batch


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def doubled(rows, batch_size, compute=lambda x: (2 * x,)):
    return list(
        batch_by_batch(np.asarray(rows), lambda row: torch.tensor([float(row)]), compute, "", batch_size)
    )


@pytest.mark.parametrize("number", [1, 2, 5, 3 * AT_ONCE])
def test_every_picture_once_and_in_order(threads, number):
    threads(number)
    found = doubled(range(100, 123), 5)
    assert [(place.start, place.stop) for place, _ in found] == [
        (0, 5),
        (5, 10),
        (10, 15),
        (15, 20),
        (20, 23),
    ]
    assert torch.cat([values for _, (values,) in found]).flatten().tolist() == [2 * n for n in range(100, 123)]
    assert torch.get_num_threads() == number


def test_threads_are_shared_out_and_given_back_after_an_error(threads):
    threads(4)
    seen, together = [], threading.Barrier(4)

    def waits_for_the_others(x):
        together.wait(timeout=60)  # BrokenBarrierError if fewer than four are under way at once
        seen.append(torch.get_num_threads())
        return (x,)

    doubled(range(8), 1, waits_for_the_others)
    assert seen == [1] * 8
    with pytest.raises(ZeroDivisionError):
        doubled(range(4), 1, lambda x: 1 / 0)
    assert torch.get_num_threads() == 4


def test_fewer_batches_than_threads_have_several_each(threads):
    threads(4)
    seen = []
    doubled(range(2), 1, lambda x: (seen.append(torch.get_num_threads()) or x,))
    assert seen == [2, 2]


def test_nothing_to_do():
    assert doubled([], 5) == []


def test_short_batches_are_filled_up_with_what_is_cut_off_again():
    sizes = []
    found = doubled(range(70), 64, lambda x: (sizes.append(len(x)) or 2 * x,))
    assert sorted(sizes) == [AT_LEAST, 64]
    assert [len(values) for _, (values,) in found] == [64, 6]
