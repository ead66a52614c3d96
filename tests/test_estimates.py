"""Estimates: numbers multiplied by hand, what is measured at all, on disk and in memory."""

from dataclasses import replace

import open_clip
import pandas as pd
import pytest
import torch
from torch import nn

from ctrh.methods.ctrh import CTRHConfig
from ctrh.paper import estimates
from ctrh.paper.costs import Candidate
from ctrh.paper.estimates import (
    ENCODE,
    FINETUNE,
    LEARN,
    RANK,
    READ,
    SEE,
    STEPS,
    VIEW,
    disk_rows,
    estimate_rows,
)
from ctrh.paper.timing import measured_apart
from profiles.paper import PROFILE as PAPER

ONE_SECOND = pd.DataFrame({"seconds": 1.0, "megabytes": 100.0, "growth": 0.0, "batch": 4.0}, index=list(STEPS))
ONE_SECOND.loc[FINETUNE, "growth"] = 10.0


def of(rows, dataset, step):
    (row,) = rows[(rows.dataset == dataset) & (rows.step == step)].to_dict("records")
    return row


def test_hours_are_seconds_times_how_often():
    rows = estimate_rows(PAPER, ONE_SECOND)
    # Six methods, four lengths, three seeds, eighty epochs over NUS-WIDE's 10,500 training photos.
    assert of(rows, "nuswide", LEARN)["hours"] == pytest.approx(6 * 4 * 3 * 80 * 10_500 / 3600)
    assert of(rows, "nuswide", FINETUNE)["times"] == 30 * 10_500
    # All ten methods rank; the seconds are those of 100,000 codes.
    assert of(rows, "nuswide", RANK)["times"] == pytest.approx(10 * 12 * 5000 * 176_365 / 100_000)
    assert of(rows, "mirflickr", SEE)["times"] == 25_000 + 2 * 23_000
    assert (rows.hours == rows.times * rows.seconds / 3600).all() and len(rows) == 2 * len(STEPS)


def test_reading_during_training_is_counted():
    runs, photos, train = 6 * 4 * 3, 25_000, 23_000
    once = replace(PAPER, train=replace(PAPER.train, decoded=True))
    rows = estimate_rows(once, ONE_SECOND)
    seen = photos + 2 * train
    # Decoded photos are read once more; each training then cuts a view out of each in every epoch.
    assert of(rows, "mirflickr", READ)["times"] == seen + runs * photos + train
    assert of(rows, "mirflickr", VIEW)["times"] == runs * 80 * train == of(rows, "mirflickr", LEARN)["times"]
    assert of(rows, "mirflickr", ENCODE)["times"] == runs * photos
    anew = replace(PAPER, train=replace(PAPER.train, decoded=False))
    rows = estimate_rows(anew, ONE_SECOND)
    assert of(rows, "mirflickr", READ)["times"] == seen + runs * photos + runs * 80 * train
    assert of(rows, "mirflickr", VIEW)["times"] == 0


def test_memory_grows_with_the_batch():
    rows = estimate_rows(PAPER, ONE_SECOND)
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
    # AlexNet to fc7, mapping, hash layer and tag weighting of 64 bits: 241.8 MB, 72 times.
    assert rows["nuswide", "weights of all trainings"] == pytest.approx(72 * 0.2418, rel=1e-3)


class TinyClip(nn.Module):
    context_length = 4

    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(3 * 224 * 224, 2), nn.Embedding(1000, 2)

    def encode_image(self, pixels):
        return self.image(pixels.flatten(1))

    def forward(self, pixels, tokens):
        return self.encode_image(pixels), self.text(tokens).mean(dim=1), torch.ones(())


@pytest.mark.parametrize("step", STEPS)
def test_each_step_does_what_it_measures(step, monkeypatch):
    small = Candidate("CTRH", CTRHConfig(bits=8), "small-alexnet", None, (estimates.mirflickr.COMMON, 16))
    monkeypatch.setattr(open_clip, "CLIP", lambda **config: TinyClip())
    monkeypatch.setattr(estimates, "_network", small.build)
    monkeypatch.setattr(estimates, "RANKED", 50)
    with torch.inference_mode(step in (SEE, ENCODE)):
        STEPS[step][2](2, "cpu")()


def test_what_another_photo_keeps_is_its_pixels_and_a_little(monkeypatch):
    monkeypatch.setattr(open_clip, "CLIP", lambda **config: TinyClip())
    assert estimates.kept_a_photo("cpu") == pytest.approx(4e-6 * 3 * 224 * 224, rel=1e-3)


def test_a_step_is_measured_in_a_process_of_its_own():
    found = measured_apart(estimates._measure, (VIEW, 1, "cpu"))
    assert 0 < found["seconds"] < 60 and found["megabytes"] > 0 and found["growth"] == 0
