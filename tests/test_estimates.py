"""Estimates: numbers multiplied by hand, what is measured at all, on disk and in memory."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ctrh.paper import estimates
from ctrh.paper.apart import measured_apart
from ctrh.paper.estimate_plots import hours_of_steps
from ctrh.paper.estimates import STEPS, WORK, Measured, Task, disk_rows, estimate_rows, tasks
from profiles.paper import PROFILE as PAPER

ONE_SECOND = {what: Measured(1.0, 100.0, 10.0) for what in WORK}


def of(rows, dataset, what):
    (row,) = rows[(rows.dataset == dataset) & (rows.step == STEPS[what])].to_dict("records")
    return row


def test_hours_are_seconds_times_how_often():
    rows = estimate_rows(PAPER, ONE_SECOND, tasks("cpu"))
    # Five methods, four lengths, three seeds, eighty epochs over NUS-WIDE's 10,500 training photos.
    assert of(rows, "nuswide", "learn")["hours"] == pytest.approx(5 * 4 * 3 * 80 * 10_500 / 3600)
    assert of(rows, "nuswide", "fine-tune")["times"] == 30 * 10_500
    # All eight methods rank; the seconds are those of 100,000 codes.
    assert of(rows, "nuswide", "rank")["times"] == pytest.approx(8 * 12 * 5000 * 176_365 / 100_000)
    assert of(rows, "mirflickr", "see")["times"] == 25_000 + 2 * 23_000
    assert (rows.hours == rows.times * rows.seconds / 3600).all() and len(rows) == 2 * len(STEPS)


def test_memory_grows_with_the_batch():
    assert Measured(1, 100, 10).at(batch=128, measured=4) == 100 + 10 * 124
    rows = estimate_rows(PAPER, ONE_SECOND, [replace(each, batch=4) for each in tasks("cpu")])
    assert of(rows, "mirflickr", "fine-tune")["megabytes"] == 100 + 10 * (PAPER.finetune.batch - 4)
    assert of(rows, "mirflickr", "see")["megabytes"] == 100


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
    tiny = [Task(what, 2, "cpu", 12) for what in WORK]
    found = dict(zip(WORK, measured_apart(estimates._measure, tiny)))
    assert all(0 < each.seconds < 60 for each in found.values())
    # Adam keeps four numbers for each of CLIP's 151 million weights, SGD three for AlexNet's 60; they were in memory.
    assert found["fine-tune"].megabytes > 4 * 4 * 150 and found["learn"].megabytes > 3 * 4 * 57
    # What 12 and 12 layers keep of 50 and 77 tokens for backward: at least a dozen arrays as wide as they are, each.
    assert 4e-6 * 12 * 12 * (50 * 768 + 77 * 512) < found["fine-tune"].each < 500
    assert found["replace"].megabytes < 200


def test_a_failure_is_told():
    with pytest.raises(RuntimeError, match="(?s)could not be measured.*KeyError: 'no such work'"):
        measured_apart(estimates._measure, [Task("no such work", 1, "cpu", 1)])


def test_marks_show_the_hours():
    rows = estimate_rows(PAPER, ONE_SECOND, tasks("cpu"))
    ax = hours_of_steps(plt.figure().subplots(), rows)
    shown = np.concatenate([marks.get_offsets()[:, 0] for marks in ax.collections])
    assert np.sort(shown).tolist() == pytest.approx(np.sort(rows.hours).tolist())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(STEPS.values())
    plt.close(ax.figure)
