"""A convolutional network from images to latents, given what it drew last time (arXiv:2104.02699).

Alaluf et al. 2021, ReStyle: the image stands beside the generator's image of the present latent, and the
network says by what to move that latent; a few passes refine it.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec

_LEAST = 8  # pixels


class LatentEncoder(nn.Module):
    """Pairs of images to steps of a latent.

    shape: of one latent, (num_ws, w_dim) or (z_dim,). mean, scale: the latent it starts from, and one
    deviation; `scale` is 0 where a number never moves. Both are buffers that training sets.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: Spec, shape: Sequence[int], *, width: int, most: int, hidden: int) -> None:
        super().__init__()
        if spec.resolution < _LEAST:
            raise InputError(f"pictures of {spec.resolution} px: an encoder needs {_LEAST} px or more")
        self.spec, self.shape = spec, tuple(shape)
        halvings = int(math.log2(spec.resolution / 4))
        widths = [min(width * 2**index, most) for index in range(halvings)]
        layers: list[nn.Module] = []
        for before, after in zip([2 * spec.channels, *widths], widths, strict=False):
            layers += [_conv(before, after, stride=2), Residual(after)]
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * 16, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, math.prod(shape)),
        )
        last = cast(nn.Linear, self.head[-1])
        nn.init.normal_(last.weight, std=0.01 / math.sqrt(hidden))
        nn.init.zeros_(last.bias)
        self.register_buffer("mean", torch.zeros(self.shape))
        self.register_buffer("scale", torch.ones(self.shape))

    def forward(self, images: Tensor, drawn: Tensor) -> Tensor:
        """images, drawn: float [N, C, H, W] in [-1, 1] -> steps [N, *shape]."""
        seen = self.pool(self.body(torch.cat([images, drawn], dim=1)).float())
        steps: Tensor = self.head(seen)
        return steps.view(-1, *self.shape) * self.scale


class Residual(nn.Module):
    """A 3x3 convolution beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = _conv(channels, channels, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layer(x))


def _conv(inputs: int, outputs: int, *, stride: int) -> nn.Module:
    groups = math.gcd(outputs, 8)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(groups, outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )
