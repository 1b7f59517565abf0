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
    blocks = kernel._blocks(600, 500, np.random.RandomState(0))
    assert len(blocks) == 5
    for side, num in ((0, 600), (1, 500)):
        rows = np.concatenate([block[side] for block in blocks])
        assert len(set(rows.tolist())) == len(rows) == num


def test_a_much_larger_side_is_thinned(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 50)
    ((left, right),) = kernel._blocks(10_000, 40, np.random.RandomState(0))
    assert (len(left), len(right)) == (100, 40)


@pytest.mark.slow
def test_many_pictures_are_measured_in_seconds():
    rng = np.random.RandomState(5)
    values = compute(rng.randn(50_000, 16).astype(np.float32), rng.randn(2_100, 16).astype(np.float32))
    assert abs(values["kernel"]) < 4 * (values["kernel_high"] - values["kernel_low"])


def written_out(real, fake, one, two):
    """The estimate of a resample: image i of a side `one[i]` or `two[i]` times, no image with its copies."""
    dims = real.shape[1]
    xx, yy, xy = ((a @ b.T / dims + 1) ** 3 for a, b in ((real, real), (fake, fake), (real, fake)))

    def within(k, a):
        pairs = np.outer(a, a) * (1 - np.eye(len(a)))
        return (pairs * k).sum() / (len(a) * (len(a) - 1))

    return within(xx, one) + within(yy, two) - 2 * one @ xy @ two / (len(one) * len(two))


def test_a_resample_adds_what_the_sums_written_out_say(monkeypatch):
    """Without the shrinking: the linear and the quadratic part together are the resample's own estimate."""
    rng = np.random.RandomState(6)
    real, fake = rng.randn(9, 3), rng.randn(7, 3) + 1
    monkeypatch.setattr(kernel, "_influence", lambda influence, error: influence - influence.mean())
    drawn = []
    excess = kernel._excess

    def remembered(count, generator):
        drawn.append(excess(count, generator))
        return drawn[-1]

    monkeypatch.setattr(kernel, "_excess", remembered)
    value, added = kernel._draws(
        kernel._grams(torch.from_numpy(real), torch.from_numpy(fake)), np.random.default_rng(0)
    )
    assert value == pytest.approx(written_out(real, fake, np.ones(9), np.ones(7)), rel=1e-10)
    for index in (0, 7, 400):
        one, two = (part[index].numpy() + 1 for part in drawn)
        # Centring takes the image's own mean out of pairs, which its copies would have been part of.
        centred = written_out(real, fake, one, two)
        off = sum(
            ((a - 1) ** 2).sum() * k for a, k in ((one, _mean_pair(real) / 72), (two, _mean_pair(fake) / 42))
        )
        twist = sum(
            2 * ((a - 1) ** 2 * (_own(part) - _own(part).mean())).sum() / (len(a) * (len(a) - 1))
            for a, part in ((one, real), (two, fake))
        )
        assert value + added[index] == pytest.approx(centred + off + twist, rel=1e-9)


def _own(part):
    k = (part @ part.T / part.shape[1] + 1) ** 3
    np.fill_diagonal(k, 0)
    return k.sum(1) / (len(k) - 1)


def _mean_pair(part):
    return _own(part).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "count"), [(0.0, 60), (0.15, 60), (1.0, 60), (0.15, 250)])
def test_the_interval_covers_the_truth_as_often_as_it_says(shift, count):
    """Against the estimate's own spread over new images, and its exact mean for unit Gaussians in 4-d."""
    rng = np.random.RandomState(7)
    trials = [compute(rng.randn(count, 4), rng.randn(count, 4) + shift) for _ in range(60)]
    values = np.array([trial["kernel"] for trial in trials])
    truth = exact(shift, 4)
    covered = np.mean([trial["kernel_low"] <= truth <= trial["kernel_high"] for trial in trials])
    widths = np.array([trial["kernel_high"] - trial["kernel_low"] for trial in trials])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
    assert covered >= 0.88
    assert 0.75 < widths.mean() / (2 * 1.96 * values.std()) < 1.4


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
