"""StyleGAN's growing networks (Karras et al. 2019, arXiv:1812.04948; growth: 2018, arXiv:1710.10196).

How far a network has grown is part of its weights, so that a file draws what the run drew. The paper's blur,
[1, 2, 1] after a doubling of pixels, is the filter [1, 3, 3, 1] of `nn.resample`; weights have an equalised
learning rate.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.nn.equalised import Conv2d, FullyConnected, activate
from mien.nn.precision import arithmetic
from mien.nn.resample import binomial_filter, upsampling_conv
from mien.nn.stylegan2_discriminator import Block as Halving
from mien.nn.stylegan2_discriminator import Epilogue
from mien.nn.stylegan2_generator import MappedGenerator, Mapping, Noise, grain_of, resolutions, widths

ONE = 65536  # one size in units of `level`: an integer, which averaged networks copy and do not blend


def level_at(nimg: int, *, stable: int, fade: int, sizes: int) -> int:
    """How far a network has grown after `nimg` images, in units of `ONE`, from 0 to (sizes - 1) * ONE.

    The first size stays for `stable` images; then each next one fades in during `fade` images and stays.
    """
    whole, within = divmod(nimg, stable + fade)
    part = (within - stable) * ONE // fade if within > stable else 0
    return min(whole * ONE + part, (sizes - 1) * ONE)


def shown(level: int) -> tuple[int, float]:
    """The index of the finest size in use, and its share of the picture in (0, 1]; 1 when it has faded in."""
    whole, part = divmod(level, ONE)
    return (whole + 1, part / ONE) if part else (whole, 1.0)


def sizes_from(first: int, resolution: int) -> list[int]:
    """The sizes a network passes through. Raises InputError where it cannot begin at `first`."""
    if resolution < first or resolution > 256:
        raise InputError(f"pictures of {resolution} px: this model grows from {first} px to at most 256")
    return [size for size in resolutions(resolution) if size >= first]


def doubled(images: Tensor) -> Tensor:
    """Each pixel four times."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def halved(images: Tensor) -> Tensor:
    """Means of four pixels."""
    return F.avg_pool2d(images, 2)


def adaptive_instance_norm(x: Tensor, styles: Tensor) -> Tensor:
    """Give each channel of each picture the mean and the deviation that its style asks for, in x's precision.

    x: [N, C, H, W]. styles: [N, 2C], first the deviations less one, then the means. Karras et al. 2019
    (arXiv:1812.04948), Eq. 1.
    """
    deviation, mean = styles.float()[:, :, None, None].chunk(2, dim=1)
    full = x.float()
    centred = full - full.mean(dim=(2, 3), keepdim=True)
    unit = centred * torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
    return (unit * (deviation + 1) + mean).to(x.dtype)


