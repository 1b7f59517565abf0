"""Filtered resampling by two: zero-insertion or decimation with a small low-pass filter (Karras et al. 2019).

Filters are float32 [k, k], separable, summing to 1, as `binomial_filter` makes them. Beyond its edge a
picture is zero (StyleGAN2, arXiv:1912.04958, appendix B).
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

Pad = tuple[int, int]  # before and after, along height and width alike
Pair = tuple[int, int]  # height, width


def binomial_filter(taps: tuple[int, ...] = (1, 3, 3, 1)) -> Tensor:
    """The outer product of `taps` with itself, summing to 1: float32 [k, k]."""
    row = torch.tensor(taps, dtype=torch.float32)
    square = torch.outer(row, row)
    return square / square.sum()


def filtered(x: Tensor, kernel: Tensor, *, pad: Pad, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Convolve each channel of x [N, C, H, W] with `kernel` times `gain`; keep every `stride`-th pixel.

    Returns [N, C, (H + pad - k) // stride + 1, ...]. A separable kernel is applied as a column and a row.
    """
    channels, device = x.shape[1], x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    row = (kernel.sum(dim=0) * gain**0.5).to(x.dtype)
    taps = row.flip(0)  # conv2d correlates
    before, after = pad
    x = F.pad(x, (before, after, before, after))
    across = taps.view(1, 1, 1, -1).expand(channels, 1, 1, len(taps))
    down = taps.view(1, 1, -1, 1).expand(channels, 1, len(taps), 1)
    depthwise = _Depthwise.apply if x.requires_grad and torch.is_grad_enabled() else _depthwise
    with torch.autocast(device, enabled=False):
        return cast(Tensor, depthwise(depthwise(x, across, (1, stride)), down, (stride, 1)))


def _depthwise(x: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    return F.conv2d(x, weight, groups=x.shape[1], stride=stride)


class _Depthwise(torch.autograd.Function):
    """A convolution of each channel with fixed weights, differentiable any number of times.

    torch's own second derivative looks at one channel after the other, though none asks for the weights'
    gradient: hundreds of tiny steps in every gradient penalty.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.size = stride, x.shape[2:]
        return _depthwise(x, weight, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        x = _Spread.apply(gradient, weight, ctx.stride, ctx.size)  # type: ignore[no-untyped-call]
        return x, None, None


class _Spread(torch.autograd.Function):
    """The adjoint of `_Depthwise` for inputs of `size`; each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, stride: Pair, size: Pair) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride = stride
        reached = [(n - 1) * s + k for n, s, k in zip(y.shape[2:], stride, weight.shape[2:], strict=True)]
        rest = [whole - part for whole, part in zip(size, reached, strict=True)]
        return F.conv_transpose2d(y, weight, groups=y.shape[1], stride=stride, output_padding=rest)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        y = _Depthwise.apply(gradient, weight, ctx.stride)  # type: ignore[no-untyped-call]
        return y, None, None, None


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice as large: zeros between the pixels of x [N, C, H, W], then the filter with gain 4."""
    size = kernel.shape[-1]
    count, channels, height, width = x.shape
    spread = x.new_zeros(count, channels, 2 * height, 2 * width).contiguous(memory_format=memory_format_of(x))
    spread[:, :, ::2, ::2] = x
    return filtered(spread, kernel, pad=((size + 1) // 2, (size - 2) // 2), gain=4.0)


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


def downsampling_conv(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """A convolution that halves the size: the filter, then a stride-2 convolution.

    x: [N, C, H, W], weight: [D, C, k, k] -> [N, D, H/2, W/2].
    """
    size = weight.shape[-1]
    if size == 1:
        return F.conv2d(downsample(x, kernel), weight)
    taps, edge = kernel.shape[-1], size // 2
    pad = (edge + (taps - 1) // 2, edge + (taps - 2) // 2)
    return F.conv2d(filtered(x, kernel, pad=pad), weight, stride=2)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Channels last, or plain, as x [N, C, H, W] lies in memory."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
