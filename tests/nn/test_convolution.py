"""Convolutions and their derivatives against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.nn.convolution import Grid, convolution, convolved, spread
from mien.nn.equalised import leaky

GRIDS = {
    "same": (5, Grid(1, 1)),
    "half, a pixel left over": (6, Grid(2, 0)),
    "too many pixels for one product": (7, Grid(1, 1)),
    "each channel": (6, Grid(2, 1, groups=2)),
}


def doubles(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRIDS)
def test_first_and_second_derivatives_agree_with_differences(name: str) -> None:
    size, grid = GRIDS[name]
    torch.manual_seed(0)
    x, weight, bias = doubles(1, 2, size, size), doubles(2, 2 // grid.groups, 3, 3), doubles(2)
    fixed = grid.groups > 1  # filters do not learn
    if fixed:
        weight.requires_grad_(False)

    def bent(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return convolved(torch.tanh(x), weight, bias, grid=grid).square()

    assert torch.autograd.gradcheck(bent, (x, weight, bias))
    assert torch.autograd.gradgradcheck(bent, (x, weight, bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", GRIDS)
def test_forward_and_adjoint_are_torch_s(name: str, layout: torch.memory_format) -> None:
    size, grid = GRIDS[name]
    torch.manual_seed(0)
    x = torch.randn(3, 2, size, size).contiguous(memory_format=layout).requires_grad_(True)
    weight = torch.randn(2, 2 // grid.groups, 3, 3)
    expected = F.conv2d(x, weight, None, grid.stride, grid.pad, groups=grid.groups)
    y = convolved(x, weight, grid=grid)
    torch.testing.assert_close(y, expected)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    grown = spread(2 * y.detach(), weight, (size, size), grid=grid)
    torch.testing.assert_close(grown, gradient, rtol=1e-4, atol=1e-4)
    assert grown.is_contiguous(memory_format=layout)


def test_low_precision_where_the_run_is() -> None:
    x, weight, bias = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3, requires_grad=True), torch.randn(4)
    with torch.autocast("cpu", torch.bfloat16):
        low = convolution(x, weight, bias)
    low.float().square().sum().backward()
    assert low.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    torch.testing.assert_close(low.float(), convolution(x, weight, bias), rtol=0.05, atol=0.1)


def test_a_penalty_of_many_channels_copies_no_batch() -> None:
    """torch's second derivative lays pictures out anew, channels for pictures."""
    x = torch.randn(2, 8, 12, 12, requires_grad=True)
    weight = torch.randn(8, 8, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(convolution(x, weight).square().sum(), x, create_graph=True)
    with torch.profiler.profile(record_shapes=True) as profile:
        gradient.square().sum().backward()
    shapes = [e.input_shapes for e in profile.events() if e.name == "aten::copy_"]
    assert all(shape[0] != [8, 2, 12, 12] for shape in shapes)


def test_the_leaky_relu_bends_and_has_no_second_derivative() -> None:
    x = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.allclose(leaky(x), torch.tensor([-0.4, 0.5, 3.0], dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: leaky(x).square(), x)
    assert torch.autograd.gradgradcheck(lambda x: leaky(x).square(), x)
    (slope,) = torch.autograd.grad(leaky(x).sum(), x, create_graph=True)
    assert torch.autograd.grad(slope.sum(), x, allow_unused=True) == (None,)
