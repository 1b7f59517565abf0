"""Precision, recall, density, coverage against brute force, and what they mean."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from contracts.metric_contract import MetricContract
from mien.core.errors import InputError
from mien.metrics import prdc
from mien.metrics.prdc import DIMS, compute, squared_distances


class TestContract(MetricContract):
    metric = "prdc"
    swapped = (
        ("precision", "recall"),
        ("recall", "precision"),
        ("precision_symmetric", "recall_symmetric"),
    )
    perfect: ClassVar = {"precision": 1.0, "recall": 1.0, "coverage": 1.0}


def brute_force(real, fake):
    rr, ff, rf = cdist(real, real), cdist(fake, fake), cdist(real, fake)
    np.fill_diagonal(rr, np.inf)
    np.fill_diagonal(ff, np.inf)
    real_3, fake_3, real_5 = np.sort(rr)[:, 2], np.sort(ff)[:, 2], np.sort(rr)[:, 4]
    return {
        "precision": np.mean([np.any(rf[:, j] <= real_3) for j in range(len(fake))]),
        "recall": np.mean([np.any(rf[i] <= fake_3) for i in range(len(real))]),
        "density": np.mean([np.sum(rf[:, j] < real_5) / 5 for j in range(len(fake))]),
        "coverage": np.mean([np.min(rf[i]) < real_5[i] for i in range(len(real))]),
        "precision_symmetric": min(
            np.mean([np.any(rf[:, j] <= real_3) for j in range(len(fake))]),
            np.mean([np.any(rf[:, j] <= fake_3[j]) for j in range(len(fake))]),
        ),
        "recall_symmetric": min(
            np.mean([np.any(rf[i] <= fake_3) for i in range(len(real))]),
            np.mean([np.any(rf[i] <= real_3[i]) for i in range(len(real))]),
        ),
    }


@pytest.mark.parametrize("block", [200, 1000])
def test_blocks_of_distances_change_nothing(monkeypatch, block):
    """Rows of some at a time, the last of them fewer; twins among the reals too."""
    rng = np.random.RandomState(0)
    real, fake = rng.randn(70, 8), rng.randn(53, 8)
    real[40:50] = real[:10]
    whole = compute(real, fake)
    held = []

    def recorded(x, y):
        held.append(len(x) * len(y))
        return squared_distances(x, y)

    monkeypatch.setattr(prdc, "squared_distances", recorded)
    monkeypatch.setattr(prdc, "_BLOCK", block)
    assert compute(real, fake) == whole
    assert max(held) <= block


def plain(values):
    """Without the intervals."""
    return {name: value for name, value in values.items() if not name.endswith(("_low", "_high"))}


@pytest.mark.parametrize(("n", "m", "dims"), [(300, 200, 16), (80, 250, 3), (60, 60, 256)])
def test_agrees_with_brute_force(n, m, dims):
    rng = np.random.RandomState(dims)
    real, fake = rng.randn(n, dims).astype(np.float32), (rng.randn(m, dims) * 0.9).astype(np.float32)
    values = plain(compute(real, fake, dims=256))
    assert values == pytest.approx(brute_force(real, fake), abs=1e-12)
    assert 0 < values["precision"] < 1 or dims != 3


def test_many_dimensions_become_principal_components_of_both_sides():
    rng = np.random.RandomState(0)
    real, fake = rng.randn(90, 60) * np.linspace(3, 0.1, 60), rng.randn(60, 60) * np.linspace(0.1, 3, 60)
    middle = (real.mean(0) + fake.mean(0)) / 2
    # Each real is repeated twice and each fake thrice, so that both sides weigh the same.
    pooled = np.concatenate([np.repeat(real, 2, 0), np.repeat(fake, 3, 0)]) - middle
    axes = np.linalg.svd(pooled, full_matrices=False)[2][:DIMS].T
    expected = brute_force((real - middle) @ axes, (fake - middle) @ axes)
    assert plain(compute(real, fake)) == pytest.approx(expected, abs=1e-12)


def test_a_set_slightly_inside_another_is_not_all_precise_by_the_symmetric_form():
    """In many dimensions precision alone is blind to it, and the same sets swapped would score nothing."""
    rng = np.random.RandomState(0)
    real, fake = rng.randn(400, 128), rng.randn(400, 128) * 0.8
    there, back = compute(real, fake, dims=128), compute(fake, real, dims=128)
    assert there["precision"] > 0.95
    assert back["precision"] < 0.2
    assert there["precision_symmetric"] == back["recall_symmetric"] < 0.2


def test_a_tight_cluster_inside_a_wide_one_is_precise_and_misses_most():
    rng = np.random.RandomState(0)
    values = compute(rng.randn(500, 2), rng.randn(500, 2) * 0.02)
    assert values["precision"] == 1.0
    assert values["recall"] < 0.1
    assert values["coverage"] < 0.1
    assert values["density"] > 1


def test_a_wide_cluster_around_a_tight_one_is_imprecise_and_misses_nothing():
    rng = np.random.RandomState(0)
    values = compute(rng.randn(500, 2) * 0.02, rng.randn(500, 2))
    assert values["precision"] < 0.1
    assert values["recall"] == 1.0


def test_sets_far_apart_share_nothing():
    rng = np.random.RandomState(0)
    values = compute(rng.randn(50, 4), rng.randn(50, 4) + 100)
    assert set(plain(values).values()) == {0.0}
    assert values["precision_low"] == 0 < values["precision_high"] < 0.1  # none of 50 is not none at all


def test_one_of_two_modes_halves_recall_and_coverage():
    rng = np.random.RandomState(0)
    modes = rng.randn(400, 2) * 0.1
    modes[200:] += 10
    values = compute(modes, rng.randn(400, 2) * 0.1)
    assert values["recall"] == pytest.approx(0.5, abs=0.05)
    assert values["coverage"] == pytest.approx(0.5, abs=0.05)
    assert values["precision"] > 0.9


def test_edges_count_for_precision_and_not_for_density():
    # On a line of whole numbers the third neighbour of an end point lies exactly 3 away, the fifth 5 away.
    real = np.arange(12.0)[:, None]
    at_three = compute(real, np.full((12, 1), -3.0))
    assert at_three["precision"] == 1.0
    at_five = compute(real, np.full((12, 1), -5.0))
    assert at_five["density"] == 0.0


def test_one_outlier_among_reals_cannot_inflate_density_of_far_fakes():
    rng = np.random.RandomState(0)
    real = np.concatenate([rng.randn(200, 2), [[30.0, 0.0]]])
    fake = rng.randn(200, 2) * 0.1 + [15.0, 0.0]
    values = compute(real, fake)
    assert values["precision"] == 1.0  # the outlier's wide ball holds them all: precision's known weakness
    assert values["density"] == pytest.approx(1 / 5)


def test_identical_fakes_have_no_width():
    rng = np.random.RandomState(0)
    real = rng.randn(100, 64) * 30 + 500  # far from the origin: cancellation would give them some
    values = compute(real, np.repeat(rng.randn(1, 64) * 30 + 500, 100, axis=0))
    assert values["recall"] == 0.0


@pytest.mark.slow
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_moves_and_scales_change_nothing(seed, shift, scale):
    rng = np.random.RandomState(seed)
    real, fake = rng.randn(30, 4), rng.randn(25, 4) + 0.5
    rotation = np.linalg.qr(rng.randn(4, 4))[0]
    plain = compute(real, fake)
    moved = compute(real @ rotation * scale + shift, fake @ rotation * scale + shift)
    assert moved == pytest.approx(plain, abs=1e-9)
    assert all(0 <= plain[name] <= 1 for name in ("precision", "recall", "coverage"))


def test_too_few_pictures_are_refused():
    with pytest.raises(InputError, match="more than 5"):
        compute(np.zeros((5, 2)), np.zeros((50, 2)))


def test_a_density_near_0_has_an_interval_on_either_side():
    rng = np.random.RandomState(0)
    scores = compute(rng.randn(120, 4), rng.randn(120, 4) + 2.5)
    assert 0 < scores["density_low"] < scores["density"] < scores["density_high"]
    nothing = compute(rng.randn(120, 4), rng.randn(120, 4) + 50)
    assert nothing["density_low"] == nothing["density"] == 0 < nothing["density_high"] < 0.05
