"""The networks of R3GAN (Huang et al. 2024, arXiv:2501.05441, section 4), and their dense variant.

Residual stages without normalisation, initialised after Fixup (Zhang et al. 2019, arXiv:1901.09321): the last
convolution of a block is zero, the others shrink with the number of blocks. In the official networks, whose
weights these can carry, the filter [1, 2, 1] is widened by [1, 1] to [1, 3, 3, 1], which `nn.resample` has.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.nn.convolution import Grid, convolved
from mien.nn.precision import arithmetic, narrow
from mien.nn.resample import binomial_filter, downsample, upsample
from mien.nn.stylegan2_generator import widths

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through a leaky ReLU (He et al. 2015)

L = TypeVar("L", nn.Conv2d, nn.Linear)
MakeBlock = Callable[[int, int], nn.Module]  # from channels and the number of blocks in the network


def by_stage(blocks: int | Sequence[int], stages: int) -> list[int]:
    """Blocks of each stage, from 4 px up. Raises InputError where they are counted for other stages."""
    each = [blocks] * stages if isinstance(blocks, int) else list(blocks)
    if len(each) != stages:
        raise InputError(f"blocks are counted for {len(each)} stages, and these pictures take {stages}")
    return each


def initialised(layer: L, gain: float = 1.0) -> L:
    """The layer with weights N(0, gain^2 / inputs of one output)."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


class Convolution(nn.Conv2d):
    """Same size, no bias.

    On a GPU by `nn.convolution`: torch's second derivative took 39 % of `dense`'s step there. On a CPU its
    small pictures are a little faster by torch's own.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, groups: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda:
            return super().forward(x)
        x = narrow(x)
        return convolved(x, self.weight.to(x.dtype), grid=Grid(1, self.kernel_size[0] // 2, self.groups))


def convolution(inputs: int, outputs: int, kernel: int, *, gain: float = 1.0, groups: int = 1) -> nn.Conv2d:
    """Same size, no bias."""
    return initialised(Convolution(inputs, outputs, kernel, groups=groups), gain)


def linear(inputs: int, outputs: int, *, gain: float = 1.0) -> nn.Linear:
    """No bias."""
    return initialised(nn.Linear(inputs, outputs, bias=False), gain)


def activate(x: Tensor, bias: Tensor) -> Tensor:
    """Add the bias of each channel, then leaky ReLU."""
    return F.leaky_relu(x + bias.to(x.dtype).view(1, -1, 1, 1), SLOPE)


def groups_of(channels: int, size: int) -> int:
    """Into how many groups channels are divided: of `size` each, or of more where that leaves a rest."""
    return next(n for n in range(max(1, channels // size), 0, -1) if channels % n == 0)


class GroupedBlock(nn.Module):
    """1x1 to twice the channels, 3x3 in groups, 1x1 back; a bias and leaky ReLU between, identity around."""

    def __init__(self, channels: int, total: int, *, group_size: int) -> None:
        super().__init__()
        wide = 2 * channels
        groups = groups_of(wide, group_size)
        gain = GAIN * total ** (-1 / 4)  # three layers: L^(-1 / (2 * 3 - 2))
        self.conv1 = convolution(channels, wide, 1, gain=gain)
        self.bias1 = nn.Parameter(torch.zeros(wide))
        self.conv2 = convolution(wide, wide, 3, gain=gain, groups=groups)
        self.bias2 = nn.Parameter(torch.zeros(wide))
        self.conv3 = convolution(wide, channels, 1, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(activate(self.conv1(x), self.bias1))
        return cast(Tensor, x + self.conv3(activate(y, self.bias2)))


class DenseBlock(nn.Module):
    """Two full 3x3 convolutions, each after a bias and leaky ReLU, identity around: what a GPU is good at."""

    def __init__(self, channels: int, total: int) -> None:
        super().__init__()
        self.bias1 = nn.Parameter(torch.zeros(channels))
        self.conv1 = convolution(channels, channels, 3, gain=GAIN * total ** (-1 / 2))  # L^(-1 / (2 * 2 - 2))
        self.bias2 = nn.Parameter(torch.zeros(channels))
        self.conv2 = convolution(channels, channels, 3, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(activate(x, self.bias1))
        return cast(Tensor, x + self.conv2(activate(y, self.bias2)))


class Resample(nn.Module):
    """Doubles or halves the size through the filter, and changes the channels where they differ."""

    filter: Tensor

    def __init__(self, inputs: int, outputs: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.register_buffer("filter", binomial_filter())
        self.project = convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        if not self.up:
            x = downsample(x, self.filter)
        if self.project is not None:
            x = self.project(x)
        return upsample(x, self.filter) if self.up else x


class Basis(nn.Module):
    """A learned 4x4 picture of each channel, times what a linear layer makes of the latent."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, 4, 4))
        self.mix = linear(inputs, channels)

    def forward(self, z: Tensor) -> Tensor:
        start = self.basis[None] * self.mix(z)[:, :, None, None]
        return cast(Tensor, start.contiguous(memory_format=torch.channels_last))


