"""StyleGAN2 of rosinality's stylegan2-pytorch (`.pt`): other names and layouts, the same arithmetic.

There the generator's modulated weight is [1, out, in, k, k], a colour bias [1, 3, 1, 1], a noise picture
[1, 1, H, W] and its strength [1]. Weights of unit variance are scaled when used, and the doubling convolution
is transposed, as here. Demodulation sees scaled weights there, plain ones here, which only moves its epsilon
of 1e-8.
"""

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import LATENT_MEAN
from mien.interop._network import Network, channels, count, fitted
from mien.models import stylegan2
from mien.nn.resample import binomial_filter

_STYLED = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
}
_COLOUR = {**_STYLED, "bias": "bias"}
_KERNEL = re.compile(r"(convs|to_rgbs)\.\d+\.(conv\.blur|upsample)\.kernel")
_D_KERNEL = re.compile(r"convs\.\d+\.(conv2|skip)\.0\.kernel")
_D_BLOCK = re.compile(r"convs\.(\d{1,2})\.(.+)")
_D_PARTS = {
    **{"conv1.0.weight": "conv0.weight", "conv1.1.bias": "conv0.bias"},
    **{"conv2.1.weight": "conv1.weight", "conv2.2.bias": "conv1.bias", "skip.1.weight": "skip.weight"},
}
_D_HEAD = {
    **{"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"},
    **{f"final_linear.0.{part}": f"b4.fc.{part}" for part in ("weight", "bias")},
    **{f"final_linear.1.{part}": f"b4.out.{part}" for part in ("weight", "bias")},
}
_D_COLOURS = {"0.weight": "weight", "1.bias": "bias"}
_D_FILTERED = ("", "conv0.", "conv1.", "skip.")
_D_GROUP = 4  # samples of a minibatch-stddev group
_INDEXED = re.compile(r"(style|convs|to_rgbs|noises)\.(?:noise_)?(\d{1,2})(?:\.(.+))?")
_MEAN_SAMPLES, _MEAN_SEED = 10_000, 123  # NVlabs' choice for statistics of w


