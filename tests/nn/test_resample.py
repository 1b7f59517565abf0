"""Resampling and styles against plain float64 rewrites."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.models._base import cosine
from mien.nn import resample
from mien.nn.resample import binomial_filter, downsample, filtered, upsample
from mien.nn.stylegan1 import adaptive_instance_norm

TAPS = {"even": (1, 3, 3, 1), "odd": (1, 2, 1)}


def spread(row: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """A row doubled: every pixel adds the taps, times two, around its place."""
    size = len(taps)
    wide = np.zeros(2 * len(row) + size)
    for index, value in enumerate(row):
        wide[2 * index : 2 * index + size] += 2 * value * taps
    return wide[size // 2 - 1 :][: 2 * len(row)]


def gathered(row: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """A row halved: every second sum of neighbours, zero beyond the edge."""
    size = len(taps)
    padded = np.concatenate([np.zeros((size - 1) // 2), row, np.zeros(size)])
    return np.array([padded[i : i + size] @ taps[::-1] for i in range(0, len(row), 2)])


def both_ways(image: np.ndarray, along: object) -> np.ndarray:
    return np.apply_along_axis(along, 1, np.apply_along_axis(along, 0, image))  # type: ignore[call-overload]


@pytest.fixture(params=[False, True], ids=["convolutions", "products"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a CPU and as a GPU computes filters."""
    monkeypatch.setattr(resample, "_as_products", lambda x: request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("name", TAPS)
def test_resampling_is_the_sum_it_says(name: str) -> None:
    taps = np.array(TAPS[name], dtype=np.float64)
    taps /= taps.sum()
    image = np.random.default_rng(0).normal(size=(6, 8))
    x = torch.from_numpy(image)[None, None]
    kernel = binomial_filter(TAPS[name])
    larger = both_ways(image, lambda row: spread(row, taps))
    smaller = both_ways(image, lambda row: gathered(row, taps))
    np.testing.assert_allclose(upsample(x, kernel)[0, 0].numpy(), larger, atol=1e-6)
    np.testing.assert_allclose(downsample(x, kernel)[0, 0].numpy(), smaller, atol=1e-6)


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["plain", "channels last"])
@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 1), (1, 2, 5, 3, 1, 4)])
def test_products_and_convolutions_filter_alike(
    taps: tuple[int, ...], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, and the derivative of a derivative, which penalties take."""
    kernel = binomial_filter(taps).double()
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def all_of(products: bool) -> list[Tensor]:
        monkeypatch.setattr(resample, "_as_products", lambda x: products)
        given = x.contiguous(memory_format=layout).requires_grad_()
        results = [upsample(given, kernel), downsample(given, kernel)]
        results.append(resample.upsampling_conv(given, weight, kernel))
        results.append(resample.downsampling_conv(given, weight, kernel))
        results += [filtered(given, kernel, pad=pad, gain=1.7) for pad in ((3, 1), (0, 2), (2, 2))]
        (first,) = torch.autograd.grad(sum(r.pow(3).sum() for r in results), given, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), given)
        return [*results, first, second]

    for ours, theirs in zip(all_of(True), all_of(False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_even_filter_is_r3gans_transposed_convolution() -> None:
    """Its release widens [1, 2, 1] by [1, 1] and resamples with stride 2 and one pixel of padding."""
    row = np.convolve([1.0, 2.0, 1.0], [1.0, 1.0])
    kernel = torch.from_numpy(np.outer(row, row) / row.sum() ** 2)[None, None]
    x = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    grown = torch.nn.functional.conv_transpose2d(x, kernel * 4, stride=2, padding=1)
    shrunk = torch.nn.functional.conv2d(grown, kernel, stride=2, padding=1)
    ours = upsample(x, binomial_filter())
    assert torch.allclose(ours, grown, atol=1e-6)
    assert torch.allclose(downsample(grown, binomial_filter()), shrunk, atol=1e-6)


@pytest.mark.parametrize("resample", [upsample, downsample])
def test_derivatives_of_resampling_agree_with_differences(resample: Callable[..., Tensor]) -> None:
    """First and second, as gradient penalties need them; sizes that the stride does not use up included."""
    kernel = binomial_filter().double()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    bent = lambda x: resample(torch.tanh(x), kernel).square()  # noqa: E731
    assert torch.autograd.gradcheck(bent, x)
    assert torch.autograd.gradgradcheck(bent, x)


def test_a_penalty_computes_all_channels_at_once() -> None:
    """torch's own second derivative of a depthwise convolution takes one channel after the other."""
    x = torch.randn(1, 64, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(downsample(x, binomial_filter()).square().sum(), x, create_graph=True)
    with torch.profiler.profile() as profile:
        gradient.square().sum().backward()
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls["aten::convolution"] <= 8


def test_resampling_computes_in_the_run_s_precision() -> None:
    x = torch.randn(1, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        low = upsample(x, binomial_filter())
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), upsample(x, binomial_filter()), atol=0.05)


def test_adaptive_instance_norm_gives_each_channel_its_statistics() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 16, 16) * 7 + 5
    styles = torch.randn(3, 8)
    y = adaptive_instance_norm(x, styles)
    assert torch.allclose(y.mean(dim=(2, 3)), styles[:, 4:], atol=1e-4)
    deviation = y.std(dim=(2, 3), unbiased=False)
    assert torch.allclose(deviation, (styles[:, :4] + 1).abs(), atol=1e-4)


def test_adaptive_instance_norm_keeps_the_precision_it_was_given() -> None:
    """Statistics are taken in float32: in bfloat16 a large mean would drown the deviation."""
    x = torch.randn(2, 3, 32, 32) + 20
    exact = adaptive_instance_norm(x.bfloat16().float(), torch.zeros(2, 6))
    low = adaptive_instance_norm(x.bfloat16(), torch.zeros(2, 6))
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), exact, atol=0.02)


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 2.0), (0.5, 1.1), (1.0, 0.2)])
def test_cosine_at_its_ends_and_its_middle(fraction: float, expected: float) -> None:
    assert cosine(2.0, 0.2, fraction) == pytest.approx(expected)
