"""Sampling of pictures at any places, and small disturbances: sheared, moved, turned, zoomed, noisy."""

import math
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.core.ranks import drawn

_PADDING = {"zeros": 0, "reflection": 2}  # as ATen counts them


class Warp(NamedTuple):
    """How strong, at most. shear: of the height, per unit of width. shift, zoom: shares of a side. turn:
    degrees. noise: standard deviation, in units of [-1, 1]."""

    shear: float
    shift: float
    turn: float
    zoom: float
    noise: float


def warped(images: Tensor, warp: Warp, rng: torch.Generator) -> Tensor:
    """float [N, C, H, W], each disturbed in its own way and mirrored beyond its edges; differentiable."""
    count, device = len(images), images.device

    def draw(most: float) -> Tensor:
        return (drawn(torch.rand, (count,), rng) * 2 - 1) * most

    with torch.autocast(device.type, enabled=False):
        angle, shear = draw(math.radians(warp.turn)), draw(warp.shear)
        wide, high = 1 + draw(warp.zoom), 1 + draw(warp.zoom)
        across, down = draw(2 * warp.shift), draw(2 * warp.shift)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = [wide * cos, high * (shear * cos - sin), across, wide * sin, high * (shear * sin + cos), down]
        theta = torch.stack(rows, dim=1).view(count, 2, 3)
        places = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = grid_sample(images.float(), places, beyond="reflection")
        noise = drawn(torch.randn, images.shape, rng) * warp.noise
        return (moved + noise).contiguous(memory_format=torch.channels_last)


def grid_sample(x: Tensor, grid: Tensor, beyond: Literal["zeros", "reflection"] = "zeros") -> Tensor:
    """Bilinear sampling of x [N, C, H, W] at grid [N, H', W', 2]. beyond: what lies outside.

    Differentiable twice with respect to x, which PyTorch's own is not before 2.13; never with respect to the
    grid.
    """
    return cast(Tensor, _Sample.apply(x, grid, beyond))  # type: ignore[no-untyped-call]


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor, beyond: str) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape, ctx.beyond = x.shape, beyond
        return F.grid_sample(x, grid, mode="bilinear", padding_mode=beyond, align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        spread: Tensor = _Spread.apply(gradients[0], grid, ctx.shape, ctx.beyond)  # type: ignore[no-untyped-call]
        return spread, None, None


class _Spread(torch.autograd.Function):
    """The transpose of sampling, which is linear too: its own gradient is sampling again."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size, beyond: str) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.beyond = beyond
        empty, padding = gradient.new_zeros(shape), _PADDING[beyond]
        spread, _ = torch.ops.aten.grid_sampler_2d_backward(
            gradient.contiguous(), empty, grid, 0, padding, False, [True, False]
        )
        return torch.as_tensor(spread)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (grid,) = ctx.saved_tensors
        sampled: Tensor = _Sample.apply(gradients[0], grid, ctx.beyond)  # type: ignore[no-untyped-call]
        return sampled, None, None, None
