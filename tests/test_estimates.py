"""Estimates: numbers multiplied by hand, what is measured at all, on disk and in memory."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ctrh.paper import estimates
from ctrh.paper.estimates import (
    ENCODE,
    FINETUNE,
    LEARN,
    RANK,
    READ,
    REPLACE,
    SEE,
    STEPS,
    VIEW,
    Measured,
    Task,
    disk_rows,
    estimate_rows,
    tasks,
)
from ctrh.paper.study_plots import hours_of_steps
from ctrh.paper.timing import measured_apart
from profiles.paper import PROFILE as PAPER

ONE_SECOND = {step: Measured(1.0, 100.0, 10.0) for step in STEPS}


def of(rows, dataset, step):
    (row,) = rows[(rows.dataset == dataset) & (rows.step == step)].to_dict("records")
    return row


def test_hours_are_seconds_times_how_often():
    rows = estimate_rows(PAPER, ONE_SECOND, tasks("cpu"))
    # Five methods, four lengths, three seeds, eighty epochs over NUS-WIDE's 10,500 training photos.
    assert of(rows, "nuswide", LEARN)["hours"] == pytest.approx(5 * 4 * 3 * 80 * 10_500 / 3600)
    assert of(rows, "nuswide", FINETUNE)["times"] == 30 * 10_500
    # All eight methods rank; the seconds are those of 100,000 codes.
    assert of(rows, "nuswide", RANK)["times"] == pytest.approx(8 * 12 * 5000 * 176_365 / 100_000)
    assert of(rows, "mirflickr", SEE)["times"] == 25_000 + 2 * 23_000
    assert (rows.hours == rows.times * rows.seconds / 3600).all() and len(rows) == 2 * len(STEPS)


def test_reading_during_training_is_counted():
    runs, photos, train = 5 * 4 * 3, 25_000, 23_000
    once = replace(PAPER, train=replace(PAPER.train, decoded=True))
    rows = estimate_rows(once, ONE_SECOND, tasks("cpu"))
    seen = photos + 2 * train
    # Decoded photos are read once more; each training then cuts a view out of each in every epoch.
    assert of(rows, "mirflickr", READ)["times"] == seen + runs * photos + train
    assert of(rows, "mirflickr", VIEW)["times"] == runs * 80 * train == of(rows, "mirflickr", LEARN)["times"]
    assert of(rows, "mirflickr", ENCODE)["times"] == runs * photos
    anew = replace(PAPER, train=replace(PAPER.train, decoded=False))
    rows = estimate_rows(anew, ONE_SECOND, tasks("cpu"))
    assert of(rows, "mirflickr", READ)["times"] == seen + runs * photos + runs * 80 * train
    assert of(rows, "mirflickr", VIEW)["times"] == 0


def test_memory_grows_with_the_batch():
    rows = estimate_rows(PAPER, ONE_SECOND, [replace(task, batch=4) for task in tasks("cpu")])
    assert of(rows, "mirflickr", FINETUNE)["megabytes"] == 100 + 10 * (PAPER.finetune.batch - 4)
    assert of(rows, "mirflickr", SEE)["megabytes"] == 100


def test_what_is_kept_for_the_gradient_is_counted_once():
    x, weight = torch.ones(100, 250), torch.ones(250, 250, requires_grad=True)
    # The product keeps its input, and the sigmoid its result, which is what the square keeps as well.
    assert estimates.kept_megabytes(lambda: (x @ weight).sigmoid().square().sum()) == pytest.approx(
        4e-6 * (100 * 250 + 100 * 250)
    )


def test_disk():
    rows = disk_rows(PAPER).set_index(["dataset", "what"])["gigabytes"]
    assert rows["mirflickr", "training photos for the guide, as bytes"] == pytest.approx(
        224 * 224 * 3 * 23_000 / 1e9
    )
    # AlexNet to fc7, mapping, hash layer and tag weighting of 64 bits: 241.8 MB, sixty times.
    assert rows["nuswide", "weights of all trainings"] == pytest.approx(60 * 0.2418, rel=1e-3)


def test_everything_is_measured_in_a_process_of_its_own():
    tiny = [Task(step, 2, "cpu", 12) for step in STEPS]
    found = dict(zip(STEPS, measured_apart(estimates._measure, tiny)))
    assert all(0 < measured.seconds < 60 for measured in found.values())
    # Adam keeps four numbers for each of CLIP's 151 million weights, SGD three for AlexNet's 60; they were in memory.
    assert found[FINETUNE].megabytes > 4 * 4 * 150 and found[LEARN].megabytes > 3 * 4 * 57
    # What 12 and 12 layers keep of 50 and 77 tokens for backward: at least a dozen arrays as wide as they are, each.
    assert 4e-6 * 12 * 12 * (50 * 768 + 77 * 512) < found[FINETUNE].growth < 500
    assert found[REPLACE].megabytes < 200


def test_marks_show_the_hours():
    rows = estimate_rows(PAPER, ONE_SECOND, tasks("cpu"))
    ax = hours_of_steps(plt.figure().subplots(), rows)
    shown = np.concatenate([marks.get_offsets()[:, 0] for marks in ax.collections])
    assert np.sort(shown).tolist() == pytest.approx(np.sort(rows.hours).tolist())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(STEPS)
    plt.close(ax.figure)
