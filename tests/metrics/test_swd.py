"""Sliced Wasserstein distance: the parts against oracles, the whole by what it means."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from scipy.stats import wasserstein_distance

from contracts.metric_contract import MetricContract, smooth_pictures
from mien.core.errors import InputError
from mien.metrics import swd


class TestContract(MetricContract):
    metric = "swd"
    options: ClassVar = {"num_projections": 64}
    symmetric = ("swd", "swd_64", "swd_32", "swd_16")
    perfect: ClassVar = {"swd": 0.0, "swd_64": 0.0, "swd_32": 0.0, "swd_16": 0.0}


def test_projections_agree_with_scipy():
    rng = np.random.RandomState(0)
    x = torch.from_numpy(rng.randn(400, 10).astype(np.float32))
    y = torch.from_numpy((rng.randn(400, 10) * 2 + 1).astype(np.float32))
    directions = swd._directions(10, 70, seed=0)
    by_scipy = np.mean([wasserstein_distance((x @ d).numpy(), (y @ d).numpy()) for d in directions.T])
    assert swd.sliced_distance(x, y, directions) == pytest.approx(by_scipy, rel=1e-5)


def test_directions_are_unit_vectors():
    assert torch.allclose(swd._directions(147, 512, seed=0).norm(dim=0), torch.ones(512))


def test_the_pyramid_blurs_as_scipy_does_and_adds_up_to_the_picture():
    images = smooth_pictures(3, seed=0)
    taps = np.array([1, 4, 6, 4, 1]) / 16
    plain = images.double().numpy()
    blurred = convolve1d(convolve1d(plain, taps, axis=2, mode="mirror"), taps, axis=3, mode="mirror")
    coarse = torch.from_numpy(blurred[:, :, ::2, ::2].copy()).float()
    assert torch.allclose(swd._both_ways(swd._shrinking(64), images.float()), coarse, atol=1e-3)
    grow = 2 * swd._blurring(64)[:, ::2]
    rebuilt = swd._laplacian(images, 0) + swd._both_ways(grow, coarse)
    assert torch.allclose(rebuilt, images.float(), atol=1e-3)
    flat = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    # Away from the border growing keeps brightness, so a flat picture has no detail.
    assert swd._laplacian(flat, 0)[..., 3:-3, 3:-3].abs().max() < 1e-3


def test_patches_are_cut_where_they_should_be():
    image = torch.arange(2 * 2 * 16 * 16).float().view(2, 2, 16, 16)
    corners = torch.tensor([[[3, 0], [9, 1]], [[5, 2], [9, 0]]])  # rows, then columns
    cut = swd._patches(image, corners)
    assert cut.shape == (4, 2, 49)
    assert torch.equal(cut[0, 1].view(7, 7), image[0, 1, 3:10, 5:12])
    assert torch.equal(cut[2, 0].view(7, 7), image[1, 0, 9:16, 9:16])


def test_descriptors_have_no_mean_and_unit_spread_in_each_channel():
    descriptors = swd._descriptors(smooth_pictures(20, seed=1), 0, 64, 128, 0).view(-1, 3, 49)
    assert descriptors.mean(dim=(0, 2)).abs().max() < 1e-4
    assert torch.allclose(descriptors.std(dim=(0, 2)), torch.ones(3), atol=1e-3)


@pytest.mark.slow
def test_brightness_is_normalised_away_and_structure_is_not():
    pictures = smooth_pictures(60, seed=0) // 2
    assert swd.compute(pictures, pictures + 60)["swd"] < 1
    shuffled = pictures.flatten(2)[..., torch.randperm(4096, generator=torch.Generator().manual_seed(0))]
    assert swd.compute(pictures, shuffled.view_as(pictures))["swd"] > 50


@pytest.mark.slow
def test_loss_of_fine_detail_shows_on_the_finest_level():
    pictures = smooth_pictures(60, seed=0)
    coarse = torch.nn.functional.avg_pool2d(pictures.float(), 2)
    dull = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest").to(torch.uint8)
    values = swd.compute(pictures, dull)
    assert values["swd_64"] > 3 * values["swd_16"]


@pytest.mark.parametrize(
    ("side", "levels"), [(16, [16]), (32, [32, 16]), (128, [128, 64, 32, 16]), (48, [48, 24])]
)
def test_levels_for_each_size(side, levels):
    pictures = smooth_pictures(6, seed=0, size=side)
    names = [f"swd_{level}" for level in levels]
    assert list(swd.compute(pictures, 255 - pictures, num_projections=32)) == [*names, "swd"]
    more = swd.compute(smooth_pictures(16, seed=0, size=16), 255 - smooth_pictures(16, seed=1, size=16))
    assert more["swd_low"] < more["swd"] < more["swd_high"]


def textures(rng, roughness, count=40):
    """Gray pictures of 16 pixels: smooth, each with a brightness of its own, and noise."""
    coarse = torch.from_numpy(rng.randn(count, 1, 4, 4).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    noise = torch.from_numpy(rng.randn(count, 1, 16, 16).astype(np.float32)) * roughness
    return ((smooth + noise) * 40 + 128).clamp(0, 255).byte()


def test_influences_are_what_leaving_a_pair_out_does():
    rng = np.random.RandomState(0)
    patches = torch.cat([swd._descriptors(textures(rng, rough), 0, 16, 32, 0) for rough in (0.2, 1.0)])
    projected = swd._Projected(patches, 80, 1, 0)

    def distance(pairs):
        x, y = (swd._sorted(projected._of(rows)) for rows in (pairs, pairs + 40))
        return 1000 * np.abs(x - y).mean()

    left_out = [39 * (distance(np.arange(40)) - distance(np.delete(np.arange(40), at))) for at in range(16)]
    influences = projected.influences()
    assert np.corrcoef(left_out, influences[:16])[0, 1] > 0.97
    assert np.std(left_out) == pytest.approx(influences[:16].std(), rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("roughness", "least", "most"), [(0.2, 0.85, 1.3), (0.6, 0.85, 1.35)])
def test_the_interval_is_as_wide_as_chance(monkeypatch, roughness, least, most):
    """Equal and far apart; influences alone are half as wide again where sides are equal."""
    monkeypatch.setattr(swd, "_FEW_PATCHES", 32)
    monkeypatch.setattr(swd, "_FEW_PROJECTIONS", 32)
    options = {"patches_per_image": 32, "num_projections": 32}
    rng = np.random.RandomState(1)
    values = [swd.compute(textures(rng, 0.2), textures(rng, roughness), **options) for _ in range(60)]
    width = np.mean([each["swd_high"] - each["swd_low"] for each in values]) / 3.92
    assert least < width / np.std([each["swd"] for each in values], ddof=1) < most


def test_the_variance_follows_that_of_a_folded_normal():
    z = np.random.RandomState(0).randn(100_000)
    for far in (0, 1, 2.5):
        drawn = np.abs(z + far)
        less = (1 - drawn.var()) / (2 / np.pi) / 2  # none of it far apart, half of it where equal
        assert np.interp(drawn.mean() / np.abs(z).mean(), *swd._FOLDED) == pytest.approx(1 - less, abs=0.01)


def test_few_images_of_very_uneven_contrast_get_no_interval():
    rng = np.random.RandomState(0)

    def side(count, spread):
        contrast = np.exp(spread * rng.randn(count, 1, 1, 1)).astype(np.float32)
        even = (textures(rng, 0.2, count).float() - 128) / 3
        return (even * torch.from_numpy(contrast) + 128).clamp(0, 255).byte()

    options = {"patches_per_image": 8, "num_projections": 8}
    even, uneven, many = (
        swd.compute(side(count, 0.1), side(count, spread), **options)
        for count, spread in ((60, 0.1), (60, 1.0), (400, 1.0))
    )
    assert even.keys() == many.keys() == {"swd", "swd_low", "swd_high", "swd_16", "swd_16_low", "swd_16_high"}
    assert uneven.keys() == {"swd", "swd_16"}
    assert swd.findings(even) == swd.findings(many) == []
    (line,) = swd.findings(uneven)
    assert "no interval" in line
    assert "400" in line


def test_unevenness_is_that_of_energy_image_by_image():
    base = textures(np.random.RandomState(0), 0.5, 1).float() - 128
    scaled = torch.cat([base * factor for factor in [0.5] * 16 + [1.0] * 4]) + 128
    assert swd.unevenness(scaled.round().byte()) == pytest.approx(4, rel=0.05)
    assert swd.unevenness((base + 128).byte().repeat(9, 1, 1, 1)) == pytest.approx(1)
    flat = torch.full((9, 1, 16, 16), 7, dtype=torch.uint8)
    assert swd.unevenness(flat) == 1
    assert swd.unevenness(torch.cat([flat, scaled.round().byte()[:4]])) == float("inf")


def test_gray_and_flat_pictures_stay_finite():
    flat = torch.full((5, 1, 32, 32), 7, dtype=torch.uint8)
    values = swd.compute(flat, smooth_pictures(5, seed=0, size=32)[:, :1], num_projections=32)
    assert all(np.isfinite(value) for value in values.values())


def test_different_shapes_and_tiny_pictures_are_refused():
    with pytest.raises(InputError, match="one shape"):
        swd.compute(smooth_pictures(2, seed=0), smooth_pictures(2, seed=0, size=32))
    with pytest.raises(InputError, match="16 x 16"):
        swd.compute(smooth_pictures(2, seed=0, size=8), smooth_pictures(2, seed=0, size=8))


def test_what_is_no_picture_is_refused():
    bytes_ = smooth_pictures(2, seed=0)
    for wrong in (bytes_.float(), bytes_[0]):
        for pair in ((bytes_, wrong), (wrong, bytes_)):
            with pytest.raises(TypeError, match="takes uint8"):
                swd.compute(*pair)
