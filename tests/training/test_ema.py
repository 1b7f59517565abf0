"""Averages follow their half-life, counted in images."""

import pytest
import torch
from torch import nn

from mien.training.loop import Averages


def updated(half_life: float, batches: list[int]) -> float:
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    averages = Averages({"g": network})
    nn.init.ones_(network.weight)
    for nimg in batches:
        averages.update({"g": network}, {"g": half_life}, nimg)
    return averages.networks["g"].weight.item()


def test_half_the_way_after_a_half_life() -> None:
    assert updated(100, [100]) == pytest.approx(0.5)
    assert updated(100, [200]) == pytest.approx(0.75)


def test_batch_size_does_not_matter() -> None:
    assert updated(100, [10] * 10) == pytest.approx(updated(100, [50, 50]), rel=1e-5)


def test_zero_copies() -> None:
    assert updated(0, [1]) == 1.0


def test_batch_norm_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm2d(2)
    averages = Averages({"g": network})
    network.train()
    network(torch.randn(8, 2, 3, 3) * 5 + 10)
    averages.update({"g": network}, {"g": 100}, 100)
    average = averages.networks["g"]
    assert torch.allclose(average.running_mean, network.running_mean / 2, atol=1e-6)
    assert average.num_batches_tracked == 1
    assert not average.training
