"""dlib's face recognition network: a ResNet of 29 convolutions, 128 numbers a face.

After He et al. 2015 (arXiv:1512.03385), with fewer layers and half the filters; published by D. King (2017)
into the public domain. It learned to bring pictures of one person within .6 of each other.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 150  # pixels of the chips it was trained on
DIMS = 128
MEAN = (122.782, 117.001, 104.298)  # subtracted from 0..255, then divided by SCALE
SCALE = 256.0
_WIDTHS = (*(32,) * 3, *(64,) * 4, *(128,) * 3, *(256,) * 4)
_HALVED = (3, 7, 10, 13)  # blocks that halve the picture: each stage's first, and the last one


class FaceResNet(nn.Module):
    """Float RGB chips [N, 3, 150, 150] of 0..255 to [N, 128]; differentiable.

    The convolutions that halve have no padding, and neither have the pools; a shortcut and its branch may
    differ by a pixel, and what one lacks counts as zero.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        units = [nn.Conv2d(3, 32, 7, stride=2)]
        inner = 32
        for index, width in enumerate(_WIDTHS):
            halved = index in _HALVED
            units.append(nn.Conv2d(inner, width, 3, stride=2 if halved else 1, padding=0 if halved else 1))
            units.append(nn.Conv2d(width, width, 3, padding=1))
            inner = width
        self.units = nn.ModuleList(units)
        self.embedding = nn.Linear(inner, DIMS, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, chips: Tensor) -> Tensor:
        x = functional.relu(self.units[0]((chips - self.mean) / SCALE))
        x = functional.max_pool2d(x, 3, 2)
        for index in range(len(_WIDTHS)):
            branch = self.units[2 * index + 2](functional.relu(self.units[2 * index + 1](x)))
            shortcut = functional.avg_pool2d(x, 2) if index in _HALVED else x
            x = functional.relu(_sum(branch, shortcut))
        return cast(Tensor, self.embedding(x.mean((2, 3))))

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights by the artefact's names; each affine layer is folded into its convolution."""
        for index, unit in enumerate(self.units):
            assert isinstance(unit, nn.Conv2d)
            assert unit.bias is not None
            gain = tensors[f"units.{index}.gain"].double()
            unit.weight.data.copy_(tensors[f"units.{index}.weight"].double() * gain[:, None, None, None])
            bias = tensors[f"units.{index}.bias"].double() * gain + tensors[f"units.{index}.shift"].double()
            unit.bias.data.copy_(bias)
        self.embedding.weight.data.copy_(tensors["embedding"].T)


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """The sum, each first filled up with zeros at the right, below and in channels to the other's extent."""
    extent = [max(one, other) for one, other in zip(a.shape[1:], b.shape[1:], strict=True)]
    return _filled(a, extent) + _filled(b, extent)


def _filled(x: Tensor, extent: list[int]) -> Tensor:
    channels, high, wide = (most - own for most, own in zip(extent, x.shape[1:], strict=True))
    return functional.pad(x, (0, wide, 0, high, 0, channels)) if channels or high or wide else x
