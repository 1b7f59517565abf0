"""What metrics must say of sets that are spoilt in known ways: each worse than chance, by its interval."""

import numpy as np
import pytest
import torch

from contracts.metric_contract import smooth_pictures
from mien.metrics import frechet, kernel, ms_ssim, prdc, swd

COUNT, DIMS = 200, 6
CENTRES = np.random.RandomState(42).randn(8, DIMS) * 2


def faces(seed, *, classes=8, tight=0.5):
    """Features of eight kinds of faces, or of the first few."""
    rng = np.random.RandomState(seed)
    return CENTRES[rng.randint(0, classes, COUNT)] + rng.randn(COUNT, DIMS) * tight


SPOILT = {
    "half the classes dropped": faces(2, classes=4),
    "one face repeated": np.repeat(faces(2)[:1], COUNT, axis=0),
    "a tight cluster in a wide set": CENTRES.mean(0) + np.random.RandomState(2).randn(COUNT, DIMS) * 0.1,
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("metric", [kernel, frechet])
def test_distances_of_spoilt_sets_are_surely_above_that_of_a_fair_one(metric, how):
    fair, spoilt = (metric.compute(faces(0), fake) for fake in (faces(1), SPOILT[how]))
    name = metric.__name__.rpartition(".")[2]
    assert spoilt[f"{name}_low"] > max(fair[name], 0)


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt_sets_lose_recall_and_coverage(how):
    fair, spoilt = (prdc.compute(faces(0), fake) for fake in (faces(1), SPOILT[how]))
    for name in ("recall_symmetric", "coverage"):
        assert spoilt[f"{name}_high"] < fair[f"{name}_low"], name
    swapped = prdc.compute(SPOILT[how], faces(0))
    assert swapped["precision_symmetric_high"] < fair["precision_symmetric_low"]


def test_a_copied_training_set_is_perfect():
    """No distance sees copies as a fault: that is what the audit is for."""
    real = faces(0)
    assert frechet.compute(real, real)["frechet"] == pytest.approx(0, abs=1e-9)
    assert kernel.compute(real, real)["kernel"] < 0
    values = prdc.compute(real, real)
    assert values["precision"] == values["recall"] == values["coverage"] == 1


@pytest.mark.parametrize("metric", [kernel, frechet])
def test_a_distance_does_not_care_which_side_is_called_real(metric):
    real, fake = faces(0), faces(1, classes=4)
    there, back = metric.compute(real, fake), metric.compute(fake, real)
    assert there == pytest.approx(back, rel=1e-3)


def test_pixels_of_one_picture_repeated_and_of_a_copied_set():
    real = smooth_pictures(32, seed=0, size=16)
    fair, copied, one = (
        swd.compute(real, fake, num_projections=64)
        for fake in (smooth_pictures(32, seed=1, size=16), real, real[:1].expand(32, -1, -1, -1))
    )
    assert copied["swd"] == 0
    assert one["swd_low"] > fair["swd_high"]
    half = torch.cat([real[:16] // 4, real[16:] // 4 * 3])
    values = ms_ssim.compute(half, half[:16])  # the bright ones are gone: the dark ones are more alike
    assert values["ms_ssim_fake"] > values["ms_ssim_real"]
