"""Kernel distance against torchmetrics and a plain double loop."""

import warnings

import numpy as np
import pytest
import torch

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.metrics import kernel
from mien.metrics.kernel import compute

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.image.kid import poly_mmd


class TestContract(MetricContract):
    metric = "kernel"
    symmetric = ("kernel",)


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


@pytest.mark.slow
def test_the_estimate_is_unbiased_so_equal_distributions_average_to_nothing():
    rng = np.random.RandomState(2)
    values = [compute(rng.randn(60, 4), rng.randn(60, 4))["kernel"] for _ in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_blocks_agree_with_the_whole_and_use_nobody_twice(monkeypatch):
    rng = np.random.RandomState(3)
    real, fake = rng.randn(600, 8), rng.randn(500, 8) + 0.3
    whole = compute(real, fake)
    monkeypatch.setattr(kernel, "BLOCK", 120)
    parts = compute(real, fake)
    assert parts["kernel"] != whole["kernel"]
    assert whole["kernel_low"] < parts["kernel"] < whole["kernel_high"]
    sides = [np.arange(num, dtype=float)[:, None] for num in (600, 500)]
    blocks = list(kernel._blocks(0, *sides))
    assert len(blocks) == 5
    for rows, num in zip(zip(*blocks, strict=True), (600, 500), strict=True):
        assert torch.cat(rows).flatten().sort().values.tolist() == list(range(num))


def test_a_much_larger_side_is_thinned(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 50)
    ((left, right),) = kernel._blocks(0, np.zeros((10_000, 1)), np.zeros((40, 1)))
    assert (len(left), len(right)) == (100, 40)


@pytest.mark.slow
def test_many_pictures_are_measured_in_seconds():
    rng = np.random.RandomState(5)
    values = compute(rng.randn(50_000, 16).astype(np.float32), rng.randn(2_100, 16).astype(np.float32))
    assert abs(values["kernel"]) < 4 * (values["kernel_high"] - values["kernel_low"])


def sets(rng, count, shift=0.0, scale=1.0, dims=4):
    return rng.randn(count, dims), rng.randn(count, dims) * scale + shift


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.3, 1.0), (1.0, 0.6)])
def test_the_variance_in_closed_form_is_that_of_new_images(shift, scale):
    """On average, of sides with different numbers; influences alone are far above it where they agree."""
    rng = np.random.RandomState(7)
    parts = []
    for _ in range(1500):
        real, fake = sets(rng, 25, shift, scale)
        parts.append(kernel._moments(kernel._grams(*map(torch.from_numpy, (real, fake[:18])))))
    values, _, linear, influences, quadratic = np.transpose(parts)
    assert (linear + quadratic).mean() == pytest.approx(values.var(), rel=0.12)
    assert influences.mean() > linear.mean()
    assert abs(linear.mean()) < 0.1 * quadratic.mean() or shift


@pytest.mark.parametrize(("shift", "count"), [(0.0, 40), (0.15, 40), (1.0, 40), (0.15, 160)])
def test_the_interval_holds_the_truth_as_often_as_it_says(shift, count):
    """The exact distance of unit Gaussians in four dimensions; the bootstrap held 0 in 99 of 100 trials."""
    rng = np.random.RandomState(7)
    trials = [compute(*sets(rng, count, shift)) for _ in range(400)]
    truth = exact(shift, 4)
    values = np.array([trial["kernel"] for trial in trials])
    assert abs(values.mean() - truth) < 4 * values.std() / 20
    held = np.mean([trial["kernel_low"] <= truth <= trial["kernel_high"] for trial in trials])
    assert 0.92 <= held <= 0.98


def test_the_interval_holds_the_estimate_and_copies_are_nearer_than_chance():
    rng = np.random.RandomState(8)
    for shift in (0.0, 0.2, 3.0):
        values = compute(*sets(rng, 30, shift))
        assert values["kernel_low"] < values["kernel"] < values["kernel_high"]
    real, _ = sets(rng, 60)
    assert compute(real, real + rng.randn(*real.shape) * 0.01)["kernel_high"] < 0


def test_differences_are_those_of_the_estimates_and_shared_images_fall_out():
    rng = np.random.RandomState(9)
    real, one = sets(rng, 50, 0.2)
    other = rng.randn(50, 4) + 0.5
    apart = kernel.differences(real, [one, other, one])
    expected = compute(real, one)["kernel"] - compute(real, other)["kernel"]
    assert apart[0, 1, 0] == pytest.approx(expected, rel=1e-9)
    assert apart[1, 0].tolist() == (-apart[0, 1, [0, 2, 1]]).tolist()
    assert apart[0, 2].tolist() == [0, 0, 0]


def test_the_difference_of_equally_good_models_holds_nothing_as_often_as_it_says():
    """Both are as far off, in opposite directions."""
    rng = np.random.RandomState(10)
    held = 0
    for _ in range(300):
        real, one = sets(rng, 40, 0.3)
        _, low, high = kernel.differences(real, [one, sets(rng, 40, -0.3)[1]])[0, 1]
        held += low <= 0 <= high
    assert 0.92 <= held / 300 <= 0.98


def exact(shift, dims):
    """E k(x, x') + E k(y, y') - 2 E k(x, y) for N(0, 1) and N(shift, 1): moments of a.b with a, b normal."""

    def mean_of(s, t):  # of (z / dims + 1)^3, z the sum over numbers of (s + e)(t + f), e and f normal
        first = s * t
        second = (s * s + 1) * (t * t + 1)
        third = (s**3 + 3 * s) * (t**3 + 3 * t)
        k1, k2 = first, second - first**2
        k3 = third - 3 * second * first + 2 * first**3
        m1, v, c = dims * k1, dims * k2, dims * k3
        raw2, raw3 = v + m1**2, c + 3 * v * m1 + m1**3
        return raw3 / dims**3 + 3 * raw2 / dims**2 + 3 * m1 / dims + 1

    return mean_of(0, 0) + mean_of(shift, shift) - 2 * mean_of(0, shift)


def test_order_of_the_pictures_is_nothing_when_all_are_used():
    rng = np.random.RandomState(4)
    real, fake = rng.randn(50, 4), rng.randn(50, 4) + 1
    assert compute(real[::-1], fake)["kernel"] == pytest.approx(compute(real, fake)["kernel"], rel=1e-12)


def test_one_picture_is_refused():
    with pytest.raises(InputError, match="two images"):
        compute(np.zeros((1, 4)), np.zeros((9, 4)))
    assert list(compute(np.eye(3), np.eye(3))) == ["kernel"]
