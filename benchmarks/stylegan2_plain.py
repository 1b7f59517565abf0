"""StyleGAN2's networks as one writes them from the papers, with `torch.nn.functional` alone.

What speed is held against. Features are scaled before and after a convolution, as the official release
trains; or, `grouped`, each picture has weights of its own and is a group of one convolution, as the paper
writes it (arXiv:1912.04958, appendix B). Filters are zero-insertion and a convolution of each channel; every
derivative is torch's own. They compute with the parameters of our modules: the skip generator and the
residual discriminator, without labels.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.stylegan2 import StyleGan2

ROOT2 = math.sqrt(2)
Modulated = Callable[[nn.Module, Tensor, Tensor], Tensor]


def plain(family: StyleGan2, *, grouped: bool = False) -> StyleGan2:
    """The same family, its networks' forward passes and optimisers replaced by the plain ones."""
    g, d = family.networks["g"], family.networks["d"]
    g.synthesis.forward = partial(synthesis, g.synthesis, modulated=by_groups if grouped else by_scaling)
    d.forward = partial(discriminator, d)
    for optimizer in family.optimizers.values():
        optimizer.param_groups[0]["fused"] = None
    return family


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    y = F.linear(x, layer.weight / math.sqrt(layer.weight.shape[1]), layer.bias)
    return y if layer.linear else F.leaky_relu(y, 0.2) * ROOT2


def filtered(x: Tensor, kernel: Tensor, pad: int, stride: int = 1) -> Tensor:
    weight = kernel.expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (pad,) * 4), weight, stride=stride, groups=x.shape[1])


def doubled(image: Tensor, kernel: Tensor) -> Tensor:
    count, channels, height, width = image.shape
    spread = F.pad(image.reshape(count, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    spread = spread.reshape(count, channels, 2 * height, 2 * width)
    return filtered(spread, kernel * 4, 2)[:, :, :-1, :-1]


def by_scaling(layer: nn.Module, x: Tensor, style: Tensor) -> Tensor:
    demodulation = (style.square() @ layer.weight.square().sum(dim=(2, 3)).t() + 1e-8).rsqrt()
    x = x * style[:, :, None, None]
    if layer.up:
        x = F.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2)
    else:
        x = F.conv2d(x, layer.weight, padding=1)
    return x * demodulation[:, :, None, None]


def by_groups(layer: nn.Module, x: Tensor, style: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    weight = layer.weight * style[:, None, :, None, None]
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, count * channels, height, width)
    if layer.up:
        x = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=count)
    else:
        x = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=count)
    return x.reshape(count, -1, *x.shape[2:])


def styled(
    layer: nn.Module, x: Tensor, w: Tensor, rng: torch.Generator | None, noise: str, modulated: Modulated
) -> Tensor:
    x = modulated(layer, x, linear(layer.affine, w))
    if layer.up:
        x = filtered(x, layer.resample_filter * 4, 1)
    grain = torch.randn(len(x), 1, *x.shape[2:], generator=rng) if noise == "random" else layer.noise_const
    x = x + grain * layer.noise_strength + layer.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * ROOT2


def synthesis(
    net: nn.Module,
    ws: Tensor,
    *,
    noise: str = "random",
    rng: torch.Generator | None = None,
    modulated: Modulated,
) -> Tensor:
    x, image, at = net.b4.const.expand(len(ws), -1, -1, -1), None, 0
    for size in net.block_resolutions:
        block = getattr(net, f"b{size}")
        for layer in (block.conv0, block.conv1) if size > 4 else (block.conv1,):
            x = styled(layer, x, ws[:, at], rng, noise, modulated)
            at += 1
        torgb = block.torgb
        style = linear(torgb.affine, ws[:, at]) * torgb.weight_gain
        drawn = F.conv2d(x * style[:, :, None, None], torgb.weight, torgb.bias).clamp(-256, 256)
        image = drawn if image is None else doubled(image, block.resample_filter) + drawn
    return image


def conv(layer: nn.Module, x: Tensor) -> Tensor:
    weight = layer.weight * layer.weight_gain
    edge, stride = weight.shape[-1] // 2, 1
    if layer.down:
        x = filtered(x, layer.resample_filter, edge + 1, stride=1 if edge else 2)
        edge, stride = 0, 2 if edge else 1
    y = F.conv2d(x, weight, layer.bias, stride=stride, padding=edge)
    return y if layer.linear else F.leaky_relu(y, 0.2) * ROOT2


def discriminator(net: nn.Module, images: Tensor, labels: None = None) -> Tensor:
    x = None
    for size in net.block_resolutions:
        block = getattr(net, f"b{size}")
        x = conv(block.fromrgb, images) if x is None else x
        x = (conv(block.skip, x) + conv(block.conv1, conv(block.conv0, x))) * math.sqrt(0.5)
    groups = x.reshape(4, len(x) // 4, *x.shape[1:])
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    x = torch.cat([x, deviation.repeat(4)[:, None, None, None].expand(-1, 1, 4, 4)], dim=1)
    x = linear(net.b4.fc, conv(net.b4.conv, x).flatten(1))
    return linear(net.b4.out, x)[:, 0]
