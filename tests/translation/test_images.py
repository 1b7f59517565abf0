"""Nearness of pictures against torchmetrics."""

import warnings

import pytest
import torch

from contracts.metric_contract import smooth_pictures
from mien.core.errors import InputError
from mien.metrics.ms_ssim import ssim
from mien.translation.outputs import l1, psnr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )


@pytest.fixture(params=[1, 3], ids=["gray", "rgb"])
def pair(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor]:
    a, b = (smooth_pictures(5, seed=seed, size=48)[:, : request.param] for seed in (0, 1))
    return a, (a.float() * 0.7 + b * 0.3).to(torch.uint8)


def test_psnr_is_torchmetrics(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    one, two = (side.double() for side in pair)
    wanted = peak_signal_noise_ratio(one, two, data_range=255.0, dim=(1, 2, 3), reduction="none")
    assert psnr(*pair).tolist() == pytest.approx(wanted.tolist(), rel=1e-5)


def test_ssim_is_torchmetrics(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    one, two = (side.double() / 255 for side in pair)
    _, picture = structural_similarity_index_measure(
        one, two, data_range=1.0, reduction="none", return_full_image=True
    )
    wanted = picture[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # where whole windows fit
    assert ssim(*pair).tolist() == pytest.approx(wanted.tolist(), abs=1e-4)


def test_l1_is_a_share_of_the_range(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert l1(*pair).tolist() == pytest.approx(
        [(a.double() - b.double()).abs().mean().item() / 255 for a, b in zip(*pair, strict=True)]
    )
    black, white = torch.zeros(1, 3, 16, 16).byte(), torch.full((1, 3, 16, 16), 255).byte()
    assert l1(black, white).tolist() == [1.0]


def test_equal_pictures() -> None:
    a = smooth_pictures(2, seed=0, size=32)
    assert l1(a, a).tolist() == [0, 0]
    assert psnr(a, a).tolist() == pytest.approx([100, 100])
    assert ssim(a, a).tolist() == pytest.approx([1, 1])


def test_ssim_needs_room_for_its_window() -> None:
    with pytest.raises(InputError, match="11 x 11"):
        ssim(*(smooth_pictures(1, seed=0, size=8),) * 2)
