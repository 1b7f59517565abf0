"""The loop's own promises: guarded updates, budgets, one network at a time."""

import itertools
from typing import Any

import pytest
import torch

from mien.core.types import Batch, Phase, Progress
from mien.models import lite
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.precision import choose, probe
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = lite.Config(batch_size=8, z_dim=8, width_g=4, width_d=4)


def make(trainable: lite.Lite | None = None) -> tuple[Training, Stream]:
    torch.manual_seed(0)
    dataset = ArrayDataset()
    training = Training(trainable or lite.build(SMALL, dataset.spec), 0, CPU)
    return training, Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)


class NanOnce(lite.Lite):
    """Its generator's loss is not a number at the third step."""

    def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        loss, logs = super().loss(phase, batch)
        if phase.name == "g" and self._step == 2:
            loss = loss * float("nan")
        return loss, logs

    def begin_step(self, progress: Progress) -> None:
        self._step = progress.step
        super().begin_step(progress)


def test_an_update_that_is_not_finite_is_withheld() -> None:
    training, stream = make(NanOnce(SMALL, ArrayDataset().spec))
    steps = [s.finite for s in itertools.islice(train(training, stream, Budget()), 5)]
    assert steps == [True, True, False, True, True]
    weights = training.trainable.networks["g"].parameters()
    assert all(bool(torch.isfinite(weight).all()) for weight in weights)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(nimg=80), 0.5),
        (Budget(seconds=10), 0.4),
        (Budget(nimg=80, seconds=5), 0.8),
        (Budget(), 0.0),
        (Budget(nimg=10), 1.0),
    ],
)
def test_the_fraction_is_of_whichever_ends_first(budget: Budget, expected: float) -> None:
    assert budget.fraction(40, 4.0) == pytest.approx(expected)


def test_training_ends_with_its_budget_and_can_be_extended() -> None:
    training, stream = make()
    assert len(list(train(training, stream, Budget(nimg=40)))) == 5
    assert list(train(training, stream, Budget(nimg=40))) == []
    assert [step.nimg for step in train(training, stream, Budget(nimg=56))] == [48, 56]


def test_a_phase_leaves_the_other_network_without_gradient() -> None:
    training, stream = make()
    next(train(training, stream, Budget()))
    g, d = training.trainable.networks["g"], training.trainable.networks["d"]
    assert all(p.requires_grad for p in g.parameters())  # the last phase was the generator's
    assert not any(p.requires_grad for p in d.parameters())


def test_bfloat16_stays_close_to_float32() -> None:
    results = []
    for precision in (torch.float32, torch.bfloat16):
        training, stream = make()
        training.precision = precision
        first = next(train(training, stream, Budget())).values
        results.append(first["Loss/D/loss"])
    assert results[0] != results[1]
    assert results[0] == pytest.approx(results[1], rel=0.05)


def test_the_probe_measures_both_and_leaves_no_trace() -> None:
    training, stream = make()
    before = training.trainable.networks["g"].state_dict()["layers.0.weight"].clone()
    speeds = probe(lambda: lite.build(SMALL, ArrayDataset().spec), stream, CPU, rounds=1)
    assert set(speeds) == {"fp32", "bf16"}
    assert min(speeds.values()) > 0
    assert torch.equal(before, training.trainable.networks["g"].state_dict()["layers.0.weight"])


def test_bfloat16_must_win_clearly() -> None:
    assert choose({"fp32": 100.0, "bf16": 104.0}) == "fp32"
    assert choose({"fp32": 100.0, "bf16": 130.0}) == "bf16"
    assert choose({"fp32": 100.0}) == "fp32"
