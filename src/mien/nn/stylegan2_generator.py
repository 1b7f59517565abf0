"""StyleGAN2's generator (Karras et al. 2020, arXiv:1912.04958; conditions as in arXiv:2006.06676).

Module and parameter names are those of the official PyTorch release, so that weights can be exchanged.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from mien.core import ranks
from mien.core.errors import power_of_two
from mien.core.types import Spec
from mien.nn.convolution import convolution, memory_format_of
from mien.nn.equalised import CLAMP, LRELU_GAIN, USUAL, Conv2d, Conventions, FullyConnected, held, leaky
from mien.nn.precision import arithmetic, wide
from mien.nn.resample import upsample, upsampling_conv

Noise = Literal["const", "random", "none"]
GArchitecture = Literal["skip", "resnet", "orig"]


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """One over the standard deviation of each output channel, for unit inputs: float32 [N, D].

    weight: [D, C, k, k]. styles: [N, C], the factors on the input channels. Karras et al. 2020
    (arXiv:1912.04958), Eq. 3.
    """
    energy = wide(weight).square().sum(dim=(2, 3))  # [D, C]
    return torch.rsqrt(wide(styles).square() @ energy.t() + 1e-8)


def scaled(x: Tensor, factors: Tensor, *, plus: Tensor | None = None) -> Tensor:
    """x [N, C, H, W] times one factor for each sample and channel [N, C], plus [C], in x's precision."""
    factors = factors.to(x.dtype)[:, :, None, None]
    return x * factors if plus is None else torch.addcmul(plus.to(x.dtype)[:, None, None], x, factors)


def resolutions(resolution: int) -> list[int]:
    """4, 8, ..., resolution. InputError unless it is a power of two from 4 to 1024."""
    return [2**power for power in range(2, power_of_two(resolution, 4, 1024) + 1)]


