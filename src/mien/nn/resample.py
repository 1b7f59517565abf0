"""Filtered resampling by two: zero-insertion or decimation with a small low-pass filter (Karras et al. 2019).

Filters are float32 [k, k], summing to 1, as `binomial_filter` makes them. Beyond its edge a picture is zero
(StyleGAN2, arXiv:1912.04958, appendix B).
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.nn.convolution import Grid, convolution, convolved, memory_format_of, spread
from mien.nn.precision import narrow

Pad = tuple[int, int]  # before and after, along height and width alike


def binomial_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """The outer product of `taps` with itself, summing to 1: float32 [k, k]."""
    row = np.asarray(taps, dtype=np.float32)
    square = np.outer(row, row)
    return torch.tensor(square / square.sum())


def filtered(x: Tensor, kernel: Tensor, *, pad: Pad, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Convolve each channel of x [N, C, H, W] with `kernel` times `gain`; keep every `stride`-th pixel.

    Returns [N, C, (H + pad - k) // stride + 1, ...].
    """
    x, before = narrow(x), pad[0]
    if _as_products(x):
        taps = _taps(kernel, gain)
        sizes = [(n + sum(pad) - len(taps[0])) // stride + 1 for n in x.shape[2:]]
        sides = zip(x.shape[2:], sizes, taps, strict=True)
        return _along_both(x, *(_gathering(n, m, t, pad=before, stride=stride) for n, m, t in sides))
    if pad[1] != before:
        x, before = F.pad(x, (*pad, *pad)), 0
    return convolved(x, _for_each(x, kernel * gain), grid=Grid(stride, before, x.shape[1]))


def _for_each(x: Tensor, kernel: Tensor) -> Tensor:
    """The kernel for each channel of x, turned round: convolutions in torch are correlations."""
    return kernel.flip(0, 1).to(x.dtype).expand(x.shape[1], 1, *kernel.shape)


def _as_products(x: Tensor) -> bool:
    return x.is_cuda


def _taps(kernel: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """The taps along height, times `gain`, and along width whose outer product the kernel is."""
    return kernel.sum(dim=1) * gain, kernel.sum(dim=0)


def _gathering(size: int, outputs: int, taps: Tensor, *, pad: int, stride: int) -> Tensor:
    """The matrix [outputs, size] that filters a row of pixels: every `stride`-th sum of neighbours."""
    places = torch.arange(size, device=taps.device) + pad
    reach = places[None] - stride * torch.arange(outputs, device=taps.device)[:, None]
    within = (reach >= 0) & (reach < len(taps))
    return torch.where(within, taps.flip(0)[reach.clamp(0, len(taps) - 1)], 0)


def _along_both(x: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """along [h, H] and across [w, W] on each channel of x [N, C, H, W] -> [N, C, h, w].

    What a GPU does quickly: as convolutions of single channels these filters took a sixth of `stylegan2`'s
    step and a third of `dense`'s. Derivatives of any order are matrix products, too.
    """
    along, across = along.to(x.dtype), across.to(x.dtype)
    if memory_format_of(x) == torch.contiguous_format:
        return along @ (x @ across.t())
    count, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    rows = (along @ flat).reshape(count, len(along), width, channels)
    return (across @ rows).permute(0, 3, 1, 2)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice as large: zeros between the pixels of x [N, C, H, W], then the filter with gain 4."""
    x, taps = narrow(x), kernel.shape[-1]
    before, after = (taps - 2) // 2, (taps - 1) // 2  # of the halving whose adjoint this is
    height, width = 2 * x.shape[2], 2 * x.shape[3]
    if _as_products(x):
        sides = zip(x.shape[2:], _taps(kernel, 4.0), strict=True)
        spreads = (_gathering(2 * n, n, t.flip(0), pad=before, stride=2).t() for n, t in sides)
        return _along_both(x, *spreads)
    size = (height + after - before, width + after - before)
    y = spread(x, _for_each(x, kernel.flip(0, 1) * 4), size, grid=Grid(2, before, x.shape[1]))
    return y[:, :, :height, :width]


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
        return upsample(convolution(x, weight), kernel)
    x, reach = narrow(x), (2 * x.shape[2] + size - 2, 2 * x.shape[3] + size - 2)
    grown = spread(x, weight.to(x.dtype).transpose(0, 1), reach, grid=Grid(2))
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
        return convolution(downsample(x, kernel), weight, bias)
    taps, edge = kernel.shape[-1], size // 2
    x = filtered(x, kernel, pad=(edge + (taps - 1) // 2, edge + (taps - 2) // 2))
    return convolution(x, weight, bias, stride=2, pad=0)
