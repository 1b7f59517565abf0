"""95 % intervals: against closed forms, and how often they hold the truth."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from mien.metrics import _intervals, classifier_score, frechet, kernel, prdc


def test_of_a_mean_is_students():
    values = np.random.RandomState(0).randn(20) + 3
    from scipy.stats import ttest_1samp

    expected = ttest_1samp(values, 0).confidence_interval()
    assert _intervals.of_mean(values) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("hits", "count"), [(0, 50), (7, 50), (50, 50)])
def test_of_a_share_is_wilsons(hits, count):
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert _intervals.of_share(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_error_by_parts_is_that_of_a_mean():
    x, y = np.random.RandomState(0).randn(2, 400)
    errors = [
        _intervals.error_by_parts(400, 300, lambda a, b: np.array([x[a].mean() - 2 * y[b].mean()]), seed)
        for seed in range(8)
    ]
    assert np.mean(errors) == pytest.approx(np.sqrt(1 / 400 + 4 / 300), rel=0.2)


def test_the_error_by_parts_of_neighbours_is_that_of_new_rows():
    """Covered reals: a jackknife gives twice the error, a bootstrap finds each row nearest to itself."""

    def covered(x, y):
        own, other = (np.abs(x[:, None] - part) for part in (x, y))
        return np.array([(other.min(1) < np.sort(own, 1)[:, 2]).mean()])

    rng = np.random.RandomState(0)
    draws = rng.rand(150, 2, 120)
    spread = np.std([covered(x, y) for x, y in draws])
    errors = [
        _intervals.error_by_parts(120, 120, lambda a, b, x=x, y=y: covered(x[a], y[b]), 0, splits=24)
        for x, y in draws[:8]
    ]
    assert np.mean(errors) == pytest.approx(spread, rel=0.2)


def test_of_a_mean_of_counts_near_nothing():
    """A normal interval holds a mean of three cases in 86 %, and of none says that there is nothing."""
    counts = np.random.RandomState(0).poisson(3, 400)
    ends = np.array([_intervals.of_noisy_count(n / 50, n**0.5 / 50, 1 / 50) for n in counts])
    assert 0.92 < np.mean((ends[:, 0] <= 0.06) & (ends[:, 1] >= 0.06)) <= 0.985
    assert _intervals.of_noisy_count(0.0, 0.0, 0.01) == (0, pytest.approx(0.0251, rel=0.01))
    many = _intervals.of_noisy_count(1.0, 0.02, 0.01)
    assert many == pytest.approx(_intervals.around(1.0, 0.02, _intervals.FREEDOM), abs=0.002)


def covered(metric, name, make, *, trials):
    """How many intervals hold the mean of all values."""
    values = [metric(*make(np.random.RandomState(seed))) for seed in range(trials)]
    truth = np.mean([v[name] for v in values])
    return sum(v[f"{name}_low"] <= truth <= v[f"{name}_high"] for v in values)


def sets(rng, count=150, dims=12):
    spread = np.linspace(0.3, 1.5, dims)
    return rng.randn(count, dims) * spread, rng.randn(count, dims) * spread * 0.8 + 0.2


def equal_sets(rng, count=200, dims=12):
    spread = np.linspace(0.3, 1.5, dims)
    return rng.randn(count, dims) * spread, rng.randn(count, dims) * spread


def test_the_frechet_interval_of_equal_distributions_is_as_wide_as_chance():
    """Influences alone would make it 1.4 times as wide: they count the square of noise twice."""
    values = [frechet.compute(*equal_sets(np.random.RandomState(seed))) for seed in range(200)]
    widths = [each["frechet_high"] - each["frechet"] for each in values]
    spread = np.std([each["frechet"] for each in values], ddof=1)
    assert np.mean(widths) / (1.96 * spread) == pytest.approx(1, abs=0.15)


def classes(rng):
    return tuple(torch.from_numpy(rng.randn(300, 7) * 2).softmax(1).numpy() for _ in range(2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "name", "make"),
    [
        (kernel.compute, "kernel", sets),
        (frechet.compute, "frechet", sets),
        (prdc.compute, "precision_symmetric", sets),
        (prdc.compute, "density", sets),
        (classifier_score.compute, "classifier_score_fake", classes),
    ],
)
def test_intervals_hold_the_truth(metric, name, make):
    """Coarsely here; benchmarks/interval_coverage.py has thousands of trials."""
    trials = 30 if metric is prdc.compute else 60
    by_chance = binom.ppf(0.002, trials, 0.95)
    assert covered(metric, name, make, trials=trials) >= by_chance


def test_the_frechet_interval_narrows_with_the_root_of_the_number():
    def width(count):
        values = [frechet.compute(*sets(np.random.RandomState(seed), count)) for seed in range(5)]
        return np.mean([each["frechet_high"] - each["frechet"] for each in values])

    assert width(400) / width(1600) == pytest.approx(2, rel=0.2)
