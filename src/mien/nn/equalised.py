"""Layers with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1).

Weights are stored with unit variance and scaled when used, so that all learn at one pace. Parameter names are
those of the official PyTorch release of StyleGAN2-ADA: they are facts of its file format.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.nn.convolution import convolution
from mien.nn.precision import wide
from mien.nn.resample import binomial_filter, downsampling_conv, upsampling_conv

SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)  # keeps the variance of unit noise through the leaky ReLU
CLAMP = 256.0  # of colours, unless told


@dataclass(frozen=True)
class Conventions:
    """What a network's layers do that no weight's shape shows.

    taps: of the low-pass filter [k]. clamp: the outputs of layers are held within plus and minus this, times
    their gain; None: of layers not at all, of colours at `CLAMP`. noise: StyleGAN2's layers add noise.
    """

    taps: tuple[float, ...] = (1, 3, 3, 1)
    clamp: float | None = None
    noise: bool = True

    def __post_init__(self) -> None:
        if not abs(sum(self.taps)) > 1e-6:
            raise InputError("a low-pass filter whose taps sum to nothing")

    def filter(self) -> Tensor:
        """The filter, float32 [k, k]."""
        return binomial_filter(self.taps)


USUAL = Conventions()


class _Leaky(torch.autograd.Function):
    """A leaky ReLU without a second derivative: torch's is a picture of zeros, carried all the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = F.leaky_relu(x, SLOPE)
        ctx.save_for_backward(y)
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        return None if gradient is None else _Slope.apply(gradient, *ctx.saved_tensors)  # type: ignore[no-untyped-call]


class _Slope(torch.autograd.Function):
    """`gradient` times the slope where y, a leaky ReLU's result, is negative; linear in `gradient`."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        ctx.set_materialize_grads(False)
        return cast(Tensor, torch.ops.aten.leaky_relu_backward(gradient, y, SLOPE, True))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None
        return _Slope.apply(gradient, *ctx.saved_tensors), None  # type: ignore[no-untyped-call]


def held(x: Tensor, clamp: float | None, gain: float = 1.0) -> Tensor:
    """x within plus and minus `clamp` times `gain`; None: as it is."""
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU without its gain: what is positive and comes in comes out, so the gain goes into weights."""
    return cast(Tensor, _Leaky.apply(x))  # type: ignore[no-untyped-call]


def activate(x: Tensor, bias: Tensor) -> Tensor:
    """Add the bias (one for each channel), then leaky ReLU with its gain."""
    return leaky(x + bias.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))) * LRELU_GAIN


class FullyConnected(nn.Module):
    """x [N, in] -> [N, out]. lr_multiplier: slows the layer by storing it that much larger."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        linear: bool = True,
        lr_multiplier: float = 1.0,
        bias_init: float = 0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([outputs], float(bias_init) / lr_multiplier))
        self.linear, self.bias_gain = linear, lr_multiplier
        self.weight_gain = lr_multiplier / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """In float32, whatever precision the run computes in: styles and scores need it."""
        gain = 1.0 if self.linear else LRELU_GAIN
        with torch.autocast(x.device.type, enabled=False):
            # Scaled are the inputs, which are fewer than the weights.
            scaled, bias = wide(x) * (self.weight_gain * gain), self.bias * (self.bias_gain * gain)
            y = F.linear(scaled, self.weight, bias)
            return y if self.linear else leaky(y)


class Conv2d(nn.Module):
    """x [N, in, H, W] -> [N, out, H', W'], perhaps doubling or halving the size through the filter."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        linear: bool = False,
        up: bool = False,
        down: bool = False,
        how: Conventions = USUAL,
    ) -> None:
        super().__init__()
        self.linear, self.up, self.down = linear, up, down
        self.conv_clamp = None if linear else how.clamp
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", how.filter())

    def forward(self, x: Tensor, *, gain: float = 1.0) -> Tensor:
        total = gain * (1.0 if self.linear else LRELU_GAIN)
        weight = self.weight * (self.weight_gain * total)
        bias = None if self.bias is None else self.bias * total
        if self.up:
            y = upsampling_conv(x, weight, self.resample_filter)
            y = y if bias is None else y + bias.to(y.dtype)[:, None, None]
        elif self.down:
            y = downsampling_conv(x, weight, self.resample_filter, bias)
        else:
            y = convolution(x, weight, bias)
        return y if self.linear else held(leaky(y), self.conv_clamp, gain)