def generator(tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it.

    The mean of w is the file's `latent_avg`, or measured, since training does not keep one there.
    """
    _check_kernels(tensors, _KERNEL, binomial_filter() * 4)  # doubling makes up for the zeros
    named = {_name(name): _plain(tensor) for name, tensor in tensors.items() if not _KERNEL.fullmatch(name)}
    doublings = count(tensors, "to_rgbs.{}.bias")
    resolution = 4 * 2**doublings
    if "synthesis.b4.conv1.weight" not in named or "mapping.fc0.weight" not in named or doublings > 8:
        raise InputError("it is no generator of rosinality's stylegan2-pytorch (arch stylegan2)")
    named |= _filters(resolution)
    size = named["mapping.fc0.weight"].shape[-1]
    config = {
        "z_dim": size,
        "w_dim": size,
        "mapping_layers": count(named, "mapping.fc{}.weight"),
        **channels(_widths(named, doublings)),
    }
    measured = "mapping.w_avg" not in named
    notes = (f"its mean of w is measured over {_MEAN_SAMPLES:,} latents",) if measured else ()
    named.setdefault("mapping.w_avg", torch.zeros(size))
    network = fitted("stylegan2", "generator", config, Spec(resolution), named, notes=notes)
    if measured:
        network.tensors["mapping.w_avg"] = _mean(network)
    return network


def discriminator(tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    _check_kernels(tensors, _D_KERNEL, binomial_filter())
    halvings = count(tensors, "convs.{}.conv1.0.weight", first=1)
    resolution = 4 * 2**halvings
    named = {
        _d_name(name, resolution): tensor.flatten() if name.endswith("bias") else tensor
        for name, tensor in tensors.items()
        if not _D_KERNEL.fullmatch(name)
    }
    widths = {2**n: f"b{2**n}.conv0.weight" for n in range(3, halvings + 3)} | {4: "b4.conv.weight"}
    if not 0 < halvings < 9 or any(name not in named for name in widths.values()):
        raise InputError("it is no discriminator of rosinality's stylegan2-pytorch (arch stylegan2)")
    config = {
        **channels({size: len(named[name]) for size, name in widths.items()}),
        "d_architecture": "resnet",
        "stddev_group": _D_GROUP,
    }
    return fitted("stylegan2", "discriminator", config, Spec(resolution), named | _d_filters(resolution))


def _widths(named: Mapping[str, Tensor], doublings: int) -> dict[int, int]:
    names = {4 * 2**n: f"synthesis.b{4 * 2**n}.conv1.weight" for n in range(doublings + 1)}
    missing = [name for name in names.values() if name not in named]
    if missing:
        raise InputError(f"it is no stylegan2 network that mien knows: it lacks {missing[0]}")
    return {size: len(named[name]) for size, name in names.items()}


def _name(name: str) -> str:
    """Ours for theirs; an unknown one stays, and is refused when names are matched."""
    if name == LATENT_MEAN:
        return "mapping.w_avg"
    if name == "input.input":
        return "synthesis.b4.const"
    for first, layer, parts in (("conv1.", "conv1", _STYLED), ("to_rgb1.", "torgb", _COLOUR)):
        if name.startswith(first) and name.removeprefix(first) in parts:
            return f"synthesis.b4.{layer}.{parts[name.removeprefix(first)]}"
    match = _INDEXED.fullmatch(name)
    return (match and _indexed(match[1], int(match[2]), match[3] or "")) or name


def _d_name(name: str, resolution: int) -> str:
    """Ours for theirs: convs.0 takes the colours, each of the others halves the size."""
    colours = {f"convs.0.{theirs}": f"b{resolution}.fromrgb.{part}" for theirs, part in _D_COLOURS.items()}
    match = _D_BLOCK.fullmatch(name)
    if match and match[2] in _D_PARTS:
        return f"b{(2 * resolution) >> int(match[1])}.{_D_PARTS[match[2]]}"
    return (colours | _D_HEAD).get(name, name)


def _d_filters(resolution: int) -> dict[str, Tensor]:
    parts = [f"b{2**n}.{part}" for n in range(3, resolution.bit_length()) for part in _D_FILTERED]
    names = [f"b{resolution}.fromrgb.", *parts, "b4.conv."]
    return {f"{name}resample_filter": binomial_filter() for name in names}


def _indexed(group: str, index: int, part: str) -> str | None:
    """Of the 2n+1 convolutions the first has 4 px; then two a resolution: conv0 (doubling) and conv1."""
    if group == "style" and index:
        return f"mapping.fc{index - 1}.{part}"  # style.0 is the pixel norm, which has no weights
    if group == "convs" and part in _STYLED:
        return f"synthesis.b{8 * 2 ** (index // 2)}.conv{index % 2}.{_STYLED[part]}"
    if group == "to_rgbs" and part in _COLOUR:
        return f"synthesis.b{8 * 2**index}.torgb.{_COLOUR[part]}"
    if group == "noises" and not part:
        block, layer = (4, 1) if index == 0 else (4 * 2 ** ((index + 1) // 2), (index + 1) % 2)
        return f"synthesis.b{block}.conv{layer}.noise_const"
    return None


def _plain(tensor: Tensor) -> Tensor:
    """Without the leading ones that broadcasting needs there, as our layouts are."""
    if tensor.ndim == 5 or (tensor.ndim == 4 and tensor.shape[0] == 1):
        tensor = tensor[0]
    if tensor.ndim == 3 and tensor.shape[1:] == (1, 1):
        return tensor[:, 0, 0]
    if tensor.ndim == 3 and tensor.shape[0] == 1:
        return tensor[0]
    return tensor.reshape([]) if tensor.shape == (1,) else tensor


def _check_kernels(tensors: Mapping[str, Tensor], kernel: re.Pattern[str], usual: Tensor) -> None:
    """Blur kernels are buffers there."""
    for name, tensor in tensors.items():
        if kernel.fullmatch(name) and (tensor.shape != (4, 4) or not torch.allclose(tensor.float(), usual)):
            raise InputError(f"its {name} is not the filter [1, 3, 3, 1], the only one that mien has")


def _filters(resolution: int) -> dict[str, Tensor]:
    names = ["synthesis.b4.resample_filter", "synthesis.b4.conv1.resample_filter"]
    for power in range(3, resolution.bit_length()):
        block = f"synthesis.b{2**power}."
        names += [f"{block}{part}resample_filter" for part in ("", "conv0.", "conv1.")]
    return {name: binomial_filter() for name in names}


@torch.no_grad()
def _mean(network: Network) -> Tensor:
    config = stylegan2.Config(**network.config)
    generator = stylegan2.build_generator(config, network.spec).eval()
    generator.load_state_dict(network.tensors)
    z = np.random.RandomState(_MEAN_SEED).randn(_MEAN_SAMPLES, config.z_dim).astype(np.float32)
    found = [generator.mapping(piece, None)[:, 0] for piece in torch.from_numpy(z).chunk(20)]
    return torch.cat(found).mean(dim=0)