class Head(nn.Module):
    """A depthwise 4x4 convolution to one number a channel, then a linear layer; scores need float32."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.basis = initialised(nn.Conv2d(channels, channels, 4, groups=channels, bias=False))
        self.mix = linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # The convolution, at its one place.
            projected = (x.float() * self.basis.weight[:, 0]).sum(dim=(2, 3))
            return cast(Tensor, self.mix(projected))


class Generator(nn.Module):
    """Latents to pictures. low_stages: how many of the finest compute in bfloat16 where the run does."""

    def __init__(
        self,
        spec: Spec,
        *,
        z_dim: int,
        base: int,
        most: int,
        blocks: int | Sequence[int],
        block: MakeBlock,
        low_stages: int,
    ) -> None:
        super().__init__()
        self.spec, self.z_dim, self.low_stages = spec, z_dim, low_stages
        sizes = list(widths(spec.resolution, base=base, most=most).values())
        each = by_stage(blocks, len(sizes))
        self.embed = linear(spec.label_dim, z_dim) if spec.label_dim else None
        self.stages = nn.ModuleList()
        before = z_dim * 2 if spec.label_dim else z_dim
        for index, channels in enumerate(sizes):
            first = Resample(before, channels, up=True) if index else Basis(before, channels)
            blocks_here = [block(channels, sum(each)) for _ in range(each[index])]
            self.stages.append(nn.Sequential(first, *blocks_here))
            before = channels
        self.to_rgb = convolution(before, spec.channels, 1)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> float32 [N, C, H, W]. psi scales z towards its mean."""
        x = z * psi
        if self.embed is not None:
            if labels is None:
                raise ValueError("this generator is conditional: labels are needed")
            x = torch.cat([x, self.embed(labels)], dim=1)
        for index, stage in enumerate(self.stages):
            low = index >= len(self.stages) - self.low_stages
            x = _staged(stage, x, low=low)
        return cast(Tensor, self.to_rgb(x)).float()


class Discriminator(nn.Module):
    """Pictures (and labels, by projection) to scores, of which a relativistic loss sees differences alone."""

    def __init__(
        self,
        spec: Spec,
        *,
        base: int,
        most: int,
        blocks: int | Sequence[int],
        block: MakeBlock,
        low_stages: int,
    ) -> None:
        super().__init__()
        self.spec, self.low_stages = spec, low_stages
        sizes = list(widths(spec.resolution, base=base, most=most).values())[::-1]
        each = by_stage(blocks, len(sizes))[::-1]
        embedded = sizes[-1] if spec.label_dim else 0
        self.from_rgb = convolution(spec.channels, sizes[0], 1)
        self.stages = nn.ModuleList()
        for channels, after, count in zip(sizes, [*sizes[1:], 0], each, strict=True):
            last = Resample(channels, after, up=False) if after else Head(channels, embedded or 1)
            self.stages.append(nn.Sequential(*[block(channels, sum(each)) for _ in range(count)], last))
        # Miyato and Koyama 2018, arXiv:1802.05637
        gain = 1 / math.sqrt(embedded) if embedded else 0.0
        self.embed = linear(spec.label_dim, embedded, gain=gain) if embedded else None
        # The score that no label changes: without it a row of zeros would score nothing. 0 as published.
        self.common = nn.Parameter(torch.randn(embedded) * gain) if embedded else None

    @property
    def freezable(self) -> list[nn.Module]:
        """The stages, the picture's first and with its colours; the last is the head."""
        first, *others = self.stages
        return [nn.ModuleList([self.from_rgb, first]), *others[:-1]]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: [N, C, H, W] in [-1, 1], labels: [N, label_dim] -> scores, float32 [N]."""
        x = cast(Tensor, self.from_rgb(images))
        for index, stage in enumerate(self.stages):
            x = _staged(stage, x, low=index < self.low_stages)
        if self.embed is None or self.common is None:
            return x[:, 0].float()
        if labels is None:
            raise ValueError("this discriminator is conditional: labels are needed")
        embedded = self.embed(labels).float() + self.common
        return cast(Tensor, (x.float() * embedded).sum(dim=1))


def _staged(stage: nn.Module, x: Tensor, *, low: bool) -> Tensor:
    """The stage applied in its precision; the identity path too, or it would stay wide all the way."""
    with arithmetic(x.device, low=low):
        narrow = torch.is_autocast_enabled(x.device.type)
        return cast(Tensor, stage(x.bfloat16() if narrow else x.float()))
