"""Filtered resampling by two: zero-insertion or decimation with a small low-pass filter (Karras et al. 2019).

Filters are float32 [k, k], separable, summing to 1, as `binomial_filter` makes them. Beyond its edge a
picture is zero (StyleGAN2, arXiv:1912.04958, appendix B).
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

Pad = tuple[int, int]  # before and after, along height and width alike
Size = tuple[int, int]  # height, width


def binomial_filter(taps: tuple[int, ...] = (1, 3, 3, 1)) -> Tensor:
    """The outer product of `taps` with itself, summing to 1: float32 [k, k]."""
    row = torch.tensor(taps, dtype=torch.float32)
    square = torch.outer(row, row)
    return square / square.sum()


def filtered(x: Tensor, kernel: Tensor, *, pad: Pad, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Convolve each channel of x [N, C, H, W] with `kernel` times `gain`; keep every `stride`-th pixel.

    Returns [N, C, (H + pad - k) // stride + 1, ...].
    """
    x, weight = _prepared(x, kernel, gain)
    with torch.autocast(x.device.type, enabled=False):
        return cast(Tensor, _Depthwise.apply(x, weight, stride, pad))  # type: ignore[no-untyped-call]


def _prepared(x: Tensor, kernel: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """x in the run's precision and the kernel likewise, one for each channel, turned for a correlation."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    weight = (kernel * gain).flip(0, 1).to(x.dtype)
    return x, weight.expand(x.shape[1], 1, *weight.shape)


def _depthwise(x: Tensor, weight: Tensor, stride: int, pad: Pad) -> Tensor:
    before, after = pad
    if before != after:
        x, before = F.pad(x, (before, after, before, after)), 0
    return F.conv2d(x, weight, groups=x.shape[1], stride=stride, padding=before)


def _spread(y: Tensor, weight: Tensor, stride: int, pad: Pad, size: Size) -> Tensor:
    """The adjoint of `_depthwise` for inputs of `size`.

    A convolution as well, of y with zeros between its pixels: oneDNN's transposed convolution of single
    channels takes up to fifty times as long in bfloat16.
    """
    (before, after), last = pad, weight.shape[-1] - 1
    if stride > 1:
        height, width = (n + before + after - last for n in size)
        form = memory_format_of(y)
        grown = torch.empty((*y.shape[:2], height, width), dtype=y.dtype, device=y.device, memory_format=form)
        grown.zero_()[:, :, ::stride, ::stride] = y
        y = grown
    return _depthwise(y, weight.flip(2, 3), 1, (last - before, last - after))


class _Depthwise(torch.autograd.Function):
    """A convolution of each channel with fixed weights, differentiable any number of times.

    torch's own second derivative looks at one channel after the other, though none asks for the weights'
    gradient: hundreds of tiny steps in every gradient penalty.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, pad: Pad) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.pad, ctx.size = stride, pad, x.shape[2:]
        return _depthwise(x, weight, stride, pad)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        x = _Spread.apply(gradient, weight, ctx.stride, ctx.pad, ctx.size)  # type: ignore[no-untyped-call]
        return x, None, None, None


class _Spread(torch.autograd.Function):
    """The adjoint of `_Depthwise` for inputs of `size`; each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, stride: int, pad: Pad, size: Size) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.pad = stride, pad
        return _spread(y, weight, stride, pad, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        y = _Depthwise.apply(gradient, weight, ctx.stride, ctx.pad)  # type: ignore[no-untyped-call]
        return y, None, None, None, None


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice as large: zeros between the pixels of x [N, C, H, W], then the filter with gain 4."""
    x, weight = _prepared(x, kernel, 4.0)
    taps, size = kernel.shape[-1], (2 * x.shape[2], 2 * x.shape[3])
    pad = ((taps - 2) // 2, (taps - 1) // 2)  # of the halving whose adjoint this is
    with torch.autocast(x.device.type, enabled=False):
        return cast(Tensor, _Spread.apply(x, weight.flip(2, 3), 2, pad, size))  # type: ignore[no-untyped-call]


def downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Half as large: the filter, then every second pixel of x [N, C, H, W]."""
    size = kernel.shape[-1]
    return filtered(x, kernel, pad=((size - 1) // 2, (size - 2) // 2), stride=2)


def upsampling_conv(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """A convolution that doubles the size: stride-2 transposed convolution, then the filter with gain 4.

    x: [N, C, H, W], weight: [D, C, 3, 3] -> [N, D, 2H, 2W]. With zeros inserted between pixels this is a true
    convolution, not a correlation. For 1x1 weights the order is turned round, which is the same and cheaper.
    """
    size = weight.shape[-1]
    if size == 1:
        return upsample(F.conv2d(x, weight), kernel)
    grown = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    taps, edge = kernel.shape[-1], size // 2
    before = edge + (taps + 1) // 2 - (size - 1)
    after = edge + (taps - 2) // 2 - (size - 2)
    return filtered(grown, kernel, pad=(before, after), gain=4.0)


def downsampling_conv(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution that halves the size: the filter, then a stride-2 convolution.

    x: [N, C, H, W], weight: [D, C, k, k], bias: [D] -> [N, D, H/2, W/2].
    """
    size = weight.shape[-1]
    if size == 1:
        return F.conv2d(downsample(x, kernel), weight, bias)
    taps, edge = kernel.shape[-1], size // 2
    pad = (edge + (taps - 1) // 2, edge + (taps - 2) // 2)
    return F.conv2d(filtered(x, kernel, pad=pad), weight, bias, stride=2)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Channels last, or plain, as x [N, C, H, W] lies in memory."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
