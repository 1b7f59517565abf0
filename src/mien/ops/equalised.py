"""Layers with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1).

Weights are stored with unit variance and scaled when used, so that all learn at one pace. Parameter names are
those of the official PyTorch release of StyleGAN2-ADA: they are facts of its file format.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.ops.precision import wide
from mien.ops.resample import binomial_filter, downsampling_conv, upsampling_conv

SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)  # keeps the variance of unit noise through the leaky ReLU
CLAMP = 256.0  # of activations, where half precision would overflow


def activate(x: Tensor, bias: Tensor | None, *, linear: bool = False, gain: float = 1.0) -> Tensor:
    """Add the bias (one for each channel), then leaky ReLU with its gain unless `linear`."""
    if bias is not None:
        x = x + bias.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))
    if not linear:
        x, gain = F.leaky_relu(x, SLOPE), gain * LRELU_GAIN
    return x if gain == 1 else x * gain


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
        bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
        with torch.autocast(x.device.type, enabled=False):
            y = F.linear(wide(x), self.weight * self.weight_gain)
            return activate(y, bias, linear=self.linear)


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
    ) -> None:
        super().__init__()
        self.linear, self.up, self.down = linear, up, down
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, *, gain: float = 1.0) -> Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        if self.up:
            y = upsampling_conv(x, weight, self.resample_filter)
        elif self.down:
            y = downsampling_conv(x, weight, self.resample_filter)
        else:
            y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return activate(y, self.bias, linear=self.linear, gain=gain)
