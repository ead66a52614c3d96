"""The training loop: order, resuming bit for bit, what stops it, what it leaves alone."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ctrh.losses import MIRFLICKR
from ctrh.methods.ctrh import CTRHNetwork
from ctrh.network import TagWeighting
from ctrh.store import DamagedCache
from ctrh.training import CheckpointMismatch, TrainConfig, TrainingData, TrainingDiverged, _rows, train

CONFIG = TrainConfig(epochs=4, batch_size=4, lr_head=0.1, lr_tags=0.02, schedule="cosine", seed=3)


def network(seed: int = 0) -> CTRHNetwork:
    """With dropout, so that the random generators matter."""
    torch.manual_seed(seed)
    weighting = TagWeighting(8, heads=2, dropout=0.5)
    return CTRHNetwork(nn.Identity(), 5, 6, torch.randn(7, 8), MIRFLICKR, weighting)


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    tag_ids = torch.randint(-1, 7, (18, 3), generator=generator)
    return TrainingData(torch.randn(18, 5, generator=generator), {"tag_ids": tag_ids})


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


class Diary(nn.Module):
    """A method of one weight that notes which images each step is given."""

    def __init__(self, losses: list[float] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0, 1.0]))
        self.steps: list[list[int]] = []
        self.begun: list[tuple[int, int, int]] = []
        self.losses = iter(losses or [])

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).sigmoid()

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.steps.append(batch["name"].tolist())
        value = next(self.losses, 1.0)
        return self.weight.sum() * value, {"good": torch.tensor(1.0), "bad": torch.tensor(value)}

    def parameter_groups(self, config: TrainConfig) -> list[dict]:
        return [{"name": "all", "lr": config.lr_head, "params": [self.weight]}]

    def paces(self, epoch: int) -> dict[str, float]:
        return {"all": 1.0}

    def begin_epoch(self, epoch: int, data: TrainingData) -> None:
        self.begun.append((epoch, len(data), len(self.steps)))


def names(count: int) -> TrainingData:
    return TrainingData(torch.arange(float(count))[:, None], {"name": torch.arange(count)})


def test_each_epoch_sees_whole_batches_in_another_order_and_no_image_twice():
    model = Diary()
    records = list(train(model, names(11), TrainConfig(epochs=3, batch_size=4)))
    assert [len(step) for step in model.steps] == [4] * 6
    epochs = [sum(model.steps[i : i + 2], []) for i in (0, 2, 4)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert set().union(*epochs) == set(range(11))
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert model.begun == [(epoch, 11, 2 * epoch) for epoch in range(3)]


def test_images_fewer_than_a_batch_are_one_batch():
    model = Diary()
    list(train(model, names(3), TrainConfig(epochs=2)))
    assert [sorted(step) for step in model.steps] == [[0, 1, 2]] * 2


def test_devices_share_an_epoch_without_overlap():
    config = TrainConfig(batch_size=3)
    ranks = [
        _rows(names(20), config, SimpleNamespace(world_size=2, global_rank=rank), epoch=5) for rank in (0, 1)
    ]
    assert [len(rows) for rows in ranks] == [3, 3]
    seen = torch.cat([torch.cat(rows) for rows in ranks]).tolist()
    assert len(set(seen)) == len(seen) == 18
    with pytest.raises(ValueError, match="cannot feed 2 devices"):
        _rows(names(1), config, SimpleNamespace(world_size=2, global_rank=0), epoch=0)


def test_a_step_is_sgd_with_momentum_decay_and_schedule():
    """Loss w_0 + w_1 has gradient one; two epochs of one step, done by hand."""
    model = Diary()
    config = TrainConfig(epochs=2, lr_head=0.1, momentum=0.5, weight_decay=0.01, schedule="cosine")
    list(train(model, names(2), config))
    w, velocity = torch.tensor([0.0, 1.0], dtype=torch.float64), 0
    for rate in (0.1, 0.1 * (1 + math.cos(math.pi / 2)) / 2):
        velocity = 0.5 * velocity + (1 + 0.01 * w)
        w = w - rate * velocity
    torch.testing.assert_close(model.weight.detach().double(), w)
    assert [TrainConfig(epochs=4).rate(epoch) for epoch in range(4)] == [1] * 4


def test_a_record_has_the_means_of_every_term_and_the_code_statistics(data):
    model = Diary(losses=[1.0, 3.0])
    (record,) = train(model, names(8), TrainConfig(epochs=1, batch_size=4, lr_head=0.0))
    assert (record["good"], record["bad"], record["loss"]) == (1, 2, 2)
    (record,) = train(network(), data, replace(CONFIG, epochs=1))
    terms = {"loss", "quantisation", "hinge", "similarity", "tag_balanced"}
    assert terms | {"unique_codes", "bit_balance", "dead_bits", "mean_deviation", "note"} < record.keys()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(data):
    runs = []
    for seed in (3, 3, 4):
        model = network()
        torch.rand(seed * 7)  # whatever else drew random numbers before must not matter
        records = list(train(model, data, replace(CONFIG, seed=seed)))
        runs.append((state(model), records))
    assert_same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0]["hash.weight"], runs[2][0]["hash.weight"])


def test_training_learns(data):
    model = network()
    losses = [record["loss"] for record in train(model, data, replace(CONFIG, epochs=10))]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("every", [1, 2])
def test_resuming_equals_never_having_stopped(data, tmp_path, stop, every):
    config = replace(CONFIG, checkpoint_every=every)
    undisturbed = network()
    expected = list(train(undisturbed, data, config))
    checkpoint = tmp_path / "run.pt"
    first = train(network(), data, config, checkpoint)
    for _ in range(stop):
        next(first)
    first.close()
    resumed = network(seed=99)  # its weights must all come out of the checkpoint
    resumed.text.copy_(undisturbed.text)
    if not checkpoint.exists():
        resumed = network()
    assert list(train(resumed, data, config, checkpoint)) == expected
    assert_same(state(resumed), state(undisturbed))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.pt", "run.pt.sha256"]


class Interrupted(Dataset):
    """Pictures of which reading stops for good after a while, as Ctrl-C does it."""

    def __init__(self, values: Tensor, left: float) -> None:
        self.values, self.left, self.key = values, left, "the same pictures"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.values[row]


def test_a_stop_in_the_middle_of_an_epoch_costs_that_epoch_only(data, tmp_path):
    undisturbed, resumed = network(), network()
    # An epoch reads 16 of 18 pictures to train and all 18 for the statistics: this is within the third.
    broken = TrainingData(Interrupted(data.inputs, 2 * 34 + 7), data.targets)
    with pytest.raises(KeyboardInterrupt):
        list(train(resumed, broken, CONFIG, tmp_path / "run.pt"))
    whole = TrainingData(Interrupted(data.inputs, math.inf), data.targets)
    expected = list(train(undisturbed, whole, CONFIG))
    assert list(train(resumed, whole, CONFIG, tmp_path / "run.pt")) == expected
    assert_same(state(resumed), state(undisturbed))


def test_pictures_and_tensors_train_the_same(data):
    models = network(), network()
    for model, inputs in zip(models, (data.inputs, Interrupted(data.inputs, math.inf))):
        list(train(model, TrainingData(inputs, data.targets), CONFIG))
    assert_same(*map(state, models))


def test_pictures_may_be_read_by_workers(data):
    models = network(), network()
    pictures = TrainingData(Interrupted(data.inputs, math.inf), data.targets)
    for model, workers in zip(models, (0, 1)):
        list(train(model, pictures, replace(CONFIG, epochs=1, workers=workers)))
    assert_same(*map(state, models))


def test_a_finished_run_is_read_back_without_training(data, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.pt"
    model = network()
    expected = list(train(model, data, CONFIG, checkpoint))
    again = network()
    monkeypatch.setattr(CTRHNetwork, "loss", lambda self, batch: pytest.fail("trained again"))
    assert list(train(again, data, CONFIG, checkpoint)) == expected
    assert_same(state(again), state(model))


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    checkpoint = tmp_path / "run.pt"
    list(train(network(), data, replace(CONFIG, epochs=1), checkpoint, key="a"))
    other = TrainingData(data.inputs + 1, data.targets)
    for changed in (
        (data, replace(CONFIG, epochs=2), "a"),
        (data, replace(CONFIG, epochs=1), "b"),
        (other, replace(CONFIG, epochs=1), "a"),
    ):
        with pytest.raises(CheckpointMismatch, match="another file or delete"):
            next(train(network(), changed[0], changed[1], checkpoint, changed[2]))
    unnamed = TrainingData([1, 2], {})
    with pytest.raises(ValueError, match="needs a `key`"):
        next(train(network(), unnamed, CONFIG, tmp_path / "other.pt"))


def test_a_damaged_checkpoint_counts_as_none(data, tmp_path):
    checkpoint = tmp_path / "run.pt"
    expected = list(train(network(), data, CONFIG, checkpoint))
    whole = bytearray(checkpoint.read_bytes())
    flipped = whole.copy()
    flipped[len(whole) // 2] ^= 1
    for damaged in (flipped, whole[: len(whole) // 2], b"", pickle.dumps(print)):
        checkpoint.write_bytes(damaged)
        with pytest.warns(DamagedCache, match="run.pt"):
            assert list(train(network(), data, CONFIG, checkpoint)) == expected


def test_checkpoints_hold_plain_data_only(data, tmp_path):
    training = train(network(), data, replace(CONFIG, epochs=2), tmp_path / "run.pt")
    for epoch in (1, 2):
        next(training)
        stored = torch.load(tmp_path / "run.pt", weights_only=True)
        assert stored["config"]["lr_head"] == 0.1 and len(stored["records"]) == epoch
        # Momentum is for going on, and a finished run does not.
        groups = stored["optimiser"] and [group["name"] for group in stored["optimiser"]["param_groups"]]
        assert "head" in groups if epoch == 1 else groups is None


def test_groups_that_rest_do_not_move(data):
    model = network()
    model.alternate = 2
    before = state(model)
    for record in train(model, data, CONFIG):
        now = state(model)
        moved = {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}
        assert moved == ({"weighting"} if record["epoch"] <= 2 else {"hash", "mapping"})
        before = now


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_term():
    model = Diary(losses=[1.0] * 4 + [math.nan])
    with pytest.raises(
        TrainingDiverged, match="'bad' is not finite in epoch 3, step 1: lower the learning"
    ) as error:
        list(train(model, names(8), TrainConfig(epochs=5, batch_size=4)))
    assert (error.value.term, error.value.epoch, error.value.step) == ("bad", 3, 1)


def test_broken_inputs_are_named_as_the_cause(data):
    data.inputs[3, 2] = math.inf
    with pytest.raises(TrainingDiverged, match="inputs hold NaN or infinite"):
        list(train(network(), data, CONFIG))


class Overflowing(Diary):
    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.weight.sum() * math.inf, {"good": torch.tensor(1.0)}


def test_a_sum_that_overflows_is_blamed_on_the_loss():
    with pytest.raises(TrainingDiverged, match="'loss'"):
        list(train(Overflowing(), names(4), TrainConfig(epochs=1)))


def test_the_callers_generators_and_modes_are_left_alone(data, capsys):
    model = network().eval()
    before = torch.get_rng_state()
    for _ in train(model, data, CONFIG):
        assert torch.equal(torch.get_rng_state(), before)
        assert not any(module.training for module in model.modules())
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""  # no bar where there is no terminal


def test_a_collapse_is_in_the_record():
    model = Diary()
    records = list(train(model, names(4), TrainConfig(epochs=1, lr_head=0.0)))
    assert "collapsed" not in records[0]["note"]
    nn.init.ones_(model.weight)
    same = TrainingData(torch.ones(4, 1), {"name": torch.arange(4)})
    assert "collapsed: 1 distinct among 4" in next(train(model, same, TrainConfig(epochs=1)))["note"]


def test_half_precision_trains_like_full_precision(data):
    """bf16 has 8 bits of mantissa: a hundredth of the way, not of the place."""
    way, runs = {}, []
    for precision in ("32-true", "bf16-mixed"):
        model = network()
        for module in model.modules():
            module.p = 0.0  # dropout would be drawn in another order
        before = state(model)
        runs.append(list(train(model, data, replace(CONFIG, precision=precision))))
        way[precision] = torch.cat([(state(model)[name] - before[name]).flatten() for name in before])
    losses = [[record["loss"] for record in records] for records in runs]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.01)
    full, half = way.values()
    assert 0 < (full - half).norm() < 0.05 * full.norm()
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 0}, {"lr_head": -1.0}, {"schedule": "x"}, {"monitor": 0}, {"workers": -1}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


def test_data_must_match_row_for_row():
    with pytest.raises(ValueError, match="tag_ids has 2 rows for 3 images"):
        TrainingData(torch.zeros(3, 1), {"tag_ids": torch.zeros(2, 1)})
    with pytest.raises(ValueError, match="no image"):
        TrainingData(torch.zeros(0, 1), {})
