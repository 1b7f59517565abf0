"""MS-SSIM against torchmetrics, and as a measure of diversity."""

import warnings
from typing import ClassVar

import pytest
import torch

from contracts.metric_contract import MetricContract, smooth_pictures
from mien.core.errors import InputError
from mien.metrics.ms_ssim import WEIGHTS, compute, ms_ssim, num_scales

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
    from torchmetrics.functional.image.ssim import _ssim_update


class TestContract(MetricContract):
    metric = "ms_ssim"
    options: ClassVar = {"num_pairs": 100}
    swapped = (("ms_ssim_fake", "ms_ssim_real"), ("ms_ssim_real", "ms_ssim_fake"))


@pytest.mark.parametrize(("side", "scales"), [(16, 1), (22, 2), (64, 3), (128, 4), (176, 5), (512, 5)])
def test_as_many_scales_as_the_window_fits(side, scales):
    assert num_scales(side) == scales


def similar_pictures(side, channels):
    a, other = (smooth_pictures(2, seed=seed, size=side)[:, :channels] for seed in (0, 1))
    return a, (a.float() * 0.8 + 0.2 * other).to(torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "channels"), [(64, 3), (64, 1), (96, 3), (176, 1)])
def test_agrees_with_torchmetrics_inside_the_picture(side, channels):
    a, b = similar_pictures(side, channels)
    weights = WEIGHTS[: num_scales(side)]
    x, y = a.double() / 255, b.double() / 255
    expected = torch.ones(2, dtype=torch.float64)
    for scale, weight in enumerate(weights):
        _, contrast = _ssim_update(x, y, data_range=1.0, return_contrast_sensitivity=True)
        _, picture = _ssim_update(x, y, data_range=1.0, return_full_image=True)
        inside = picture[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
        factor = inside if scale == len(weights) - 1 else contrast
        expected = expected * factor.clamp_min(0) ** (weight / sum(weights))
        x, y = torch.nn.functional.avg_pool2d(x, 2), torch.nn.functional.avg_pool2d(y, 2)
    assert ms_ssim(a, b).tolist() == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.slow
def test_is_near_torchmetrics_whose_coarsest_scale_counts_a_mirrored_border():
    a, b = similar_pictures(192, 3)
    theirs = multiscale_structural_similarity_index_measure(
        a.double() / 255, b.double() / 255, data_range=1.0, betas=WEIGHTS, reduction="none", normalize="relu"
    )
    assert ms_ssim(a, b).tolist() == pytest.approx(theirs.tolist(), abs=3e-3)


def test_a_picture_is_wholly_like_itself_and_less_so_with_noise():
    a = smooth_pictures(4, seed=0)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    values = [
        ms_ssim(a, (a + level * noise).clamp(0, 255).to(torch.uint8)).mean().item()
        for level in (0, 5, 20, 60)
    ]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True)


def test_a_collapsed_generator_is_seen():
    real = smooth_pictures(60, seed=0)
    collapsed = real[:1].expand(60, -1, -1, -1)
    values = compute(real, collapsed, num_pairs=100)
    assert values["ms_ssim_fake"] == pytest.approx(1, abs=1e-6)
    assert values["ms_ssim_real"] < 0.5


def test_pairs_are_disjoint_and_never_of_one_picture():
    black_and_white = torch.cat([torch.zeros(8, 3, 32, 32), torch.full((1, 3, 32, 32), 255)]).to(torch.uint8)
    values = compute(black_and_white, black_and_white, num_pairs=50)["ms_ssim_real"]
    assert values in (pytest.approx(0.75, abs=0.05), pytest.approx(1.0))  # four pairs hold the white one once


def test_too_few_or_too_small_pictures_are_refused():
    with pytest.raises(InputError, match="four pictures"):
        compute(smooth_pictures(1, seed=0), smooth_pictures(5, seed=0))
    with pytest.raises(InputError, match="11 x 11"):
        compute(smooth_pictures(5, seed=0, size=8), smooth_pictures(5, seed=0, size=8))
