"""Small networks of all methods that compare images in pairs, trained on as many devices as there are processes.

With the environment variables of torchrun; processes that are forked off spare each its imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ctrh.losses import MIRFLICKR
from ctrh.methods.ctrh import CTRHNetwork
from ctrh.methods.fjsph import FJSPH, FJSPHConfig, FJSPHNetwork
from ctrh.methods.mgrn import MGRNConfig, MGRNNetwork
from ctrh.methods.wdht import WDHTConfig, WDHTNetwork
from ctrh.methods.wshrca import WSHRCAConfig, WSHRCANetwork
from ctrh.network import TagWeighting
from ctrh.training import TrainConfig, TrainingData, train

# Of 25 images, three steps of 8 on one device or of twice 4 on two.
STEPS = TrainConfig(epochs=1, batch_size=8, lr_head=0.1, lr_tags=0.1, lr_backbone=0.1, precision="64-true")


def networks() -> dict[str, nn.Module]:
    """By method; without dropout, which each device draws for itself."""
    torch.manual_seed(0)
    text, train_config = torch.randn(7, 8), TrainConfig(epochs=2)
    scales = torch.zeros(4), torch.ones(4), torch.zeros(3), torch.ones(3)
    facts = dict(zip(FJSPH.facts, (*scales, torch.randn(2, 6).sign()), strict=True))
    return {
        "CTRH": CTRHNetwork(nn.Linear(5, 4), 4, 6, text, MIRFLICKR, TagWeighting(8, heads=2, dropout=0.0)),
        "WDHT": WDHTNetwork(
            nn.Linear(5, 4), 4, text, WDHTConfig(bits=6, hidden=3), word_weights=torch.ones(7)
        ),
        "MGRN": MGRNNetwork(nn.Linear(5, 4), 4, text, MGRNConfig(bits=6)),
        "WSHRCA": WSHRCANetwork(
            nn.Linear(5, 4), 4, text, WSHRCAConfig(bits=6, heads=2, ffn=8, dropout=0.0, train=train_config)
        ),
        "FJSPH": FJSPHNetwork(nn.Linear(5, 4), facts, FJSPHConfig(bits=6, width=5, dropout=0.0)),
    }


def data() -> TrainingData:
    """One tag each: then nothing is drawn when MGRN hides a tag."""
    generator = torch.Generator().manual_seed(1)
    tag_ids = torch.randint(7, (25, 1), generator=generator)
    features = torch.randn(25, 8, generator=generator, dtype=torch.float64)
    targets = {"tag_ids": tag_ids, "text": features[:, 5:], "labels": tag_ids % 2 == torch.arange(2)}
    return TrainingData(features[:, :5], targets)


def learned(config: TrainConfig, folder: Path | None = None) -> dict[str, Tensor]:
    """Every weight after the last step, its last gradient, and the record, by method and name."""
    found = {}
    for method, network in networks().items():
        (record,) = train(network, data(), config, folder and folder / f"{method}.pt")
        for name, parameter in network.named_parameters():
            found[f"{method} {name}"] = parameter.detach()
            if parameter.grad is not None:
                found[f"{method} {name} gradient"] = parameter.grad
        numbers = [value for value in record.values() if not isinstance(value, str)]
        found[f"{method} record"] = torch.tensor(numbers, dtype=torch.float64)
    return found


def on_two_devices(folder: Path) -> list[dict[str, Tensor]]:
    """:func:`learned` by each of two processes, with half the batch each."""
    context = get_context("fork")
    processes = [context.Process(target=_device, args=(rank, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"device-{rank}", weights_only=True) for rank in (0, 1)]


def _device(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    os.environ.update({name: str(value) for name, value in place.items()}, TORCHELASTIC_RUN_ID="test")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    # Met in a file: Fabric takes the group that is there, and no port has to be free.
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    config = replace(STEPS, batch_size=4, devices=2)
    first = learned(config, folder)
    again = learned(config, folder)  # out of the checkpoints, which one device wrote
    assert all(torch.equal(first[name], again[name]) for name in again)
    torch.save(first, folder / f"device-{rank}")
    dist.destroy_process_group()


def under_torchrun(folder: Path) -> list[dict[str, Tensor]]:
    """The same by this file as a script of a user, which ``torchrun`` starts twice."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run([*command, str(folder)], env={**os.environ, **own}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"torchrun-{rank}", weights_only=True) for rank in (0, 1)]


if __name__ == "__main__":
    found = learned(replace(STEPS, batch_size=4, devices=2))
    torch.save(found, Path(sys.argv[1]) / f"torchrun-{os.environ['RANK']}")
