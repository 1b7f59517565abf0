"""Kernel distance against torchmetrics and a plain double loop."""

import warnings

import numpy as np
import pytest
import torch

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.metrics.kernel import compute

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.image.kid import poly_mmd


class TestContract(MetricContract):
    metric = "kernel"
    symmetric = ("kernel", "kernel_std")


def test_agrees_with_torchmetrics_on_the_same_features():
    rng = np.random.RandomState(0)
    real, fake = rng.randn(300, 32), rng.randn(300, 32) + 0.2
    oracle = float(poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)))
    assert compute(real, fake)["kernel"] == pytest.approx(oracle, rel=1e-4)


def test_agrees_with_the_sums_written_out():
    rng = np.random.RandomState(1)
    real, fake = rng.randn(7, 3), rng.randn(7, 3)

    def k(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    within = sum(
        k(part[i], part[j]) / (7 * 6) for part in (real, fake) for i in range(7) for j in range(7) if i != j
    )
    between = sum(k(a, b) for a in real for b in fake) / 49
    assert compute(real, fake)["kernel"] == pytest.approx(within - 2 * between, rel=1e-10)


def test_the_estimate_is_unbiased_so_equal_distributions_average_to_nothing():
    rng = np.random.RandomState(2)
    values = [compute(rng.randn(60, 4), rng.randn(60, 4))["kernel"] for _ in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_subsets_agree_with_the_whole_within_their_spread():
    rng = np.random.RandomState(3)
    real, fake = rng.randn(600, 8), rng.randn(500, 8) + 0.3
    whole = compute(real[:500], fake)["kernel"]
    parts = compute(real, fake, subset_size=100)
    assert parts["kernel_std"] > 0
    assert abs(parts["kernel"] - whole) < parts["kernel_std"]


def test_order_of_the_pictures_is_nothing_when_all_are_used():
    rng = np.random.RandomState(4)
    real, fake = rng.randn(50, 4), rng.randn(50, 4) + 1
    assert compute(real[::-1], fake)["kernel"] == pytest.approx(compute(real, fake)["kernel"], rel=1e-12)


def test_one_picture_is_refused():
    with pytest.raises(InputError, match="two pictures"):
        compute(np.zeros((1, 4)), np.zeros((9, 4)))
