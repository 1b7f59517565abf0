"""rosinality's StyleGAN2: its names and layouts, pictures and scores by the equations, in float64.

Written anew from Karras et al. 2020 (arXiv:1912.04958) and the repository's conventions; every sum is plain.
"""

import argparse
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
LR_MAPPING = 0.01


def state_dict(
    size: int, style: int, layers: int, widths: dict[int, int], seed: int = 0
) -> dict[str, Tensor]:
    """Random weights under the repository's names."""
    rng = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def add(name: str, *shape: int, scale: float = 1.0, mean: float = 0.0) -> None:
        found[name] = mean + scale * torch.randn(shape, generator=rng)

    def styled(name: str, inputs: int, outputs: int, kernel: int) -> None:
        add(f"{name}.conv.weight", 1, outputs, inputs, kernel, kernel)
        add(f"{name}.conv.modulation.weight", inputs, style)
        add(f"{name}.conv.modulation.bias", inputs, mean=1.0, scale=0.2)

    def layer(name: str, inputs: int, outputs: int, *, up: bool) -> None:
        styled(name, inputs, outputs, 3)
        if up:
            found[f"{name}.conv.blur.kernel"] = KERNEL * 4
        add(f"{name}.noise.weight", 1)
        add(f"{name}.activate.bias", outputs)

    for index in range(layers):
        add(f"style.{index + 1}.weight", style, style, scale=1 / LR_MAPPING)
        add(f"style.{index + 1}.bias", style, scale=10.0)
    add("input.input", 1, widths[4], 4, 4)
    layer("conv1", widths[4], widths[4], up=False)
    styled("to_rgb1", widths[4], 3, 1)
    add("to_rgb1.bias", 1, 3, 1, 1)
    add("noises.noise_0", 1, 1, 4, 4)
    for index in range(int(math.log2(size)) - 2):
        here, before = 8 * 2**index, 4 * 2**index
        layer(f"convs.{2 * index}", widths[before], widths[here], up=True)
        layer(f"convs.{2 * index + 1}", widths[here], widths[here], up=False)
        styled(f"to_rgbs.{index}", widths[here], 3, 1)
        found[f"to_rgbs.{index}.upsample.kernel"] = KERNEL * 4
        add(f"to_rgbs.{index}.bias", 1, 3, 1, 1)
        for number in (2 * index + 1, 2 * index + 2):
            add(f"noises.noise_{number}", 1, 1, here, here)
    return found


def file_content(state: dict[str, Tensor], **more: object) -> dict[str, object]:
    """As its training saves."""
    return {"g": state, "d": {}, "g_ema": state, "args": argparse.Namespace(size=32, n_mlp=8), **more}


def discriminator_state(widths: dict[int, int], seed: int = 1) -> dict[str, Tensor]:
    """Random weights of a discriminator under the repository's names. widths: channels by size, from 4 px."""
    rng = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def layer(name: str, inputs: int, outputs: int, kernel: int, *, bias: str = "") -> None:
        found[f"{name}.weight"] = torch.randn((outputs, inputs, kernel, kernel), generator=rng)
        if bias:
            found[f"{bias}.bias"] = 0.3 * torch.randn(outputs, generator=rng)

    sizes = sorted(widths, reverse=True)
    layer("convs.0.0", 3, widths[sizes[0]], 1, bias="convs.0.1")
    for index, (here, below) in enumerate(itertools.pairwise(sizes), start=1):
        name, inputs, outputs = f"convs.{index}", widths[here], widths[below]
        layer(f"{name}.conv1.0", inputs, inputs, 3, bias=f"{name}.conv1.1")
        layer(f"{name}.conv2.1", inputs, outputs, 3, bias=f"{name}.conv2.2")
        layer(f"{name}.skip.1", inputs, outputs, 1)
        found[f"{name}.conv2.0.kernel"] = found[f"{name}.skip.0.kernel"] = KERNEL
    layer("final_conv.0", widths[4] + 1, widths[4], 3, bias="final_conv.1")
    for number, (inputs, outputs) in enumerate([(widths[4] * 16, widths[4]), (widths[4], 1)]):
        found[f"final_linear.{number}.weight"] = torch.randn((outputs, inputs), generator=rng)
        found[f"final_linear.{number}.bias"] = 0.3 * torch.randn(outputs, generator=rng)
    return found


