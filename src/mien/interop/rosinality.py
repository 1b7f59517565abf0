"""StyleGAN2 of rosinality's stylegan2-pytorch (`.pt`): other names and layouts, the same arithmetic.

There the generator's modulated weight is [1, out, in, k, k], a colour bias [1, 3, 1, 1], a noise picture
[1, 1, H, W] and its strength [1]. Weights of unit variance are scaled when used, and the doubling convolution
is transposed, as here. Demodulation sees scaled weights there, plain ones here, which only moves its epsilon
of 1e-8.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import LATENT_MEAN
from mien.interop._network import Network, channels, count, fitted, shape_of, taps_of, with_mean_of_w
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
_MEAN = "mapping.w_avg"


def is_rosinality(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of its networks."""
    return any(name.startswith(("style.", "convs.", "to_rgbs.")) for name in tensors)


def generator(tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it.

    The mean of w is the file's `latent_avg`, or measured, since training does not keep one there. Noise that
    it has not, as files from before it was kept, is made anew.
    """
    kernels = {name: tensor for name, tensor in tensors.items() if _KERNEL.fullmatch(name)}
    named = {_name(name): _plain(tensor) for name, tensor in tensors.items() if name not in kernels}
    doublings = count(tensors, "to_rgbs.{}.bias")
    resolution = 4 * 2**doublings
    if "synthesis.b4.conv1.weight" not in named or "mapping.fc0.weight" not in named or doublings > 8:
        raise InputError("it is no generator of rosinality's stylegan2-pytorch (arch stylegan2)")
    taps = _taps(kernels)
    named |= dict.fromkeys(_filters(resolution), binomial_filter(tuple(map(float, taps.split(",")))))
    notes = _add_noise(named, doublings)
    size = shape_of(named, "mapping.fc0.weight", 2)[1]
    numbers = {
        "z_dim": size,
        "w_dim": size,
        "mapping_layers": count(named, "mapping.fc{}.weight"),
        **channels(named, _sizes("synthesis.b{}.conv1.weight", doublings), "channel_multiplier"),
        "resample_filter": taps,
    }
    has_mean = _flatten_mean(named, size)
    network = fitted("stylegan2", "generator", numbers, Spec(resolution), named, notes=notes)
    return network if has_mean else with_mean_of_w(network)


def discriminator(tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    kernels = {name: tensor for name, tensor in tensors.items() if _D_KERNEL.fullmatch(name)}
    halvings = count(tensors, "convs.{}.conv1.0.weight", first=1)
    resolution = 4 * 2**halvings
    named = {
        _d_name(name, resolution): tensor.flatten() if name.endswith("bias") else tensor
        for name, tensor in tensors.items()
        if name not in kernels
    }
    if not 0 < halvings < 9 or "b4.conv.weight" not in named:
        raise InputError("it is no discriminator of rosinality's stylegan2-pytorch (arch stylegan2)")
    taps = _taps(kernels)
    names = {**_sizes("b{}.conv0.weight", halvings), 4: "b4.conv.weight"}
    numbers = {
        **channels(named, names, "channel_multiplier"),
        "d_architecture": "resnet",
        "stddev_group": _D_GROUP,
        "resample_filter": taps,
    }
    named |= dict.fromkeys(_d_filters(resolution), binomial_filter(tuple(map(float, taps.split(",")))))
    return fitted("stylegan2", "discriminator", numbers, Spec(resolution), named)


def _sizes(pattern: str, doublings: int) -> dict[int, str]:
    return {4 * 2**n: pattern.format(4 * 2**n) for n in range(doublings + 1)}


def _add_noise(named: dict[str, Tensor], doublings: int) -> tuple[str, ...]:
    """Put noise where the file has none; a note if so. It is the same for every such file."""
    rng = torch.Generator().manual_seed(0)
    missing = False
    for size, name in _sizes("synthesis.b{}.conv{{}}.noise_const", doublings).items():
        for layer in (0, 1)[size == 4 :]:
            made = torch.randn((size, size), generator=rng)
            missing |= name.format(layer) not in named
            named.setdefault(name.format(layer), made)
    note = "the file has no noise (as those from before it was kept there): it is made anew"
    return (note,) if missing else ()


def _flatten_mean(named: dict[str, Tensor], size: int) -> bool:
    """Bring the mean of w to [size], from [1, size] or rows that are alike; False where there is none."""
    mean = named.get(_MEAN)
    if mean is None or mean.shape[-1:] != (size,):
        named[_MEAN] = torch.zeros(size)
        return False
    rows = mean.reshape(-1, size)
    named[_MEAN] = rows[0] if bool((rows == rows[0]).all()) else rows.float().mean(dim=0)
    return True


def _taps(kernels: Mapping[str, Tensor]) -> str:
    """The taps of its blur kernels, which must be alike. Raises InputError."""
    taps = {}
    for name, kernel in kernels.items():
        total = 1.0 if _D_KERNEL.fullmatch(name) else 4.0  # doubling makes up for the zeros
        if kernel.ndim != 2 or abs(float(kernel.sum()) - total) > 1e-3:
            raise InputError(f"its {name} is no low-pass filter with the gain {total:g}")
        taps[name] = taps_of(kernel)
    if len(set(taps.values())) > 1:
        raise InputError(f"its layers differ in blur_kernel ({'; '.join(sorted(set(taps.values())))})")
    return next(iter(taps.values()), "1,3,3,1")


def _name(name: str) -> str:
    """Ours for theirs; an unknown one stays, and is refused when names are matched."""
    if name == LATENT_MEAN:
        return _MEAN
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


def _d_filters(resolution: int) -> list[str]:
    parts = [f"b{2**n}.{part}" for n in range(3, resolution.bit_length()) for part in _D_FILTERED]
    names = [f"b{resolution}.fromrgb.", *parts, "b4.conv."]
    return [f"{name}resample_filter" for name in names]


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


def _filters(resolution: int) -> list[str]:
    names = ["synthesis.b4.resample_filter", "synthesis.b4.conv1.resample_filter"]
    for power in range(3, resolution.bit_length()):
        block = f"synthesis.b{2**power}."
        names += [f"{block}{part}resample_filter" for part in ("", "conv0.", "conv1.")]
    return names
