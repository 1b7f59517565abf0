"""PatchGAN: is each patch of a picture real, beside what it was made from? (Isola et al. 2017, 6.1.2)"""

import itertools
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.nn.batch_norm import BatchNorm2d
from mien.nn.strided import initialise

Norm = Literal["batch", "instance"]
_KERNEL = 4


def strides(layers: int) -> tuple[int, ...]:
    """Of every convolution: `layers` that halve, then two that do not."""
    return (2,) * layers + (1, 1)


def receptive_field(layers: int) -> int:
    """Pixels along a side that one score sees; the paper's three halving layers see 70."""
    field = 1
    for stride in reversed(strides(layers)):
        field = (field - 1) * stride + _KERNEL
    return field


def norm_of(kind: Norm, channels: int) -> nn.Module:
    """Either has a scale and a shift a channel; "instance" is batch norm of a batch of one."""
    if kind == "batch":
        return BatchNorm2d(channels)
    norm = nn.InstanceNorm2d(channels, affine=True)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    return norm


class PatchGan(nn.Module):
    """Pictures beside their conditions to a map of scores.

    layers: how many halve the picture; `receptive_field` follows from it. bias: of the last convolution; a
    relativistic loss, which sees differences of scores alone, gives it no gradient.
    """

    def __init__(self, spec: Spec, *, width: int, layers: int, norm: Norm, bias: bool) -> None:
        super().__init__()
        if spec.resolution >> layers < 3:
            field = receptive_field(layers)
            raise InputError(
                f"pictures of {spec.resolution} px are too small for patches of {field} px;"
                f" choose less than d_layers={layers}"
            )
        widths = [min(width * 2**i, width * 8) for i in range(layers + 1)]
        steps = strides(layers)
        parts: list[nn.Module] = [nn.Conv2d(2 * spec.channels, width, _KERNEL, steps[0], 1)]
        for (before, after), stride in zip(itertools.pairwise(widths), steps[1:], strict=False):
            convolution = nn.Conv2d(before, after, _KERNEL, stride, 1, bias=False)
            parts += [nn.LeakyReLU(0.2, inplace=True), convolution, norm_of(norm, after)]
        parts += [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(widths[-1], 1, _KERNEL, steps[-1], 1, bias=bias)]
        self.layers = nn.Sequential(*parts)
        self.apply(initialise)

    @property
    def freezable(self) -> list[nn.Module]:
        """Each convolution but the last with its norm, if it has one; the picture's first."""
        parts: list[nn.Module] = []
        for layer in list(self.layers)[:-1]:
            if isinstance(layer, nn.Conv2d):
                parts.append(layer)
            elif not isinstance(layer, nn.LeakyReLU):
                parts[-1] = nn.ModuleList([parts[-1], layer])
        return parts

    def forward(self, conditions: Tensor, pictures: Tensor) -> Tensor:
        """Both float [N, C, H, W] in [-1, 1] -> float32 [N, 1, h, w], a score a patch."""
        return cast(Tensor, self.layers(torch.cat([conditions, pictures], dim=1))).float()
