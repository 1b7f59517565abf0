"""Frechet distance against scipy and torchmetrics, and what it must not depend on."""

import warnings
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.metrics.frechet import advice, compute

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchmetrics' own deprecations
    from torchmetrics.image.fid import _compute_fid


class TestContract(MetricContract):
    metric = "frechet"
    symmetric = ("frechet",)
    perfect: ClassVar = {"frechet": 0.0}


def features(count, dims, *, seed, shift=0.0, low_rank=None):
    rng = np.random.RandomState(seed)
    mixing = np.random.RandomState(7).randn(low_rank or dims, dims)
    return (rng.randn(count, low_rank or dims) @ mixing + shift).astype(np.float32)


def by_sqrtm(real, fake):
    mean = np.square(real.mean(0, dtype=np.float64) - fake.mean(0, dtype=np.float64)).sum()
    a, b = np.cov(real.astype(np.float64).T), np.cov(fake.astype(np.float64).T)
    return mean + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)


@pytest.mark.parametrize("dims", [2, 24, 128])
def test_agrees_with_scipys_matrix_root(dims):
    real, fake = features(400, dims, seed=0), features(300, dims, seed=1, shift=0.3)
    assert compute(real, fake)["frechet"] == pytest.approx(by_sqrtm(real, fake), rel=1e-6)


def test_agrees_with_torchmetrics_on_the_same_features():
    real, fake = features(200, 24, seed=0), features(150, 24, seed=1, shift=0.2)
    (mean_r, cov_r), (mean_f, cov_f) = (
        (x.mean(0), x.T.cov()) for x in (torch.from_numpy(part).double() for part in (real, fake))
    )
    oracle = float(_compute_fid(mean_r, cov_r, mean_f, cov_f))
    assert compute(real, fake)["frechet"] == pytest.approx(oracle, rel=1e-4)


def test_known_gaussians_in_one_dimension():
    rng = np.random.RandomState(0)
    unit = rng.randn(5000, 1)
    unit = (unit - unit.mean()) / unit.std(ddof=1)
    # |mu|^2 + (s1 - s2)^2 for one dimension
    assert compute(unit, 3 * unit + 2)["frechet"] == pytest.approx(2**2 + (3 - 1) ** 2, rel=1e-9)


def test_singular_covariances_stay_finite_and_exact():
    real, fake = features(30, 64, seed=0, low_rank=3), features(30, 64, seed=1, low_rank=3, shift=0.1)
    basis = np.linalg.svd(np.random.RandomState(7).randn(3, 64), full_matrices=False)[2]
    outside = np.square(np.full(64, 0.1) - np.full(64, 0.1) @ basis.T @ basis).sum()
    inside = by_sqrtm(real @ basis.T, fake @ basis.T)
    assert compute(real, fake)["frechet"] == pytest.approx(inside + outside, rel=1e-3)


def test_it_grows_with_the_distance_of_the_means():
    real = features(100, 8, seed=0)
    values = [compute(real, real + shift)["frechet"] for shift in (0, 0.1, 0.5, 1, 5)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(8 * 25, rel=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_rotation_and_translation_change_nothing_and_scale_squares(seed, shift, scale):
    rng = np.random.RandomState(seed)
    real, fake = rng.randn(40, 5), rng.randn(30, 5) * 1.5 + 0.5
    rotation = np.linalg.qr(rng.randn(5, 5))[0]
    plain = compute(real, fake)["frechet"]
    assert compute(real @ rotation, fake @ rotation)["frechet"] == pytest.approx(plain, rel=1e-8)
    assert compute(real + shift, fake + shift)["frechet"] == pytest.approx(plain, rel=1e-8)
    assert compute(real * scale, fake * scale)["frechet"] == pytest.approx(plain * scale**2, rel=1e-8)
    assert compute(real[::-1], fake[::-1])["frechet"] == pytest.approx(plain, rel=1e-10)


def test_one_picture_is_refused():
    with pytest.raises(InputError, match="two pictures"):
        compute(np.zeros((1, 4)), np.zeros((9, 4)))


def test_it_warns_when_there_are_no_more_pictures_than_dimensions():
    assert "2048" in advice(1000, 5000, 2048)
    assert advice(2049, 2049, 2048) is None
