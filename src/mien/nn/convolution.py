"""Convolutions differentiable any number of times, each derivative again a plain convolution.

torch's own second derivative of a convolution swaps channels and pictures, copies whole batches to do so, and
takes one group after the other. A convolution is linear in the picture and in the weights, so three maps are
enough: the convolution, its adjoint in the picture and its adjoint in the weights. Each one's derivatives are
the other two.
"""

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.nn.precision import narrow

Size = tuple[int, int]  # height, width
_FEW = 16  # pixels: so small a picture's weight gradient is faster as one matrix product on a CPU


class Grid(NamedTuple):
    """Where a convolution puts its kernel: every `stride`-th pixel of a picture with `pad` zeros around."""

    stride: int = 1
    pad: int = 0
    groups: int = 1


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, grid: Grid) -> Tensor:
    """x [N, C, H, W] with weight [D, C / groups, k, k] and bias [D], all of one type -> [N, D, h, w]."""
    return cast(Tensor, _Convolved.apply(x, weight, bias, grid))  # type: ignore[no-untyped-call]


def spread(y: Tensor, weight: Tensor, size: Size, *, grid: Grid) -> Tensor:
    """The adjoint of `convolved` without bias: y [N, D, h, w] to pictures [N, C, *size]."""
    return cast(Tensor, _Spread.apply(y, weight, size, grid))  # type: ignore[no-untyped-call]


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, pad: int | None = None
) -> Tensor:
    """As `torch.nn.functional.conv2d` in the run's precision; pad: by default what keeps the size."""
    x = narrow(x)
    grid = Grid(stride, weight.shape[-1] // 2 if pad is None else pad)
    return convolved(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), grid=grid)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, grid: Grid) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.grid, ctx.size = grid, x.shape[2:]
        ctx.set_materialize_grads(False)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, weight, bias, grid.stride, grid.pad, groups=grid.groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None, None, None
        (x, weight), needed, grid = ctx.saved_tensors, ctx.needs_input_grad, ctx.grid
        return (
            _Spread.apply(gradient, weight, ctx.size, grid) if needed[0] else None,  # type: ignore[no-untyped-call]
            _Correlated.apply(x, gradient, weight.shape[2:], grid) if needed[1] else None,  # type: ignore[no-untyped-call]
            gradient.sum(dim=(0, 2, 3)) if needed[2] else None,
            None,
        )


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, size: Size, grid: Grid) -> Tensor:
        ctx.save_for_backward(y if ctx.needs_input_grad[1] else None, weight)
        ctx.grid = grid
        ctx.set_materialize_grads(False)
        with torch.autocast(y.device.type, enabled=False):
            return (_spread_planes if grid.groups > 1 else _spread)(y, weight, size, grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None, None, None
        (y, weight), needed, grid = ctx.saved_tensors, ctx.needs_input_grad, ctx.grid
        return (
            _Convolved.apply(gradient, weight, None, grid) if needed[0] else None,  # type: ignore[no-untyped-call]
            _Correlated.apply(gradient, y, weight.shape[2:], grid) if needed[1] else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


class _Correlated(torch.autograd.Function):
    """The adjoint of `convolved` in its weights: x [N, C, H, W] and y [N, D, h, w] to [D, C, *size]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, size: Size, grid: Grid) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.grid = grid
        ctx.set_materialize_grads(False)
        return _correlated(x, y, size, grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None, None, None
        (x, y), needed, grid = ctx.saved_tensors, ctx.needs_input_grad, ctx.grid
        return (
            _Spread.apply(y, gradient, x.shape[2:], grid) if needed[0] else None,  # type: ignore[no-untyped-call]
            _Convolved.apply(x, gradient, None, grid) if needed[1] else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )


def _spread(y: Tensor, weight: Tensor, size: Size, grid: Grid) -> Tensor:
    stride, pad = grid.stride, grid.pad
    if torch.compiler.is_exporting():
        taps = weight.shape[-1]
        rest = [size[i] + 2 * pad - taps - (y.shape[2 + i] - 1) * stride for i in (0, 1)]
        return F.conv_transpose2d(y, weight, None, stride, pad, rest)
    form = memory_format_of(y)
    x = torch.empty((y.shape[0], weight.shape[1], *size), dtype=y.dtype, device=y.device, memory_format=form)
    return _derivatives(x, y, weight, grid, (True, False))[0]


def _spread_planes(y: Tensor, weight: Tensor, size: Size, grid: Grid) -> Tensor:
    """The same for one kernel a channel: a convolution of y with zeros between its pixels.

    oneDNN's transposed convolution of single channels takes up to fifty times as long in bfloat16.
    """
    last = weight.shape[-1] - 1
    if grid.stride > 1:
        height, width = (n + 2 * grid.pad - last for n in size)
        form = memory_format_of(y)
        grown = torch.empty((*y.shape[:2], height, width), dtype=y.dtype, device=y.device, memory_format=form)
        grown.zero_()[:, :, :: grid.stride, :: grid.stride] = y
        y = grown
    return F.conv2d(y, weight.flip(2, 3), padding=last - grid.pad, groups=grid.groups)


def _correlated(x: Tensor, y: Tensor, size: Size, grid: Grid) -> Tensor:
    if x.device.type == "cpu" and y.shape[2] * y.shape[3] <= _FEW and grid.groups == 1:
        return _product(x, y, size, grid)
    weight = x.new_empty(1).expand(y.shape[1], x.shape[1] // grid.groups, *size)
    return _derivatives(x, y, weight, grid, (False, True))[1]


def _product(x: Tensor, y: Tensor, size: Size, grid: Grid) -> Tensor:
    """Every tap's view of x, side by side, against y: one product over all pictures and pixels."""
    (height, width), stride, pad = y.shape[2:], grid.stride, grid.pad
    padded = F.pad(x, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    taps = [
        padded[:, i : i + (height - 1) * stride + 1 : stride, j : j + (width - 1) * stride + 1 : stride]
        for i in range(size[0])
        for j in range(size[1])
    ]
    columns = torch.cat(taps, dim=3).flatten(0, 2)  # [N h w, k k C]
    flat = y.permute(0, 2, 3, 1).flatten(0, 2)
    return (flat.t() @ columns).view(y.shape[1], *size, x.shape[1]).permute(0, 3, 1, 2)


def _derivatives(
    x: Tensor, y: Tensor, weight: Tensor, grid: Grid, needed: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """In the picture and the weights; of the one not given, shape and layout are all that counts."""
    twice = [grid.stride] * 2, [grid.pad] * 2, [1, 1]
    gradients = torch.ops.aten.convolution_backward(
        y, x, weight, None, *twice, False, [0, 0], grid.groups, [*needed, False]
    )
    return gradients[0], gradients[1]


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Channels last, or plain, as x [N, C, H, W] lies in memory."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
