"""Killed five times at random moments and started again, work ends in what it ends in undisturbed."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_problem import three_subjects

from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.store import UNFINISHED, DamagedCache, cached_arrays, cached_map, cached_rows, prepare_folder
from ctrh.training import TrainConfig

EPOCHS, ROWS = 40, 2000


def work(cache: Path) -> dict[str, np.ndarray]:
    """Everything that is stored on the way to a result: rows in chunks, a map, checkpoints, the result."""
    os.environ["CTRH_CACHE"] = str(cache)
    prepare_folder(cache, "")
    torch.set_num_threads(1)

    def squares(rows: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(0.01)
        return {"squares": rows**2}

    def pictures():
        for number in range(ROWS):
            yield np.full((8, 8), number % 251, dtype=np.uint8)

    def result() -> dict[str, np.ndarray]:
        features, tags, text, _ = three_subjects()
        hasher = CTRH(CTRHConfig(8, heads=3, train=TrainConfig(EPOCHS, batch_size=8)))
        history = hasher.fit(features, tags, text, cache / "training")
        return {"loss": history["loss"].to_numpy(), "codes": hasher.encode(features)}

    rows = cached_rows("rows", "k", np.arange(ROWS), squares, at_once=50)
    pixels = cached_map(cache / "pixels.npy", ROWS, pictures)
    return {**rows, "pixels": np.asarray(pixels), **cached_arrays("results", "k", result)}


def start(cache: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work, args=(cache,))
    process.start()
    return process


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path):
    whole, killed, random_moments = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    began = time.monotonic()
    undisturbed = start(whole)
    undisturbed.join()
    takes = time.monotonic() - began
    assert undisturbed.exitcode == 0
    codes = []
    for _ in range(5):
        process = start(killed)
        process.join(random_moments.uniform(0, 0.7 * takes))
        process.kill()
        process.join()
        codes.append(process.exitcode)
    assert -9 in codes
    with warnings.catch_warnings():
        warnings.simplefilter("error", DamagedCache)  # a kill damages nothing
        expected, found = work(whole), work(killed)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert not list(killed.rglob(f"{UNFINISHED}*"))
