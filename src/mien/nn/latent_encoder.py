"""A convolutional network from images to latents, given what it drew last time (arXiv:2104.02699).

Alaluf et al. 2021, ReStyle: the image stands beside the generator's image of the present latent, and the
network says by what to move that latent; a few passes refine it.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec

_LEAST, _MOST = 8, 128  # pixels that it looks at: larger images are averaged first


class LatentEncoder(nn.Module):
    """Pairs of images to steps of a latent.

    shape: of one latent, (num_ws, w_dim) or (z_dim,). mean, scale: the latent it starts from, and one
    deviation; `scale` is 0 where a number never moves. basis: [axes, numbers of a latent], along which it is
    refined once it is found. They are buffers that training sets.
    Patches of 4 x 4 pixels (2 x 2 of the smallest images) become a map; residual stages halve it to 4 x 4.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor

    def __init__(
        self, spec: Spec, shape: Sequence[int], *, width: int, most: int, hidden: int, axes: int = 0
    ) -> None:
        super().__init__()
        if spec.resolution < _LEAST:
            raise InputError(f"pictures of {spec.resolution} px: an encoder needs {_LEAST} px or more")
        self.spec, self.shape, self.side = spec, tuple(shape), min(spec.resolution, _MOST)
        patch = min(4, self.side // 4)
        stages = int(math.log2(self.side / patch / 4)) + 1
        widths = [min(width * 2**index, most) for index in range(stages)]
        layers: list[nn.Module] = [nn.Conv2d(2 * spec.channels, widths[0], patch, stride=patch)]
        for before, after in zip([widths[0], *widths], widths, strict=False):
            if len(layers) > 1:
                layers.append(nn.Conv2d(before, after, 2, stride=2))
            layers.append(Residual(after))
        self.body = nn.Sequential(*layers, *_active(widths[-1]))
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
        self.register_buffer("basis", torch.zeros(axes, math.prod(self.shape)))

    def forward(self, images: Tensor, drawn: Tensor) -> Tensor:
        """images, drawn: float [N, C, H, W] in [-1, 1] -> steps [N, *shape]."""
        pairs = torch.cat([images, drawn], dim=1)
        if pairs.shape[-1] > self.side:
            pairs = F.interpolate(pairs, (self.side, self.side), mode="area")
        steps: Tensor = self.head(self.body(pairs)).float()
        return steps.view(-1, *self.shape) * self.scale


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity, each after norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
        self.layers = nn.Sequential(*_active(channels), convolutions[0], *_active(channels), convolutions[1])

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


def _active(channels: int) -> tuple[nn.Module, nn.Module]:
    groups = 8 if channels % 8 == 0 and channels > 8 else 1  # of one channel each, biases would not matter
    return nn.GroupNorm(groups, channels), nn.ReLU(inplace=True)
