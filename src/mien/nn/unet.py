"""The U-Net generator of pix2pix (Isola et al. 2017, arXiv:1611.07004, 6.1.1) and what surrounds it."""

import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import power_of_two
from mien.core.ranks import drawn
from mien.core.types import Spec
from mien.nn.patch_gan import Norm, norm_of
from mien.nn.strided import initialise

_DROPPED = 3  # of the decoder's layers, from the deepest


def depth(resolution: int) -> int:
    """How many halvings lead to one pixel; InputError unless a power of two, 16 to 512."""
    return power_of_two(resolution, 16, 512, model="pix2pix", advice="say so with ?size=64, or ")


class UNet(nn.Module):
    """C64-C128-C256-C512-C512-C512-C512-C512 down to one pixel and back, each layer seeing its counterpart.

    width: channels of the first layer; doubled a layer, to 8 times. Smaller pictures have fewer of the widest
    layers. No convolution has a bias but the last, as in the authors' own code: elsewhere a norm follows, or
    there is no need.
    """

    def __init__(self, spec: Spec, *, width: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        widths = [min(width * 2**i, width * 8) for i in range(depth(spec.resolution))]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for before, after in itertools.pairwise([spec.channels, *widths]):
            self.down.append(nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False)))
        for part, channels in zip(list(self.down)[1:-1], widths[1:-1], strict=True):
            cast(nn.Sequential, part).append(norm_of(norm, channels))
        ins = [widths[-1], *(2 * channels for channels in reversed(widths[:-1]))]
        outs = [*reversed(widths[:-1]), spec.channels]
        for index, (before, after) in enumerate(zip(ins, outs, strict=True)):
            last = index == len(outs) - 1
            part = nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=last))
            self.up.append(part if last else part.append(norm_of(norm, after)))
        self.apply(initialise)

    def forward(self, images: Tensor, rng: torch.Generator | None = None, *, alike: bool = False) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 of the same shape.

        rng: the source of the dropout, which is the noise of this model; None: without.
        alike: the same dropout for every picture.
        """
        kept: list[Tensor] = []
        x = images
        for index, layer in enumerate(self.down):
            x = layer(F.leaky_relu(x, 0.2) if index else x)
            kept.append(x)
        x = kept.pop()
        for index, layer in enumerate(self.up):
            x = layer(F.relu(torch.cat([x, kept.pop()], dim=1) if index else x))
            if rng is not None and index < min(_DROPPED, len(self.up) - 1):
                x = dropped(x, self.dropout, rng, alike=alike)
        return torch.tanh(x.float())


def dropped(x: Tensor, share: float, rng: torch.Generator, *, alike: bool) -> Tensor:
    """A share of all values set to 0 and the rest scaled up; alike: the same places in every picture."""
    if alike:
        keep = torch.rand((1, *x.shape[1:]), generator=rng, device=x.device) >= share
    else:
        keep = drawn(torch.rand, x.shape, rng) >= share
    return x * (keep / (1 - share)).to(x.dtype)


class Translator(nn.Module):
    """Pictures to what they are to become: the product of pix2pix.

    edges: it looks at the edges of its input alone. noise: dropout also where no `rng` is given, and then
    always the same.
    """

    def __init__(
        self, spec: Spec, *, width: int, norm: Norm, dropout: float, edges: bool, noise: bool
    ) -> None:
        super().__init__()
        self.spec, self.edges, self.noise = spec, edges, noise
        self.net = UNet(spec, width=width, norm=norm, dropout=dropout)

    def see(self, images: Tensor) -> Tensor:
        """What is looked at of the input; of the same shape and range."""
        return edges_of(images) if self.edges else images

    def forward(self, images: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 of the same shape. rng: of the dropout in training."""
        features = self.see(images)
        if rng is None and self.noise:
            fixed = torch.Generator(images.device).manual_seed(0)
            return cast(Tensor, self.net(features, fixed, alike=True))
        return cast(Tensor, self.net(features, rng))


def edges_of(images: Tensor) -> Tensor:
    """How steep pictures [N, C, H, W] in [-1, 1] are (Sobel), channel by channel: -1 flat, 1 steep."""
    channels = images.shape[1]
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device) / 4
    kernels = torch.stack([across, across.T])[:, None].repeat(channels, 1, 1, 1)
    with torch.autocast(images.device.type, enabled=False):
        padded = F.pad(images.float(), (1, 1, 1, 1), mode="reflect")
        slopes = F.conv2d(padded, kernels, groups=channels)
        slopes = slopes.view(len(images), channels, 2, *images.shape[2:])
        steep = slopes.square().sum(dim=2).sqrt().clamp(max=1)
    return (2 * steep - 1).contiguous(memory_format=torch.channels_last)