def score(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Scores [N] of at most 4 pictures [N, 3, H, W]."""
    weights = {name: value.double() for name, value in state.items()}

    def convolved(x: Tensor, name: str, bias: str = "", **options: int) -> Tensor:
        weight = weights[f"{name}.weight"]
        y = F.conv2d(x, weight / math.sqrt(weight[0].numel()), **options)
        return _leaky(y + weights[f"{bias}.bias"][:, None, None]) if bias else y

    x = convolved(images.double(), "convs.0.0", "convs.0.1")
    index = 1
    while f"convs.{index}.skip.1.weight" in weights:
        name = f"convs.{index}"
        y = convolved(x, f"{name}.conv1.0", f"{name}.conv1.1", padding=1)
        y = convolved(_smoothed(y, 2), f"{name}.conv2.1", f"{name}.conv2.2", stride=2)
        x = (y + convolved(_smoothed(x, 1), f"{name}.skip.1", stride=2)) / math.sqrt(2)
        index += 1
    deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], dim=1)
    x = convolved(x, "final_conv.0", "final_conv.1", padding=1).flatten(1)
    first, last = (weights[f"final_linear.{n}.weight"] for n in (0, 1))
    x = _leaky(x @ first.T / math.sqrt(first.shape[1]) + weights["final_linear.0.bias"])
    return (x @ last.T / math.sqrt(last.shape[1]) + weights["final_linear.1.bias"])[:, 0]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def _smoothed(x: Tensor, pad: int) -> Tensor:
    """So many zeros on each side, then the kernel."""
    padded = F.pad(x, (pad,) * 4).flatten(0, 1)[:, None]
    return F.conv2d(padded, KERNEL.double()[None, None]).unflatten(0, x.shape[:2])[:, :, 0]


def picture(state: dict[str, Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """w [N, style] and picture [N, 3, H, W] of latents, with the fixed noise (randomize_noise=False)."""
    weights = {name: value.double() for name, value in state.items()}
    w = _map(weights, z.double())
    x = weights["input.input"].repeat(len(z), 1, 1, 1)
    x = _layer(weights, "conv1", x, w, weights["noises.noise_0"], up=False)
    image = _colour(weights, "to_rgb1", x, w)
    index = 0
    while f"to_rgbs.{index}.bias" in weights:
        for offset in (0, 1):
            number = 2 * index + offset
            noise = weights[f"noises.noise_{number + 1}"]
            x = _layer(weights, f"convs.{number}", x, w, noise, up=offset == 0)
        image = _doubled(image) + _colour(weights, f"to_rgbs.{index}", x, w)
        index += 1
    return w, image


def _map(weights: dict[str, Tensor], z: Tensor) -> Tensor:
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    index = 1
    while f"style.{index}.weight" in weights:
        weight, bias = weights[f"style.{index}.weight"], weights[f"style.{index}.bias"]
        scale = LR_MAPPING / math.sqrt(weight.shape[1])
        w = F.leaky_relu(w @ (weight * scale).T + bias * LR_MAPPING, 0.2) * math.sqrt(2)
        index += 1
    return w


def _modulated(weights: dict[str, Tensor], name: str, w: Tensor, *, demodulate: bool) -> Tensor:
    """[N, out, in, k, k]: a kernel for each sample."""
    weight = weights[f"{name}.conv.weight"]
    affine = weights[f"{name}.conv.modulation.weight"]
    style = w @ affine.T / math.sqrt(affine.shape[1]) + weights[f"{name}.conv.modulation.bias"]
    kernels = weight / math.sqrt(weight[0, 0].numel()) * style[:, None, :, None, None]
    if demodulate:
        kernels = kernels / (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return kernels


def _layer(weights: dict[str, Tensor], name: str, x: Tensor, w: Tensor, noise: Tensor, *, up: bool) -> Tensor:
    kernels = _modulated(weights, name, w, demodulate=True)
    if up:
        parts = [F.conv_transpose2d(x[n : n + 1], k.transpose(0, 1), stride=2) for n, k in enumerate(kernels)]
        y = _blurred(torch.cat(parts))
    else:
        y = torch.cat([F.conv2d(x[n : n + 1], k, padding=1) for n, k in enumerate(kernels)])
    y = y + weights[f"{name}.noise.weight"] * noise
    return F.leaky_relu(y + weights[f"{name}.activate.bias"][:, None, None], 0.2) * math.sqrt(2)


def _colour(weights: dict[str, Tensor], name: str, x: Tensor, w: Tensor) -> Tensor:
    kernels = _modulated(weights, name, w, demodulate=False)
    y = torch.cat([F.conv2d(x[n : n + 1], k) for n, k in enumerate(kernels)])
    return y + weights[f"{name}.bias"]


def _blurred(x: Tensor) -> Tensor:
    """[2H+1] to [2H]: one pixel of zeros on each side, then the kernel with gain 4."""
    padded = F.pad(x, (1, 1, 1, 1)).reshape(-1, 1, x.shape[2] + 2, x.shape[3] + 2)
    y = F.conv2d(padded, (KERNEL * 4).double()[None, None])
    return y.reshape(*x.shape[:2], *y.shape[2:])


def _doubled(x: Tensor) -> Tensor:
    """Zeros between the pixels, two before and one after, then the kernel with gain 4."""
    spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    padded = F.pad(spread, (2, 1, 2, 1)).reshape(-1, 1, spread.shape[2] + 3, spread.shape[3] + 3)
    y = F.conv2d(padded, (KERNEL * 4).double()[None, None])
    return y.reshape(*spread.shape)