def widths(resolution: int, *, base: int, most: int) -> dict[int, int]:
    """Channels at each resolution: base / resolution, at most `most`."""
    return {size: max(1, min(base // size, most)) for size in resolutions(resolution)}


def unit(x: Tensor) -> Tensor:
    """Scale each row of [N, D] to a mean square of 1 (pixel norm of a latent)."""
    return x * torch.rsqrt(wide(x).square().mean(dim=1, keepdim=True) + 1e-8).to(x.dtype)


class Mapping(nn.Module):
    """Latents and labels to `num_ws` styles; also a discriminator's embedding of labels (z_dim 0, num_ws 0).

    w_avg: the running mean of w that truncation pulls towards.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        *,
        num_ws: int,
        layers: int = 8,
        average_decay: float = 0.998,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = z_dim, c_dim, num_ws, layers
        self.average_decay = average_decay
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
            # As loud as a label: a row of zeros, none of several labels, must say something too.
            nn.init.normal_(self.embed.bias, std=c_dim**-0.5)
        inputs = z_dim + (w_dim if c_dim else 0)
        for index in range(layers):
            layer = FullyConnected(inputs if index == 0 else w_dim, w_dim, linear=False, lr_multiplier=0.01)
            self.add_module(f"fc{index}", layer)
        if num_ws:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor | None, c: Tensor | None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """z: [N, z_dim], c: [N, c_dim] -> ws [N, num_ws, w_dim], or [N, w_dim] without num_ws.

        psi: truncation of the first `cutoff` styles (None: all) towards `w_avg`.
        """
        parts = [unit(wide(z))] if z is not None and self.z_dim else []
        if self.c_dim:
            if c is None:
                raise ValueError("this network is conditional: labels are needed")
            parts.append(unit(self.embed(wide(c))))
        w = torch.cat(parts, dim=1)
        for index in range(self.num_layers):
            w = getattr(self, f"fc{index}")(w)
        if not self.num_ws:
            return w
        if self.training:
            with torch.no_grad():
                self.w_avg.lerp_(wide(ranks.mean(w)), 1 - self.average_decay)
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if psi == 1:
            return ws
        pulled = torch.lerp(self.w_avg, ws[:, :cutoff], psi)
        return pulled if cutoff is None else torch.cat([pulled, ws[:, cutoff:]], dim=1)


def grain_of(const: Tensor, noise: Noise, count: int, rng: torch.Generator | None) -> Tensor:
    """The noise of a layer before its strength: `const` [H, W] itself, or drawn anew, [count, 1, H, W]."""
    if noise == "const":
        return const
    return ranks.drawn(torch.randn, (count, 1, *const.shape), rng, const.device)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; perhaps doubling the size."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, *, up: bool, how: Conventions
    ) -> None:
        super().__init__()
        self.up, self.use_noise, self.conv_clamp = up, how.noise, how.clamp
        self.affine = FullyConnected(w_dim, inputs, bias_init=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("resample_filter", how.filter())
        if how.noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self, x: Tensor, w: Tensor, *, noise: Noise, rng: torch.Generator | None, gain: float = 1.0
    ) -> Tensor:
        total = gain * LRELU_GAIN
        styles = self.affine(w)
        factors = demodulation(self.weight, styles) * total
        x = scaled(x, styles)
        y = upsampling_conv(x, self.weight, self.resample_filter) if self.up else convolution(x, self.weight)
        y = scaled(y, factors, plus=self.bias * total)
        if self.use_noise and noise != "none":  # added to all channels alike
            grain = grain_of(self.noise_const, noise, y.shape[0], rng)
            y = y + (grain * (self.noise_strength * total)).to(y.dtype)
        return held(leaky(y), self.conv_clamp, gain)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to picture channels, without demodulation."""

    def __init__(self, inputs: int, channels: int, w_dim: int, how: Conventions) -> None:
        super().__init__()
        self.conv_clamp = how.clamp
        self.affine = FullyConnected(w_dim, inputs, bias_init=1)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = scaled(x, self.affine(w) * self.weight_gain)
        return held(convolution(x, self.weight, self.bias), self.conv_clamp or CLAMP)


class Block(nn.Module):
    """One resolution: the first has a learned constant for its input, the others begin by doubling it."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        channels: int,
        *,
        architecture: GArchitecture,
        last: bool,
        how: Conventions,
    ) -> None:
        super().__init__()
        self.inputs, self.architecture = inputs, architecture
        self.register_buffer("resample_filter", how.filter())
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = StyledConv(inputs, outputs, w_dim, resolution, up=True, how=how)
        self.conv1 = StyledConv(outputs, outputs, w_dim, resolution, up=False, how=how)
        if inputs and architecture == "resnet":
            self.skip = Conv2d(inputs, outputs, 1, bias=False, linear=True, up=True, how=how)
        self.num_conv = 1 if inputs == 0 else 2
        self.num_torgb = int(last or architecture == "skip")
        if self.num_torgb:
            self.torgb = ToRGB(outputs, channels, w_dim, how)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Iterator[Tensor],
        *,
        noise: Noise,
        rng: torch.Generator | None,
    ) -> tuple[Tensor, Tensor | None]:
        """x: [N, C, H/2, W/2] or None; image: [N, 3, H/2, W/2] or None; ws: a style for each convolution."""
        if self.inputs == 0:
            first = next(ws)
            start = self.const[None].expand(first.shape[0], -1, -1, -1)
            start = start.contiguous(memory_format=memory_format_of(self.conv1.weight))
            y = self.conv1(start, first, noise=noise, rng=rng)
        else:
            y = self._grow(cast(Tensor, x), ws, noise=noise, rng=rng)
        if image is not None:
            image = upsample(image, self.resample_filter)
        if self.num_torgb:
            drawn = wide(self.torgb(y, next(ws)))
            image = drawn if image is None else image + drawn
        return y, image

    def _grow(self, x: Tensor, ws: Iterator[Tensor], *, noise: Noise, rng: torch.Generator | None) -> Tensor:
        if self.architecture != "resnet":
            y = self.conv0(x, next(ws), noise=noise, rng=rng)
            return cast(Tensor, self.conv1(y, next(ws), noise=noise, rng=rng))
        half = math.sqrt(0.5)
        past = self.skip(x, gain=half)
        y = self.conv0(x, next(ws), noise=noise, rng=rng)
        return cast(Tensor, past + self.conv1(y, next(ws), noise=noise, rng=rng, gain=half))


class Synthesis(nn.Module):
    """Styles to pictures."""

    def __init__(
        self,
        w_dim: int,
        spec: Spec,
        *,
        base: int,
        most: int,
        architecture: GArchitecture,
        how: Conventions = USUAL,
        low_blocks: int = 8,
    ) -> None:
        super().__init__()
        self.low_blocks = low_blocks
        sizes = widths(spec.resolution, base=base, most=most)
        self.block_resolutions = list(sizes)
        before = 0
        self.num_ws = 0
        for size, channels in sizes.items():
            last = size == spec.resolution
            block = Block(
                *(before, channels, w_dim, size, spec.channels), architecture=architecture, last=last, how=how
            )
            self.add_module(f"b{size}", block)
            self.num_ws += block.num_conv + (block.num_torgb if last else 0)
            before = channels

    def forward(self, ws: Tensor, *, noise: Noise = "random", rng: torch.Generator | None = None) -> Tensor:
        """ws: [N, num_ws, w_dim] -> float32 [N, C, H, W]. rng: where random noise comes from.

        A block's colour layer shares its style with the next block's first convolution.
        """
        x: Tensor | None = None
        image: Tensor | None = None
        at = 0
        for index, size in enumerate(self.block_resolutions):
            block = cast(Block, getattr(self, f"b{size}"))
            styles = ws[:, at : at + block.num_conv + block.num_torgb].unbind(dim=1)
            at += block.num_conv
            low = index >= len(self.block_resolutions) - self.low_blocks
            with arithmetic(ws.device, low=low):
                x, image = block(x, image, iter(styles), noise=noise, rng=rng)
        assert image is not None
        return wide(image)


class MappedGenerator(nn.Module):
    """Mapping and any synthesis that has `num_ws` and takes ws, `noise` and `rng`."""

    synthesis: nn.Module

    def __init__(
        self,
        spec: Spec,
        synthesis: nn.Module,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        average_decay: float = 0.998,
    ) -> None:
        super().__init__()
        self.spec, self.z_dim, self.w_dim = spec, z_dim, w_dim
        self.synthesis = synthesis
        self.num_ws = cast(int, synthesis.num_ws)
        self.mapping = Mapping(
            z_dim,
            spec.label_dim,
            w_dim,
            num_ws=self.num_ws,
            layers=mapping_layers,
            average_decay=average_decay,
        )

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> float32 [N, C, H, W] in about [-1, 1]."""
        ws = self.mapping(z, labels, psi=psi, cutoff=cutoff)
        return cast(Tensor, self.synthesis(ws, noise=noise, rng=rng))


class Generator(MappedGenerator):
    """StyleGAN2's. mapping: as `MappedGenerator` takes it."""

    synthesis: Synthesis

    def __init__(
        self,
        spec: Spec,
        *,
        w_dim: int = 512,
        base: int = 32768,
        most: int = 512,
        architecture: GArchitecture = "skip",
        how: Conventions = USUAL,
        low_blocks: int = 8,
        **mapping: Any,
    ) -> None:
        sizes = {"base": base, "most": most, "low_blocks": low_blocks}
        synthesis = Synthesis(w_dim, spec, architecture=architecture, how=how, **sizes)
        super().__init__(spec, synthesis, w_dim=w_dim, **mapping)