class StyledLayer(nn.Module):
    """Convolution (none without inputs), noise, bias, leaky ReLU, then the statistics the style asks for."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        if inputs:
            self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
            self.weight_gain = 1 / math.sqrt(inputs * 9)
            self.register_buffer("resample_filter", binomial_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.zeros(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(w_dim, outputs * 2)

    def forward(self, x: Tensor, w: Tensor, *, noise: Noise, rng: torch.Generator | None) -> Tensor:
        if hasattr(self, "weight"):
            weight = (self.weight * self.weight_gain).to(x.dtype)
            filtered = self.resample_filter
            x = upsampling_conv(x, weight, filtered) if self.up else F.conv2d(x, weight, padding=1)
        if noise != "none":
            grain = grain_of(self.noise_const, noise, x.shape[0], rng)
            x = x + (grain * self.noise_strength[:, None, None]).to(x.dtype)
        return adaptive_instance_norm(activate(x, self.bias), self.affine(w))


class Synthesis(nn.Module):
    """Styles to pictures of the size that `level` asks for."""

    level: Tensor

    def __init__(self, w_dim: int, spec: Spec, *, base: int, most: int, first: int) -> None:
        super().__init__()
        self.sizes = sizes_from(first, spec.resolution)
        channels = widths(spec.resolution, base=base, most=most)
        self.register_buffer("level", torch.zeros([], dtype=torch.int64))
        self.const = nn.Parameter(torch.randn(channels[4], 4, 4))
        before = 0
        for size, width in channels.items():
            self.add_module(f"conv{size}_0", StyledLayer(before, width, w_dim, size, up=True))
            self.add_module(f"conv{size}_1", StyledLayer(width, width, w_dim, size))
            if size >= first:
                self.add_module(f"rgb{size}", Conv2d(width, spec.channels, 1, linear=True))
            before = width
        self.num_ws = 2 * len(channels)

    def layers(self) -> int:
        """How many styles the present size takes."""
        return 2 * (self.sizes[shown(int(self.level))[0]].bit_length() - 2)

    def forward(self, ws: Tensor, *, noise: Noise = "random", rng: torch.Generator | None = None) -> Tensor:
        """ws: [N, num_ws, w_dim] -> float32 [N, C, H, W]."""
        top, share = shown(int(self.level))
        x = self.const[None].expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for index, size in enumerate(resolutions(self.sizes[top])):
            past = x
            for half in (0, 1):
                layer = getattr(self, f"conv{size}_{half}")
                x = layer(x, ws[:, 2 * index + half], noise=noise, rng=rng)
        image = getattr(self, f"rgb{self.sizes[top]}")(x).float()
        if share == 1:
            return cast(Tensor, image)
        coarse = getattr(self, f"rgb{self.sizes[top - 1]}")(past).float()
        return torch.lerp(doubled(coarse), image, share)


class Generator(MappedGenerator):
    """Mapping and synthesis. While it grows, its pictures are enlarged to the full size."""

    synthesis: Synthesis

    def __init__(self, spec: Spec, *, w_dim: int, base: int, most: int, first: int, **mapping: Any) -> None:
        synthesis = Synthesis(w_dim, spec, base=base, most=most, first=first)
        super().__init__(spec, synthesis, w_dim=w_dim, **mapping)

    def forward(self, z: Tensor, labels: Tensor | None = None, **how: Any) -> Tensor:
        """As `MappedGenerator`, brought to the full size while growing."""
        images = super().forward(z, labels, **how)
        return F.interpolate(images, size=(self.spec.resolution,) * 2, mode="nearest")


class Discriminator(nn.Module):
    """Pictures of the size that `level` asks for (and labels, by projection) to scores."""

    level: Tensor

    def __init__(
        self, spec: Spec, *, base: int, most: int, first: int, stddev_group: int, embed_layers: int
    ) -> None:
        super().__init__()
        self.spec, self.sizes = spec, sizes_from(first, spec.resolution)
        channels = widths(spec.resolution, base=base, most=most)
        self.register_buffer("level", torch.zeros([], dtype=torch.int64))
        for size, width in channels.items():
            if size >= first:
                self.add_module(f"rgb{size}", Conv2d(spec.channels, width, 1))
            if size > 4:
                block = Halving(width, width, channels[size // 2], spec.channels, architecture="orig")
                self.add_module(f"b{size}", block)
        embedded = channels[4] if spec.label_dim else 0
        if embedded:
            self.mapping = Mapping(0, spec.label_dim, embedded, num_ws=0, layers=embed_layers)
        self.b4 = Epilogue(
            channels[4], embedded or 1, spec.channels, stddev_group=stddev_group, architecture="orig"
        )

    @property
    def freezable(self) -> list[nn.Module]:
        """The blocks with what brings colours to their size, the largest first; not the head."""
        names = [(f"rgb{size}", f"b{size}") for size in self.sizes[::-1] if size > 4]
        return [nn.ModuleList([getattr(self, rgb), getattr(self, block)]) for rgb, block in names]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: [N, C, H, W] in [-1, 1], labels: [N, label_dim] -> scores, float32 [N]."""
        top, share = shown(int(self.level))
        x = getattr(self, f"rgb{self.sizes[top]}")(images)
        for size in resolutions(self.sizes[top])[:0:-1]:
            x, _ = getattr(self, f"b{size}")(x, None)
            if size == self.sizes[top] and share < 1:
                coarse = getattr(self, f"rgb{self.sizes[top - 1]}")(halved(images))
                x = torch.lerp(coarse, x, share)
        with arithmetic(images.device, low=False):
            embedded = self.mapping(None, labels) if self.spec.label_dim else None
            return cast(Tensor, self.b4(x, None, embedded))
