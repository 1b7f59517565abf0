"""DCGANs as PyTorch's tutorial has them (`main.0.weight`, ...): our layers under other names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._network import COUNTER, Kind, Network, fitted, shape_of
from mien.models.dcgan import PRESETS

_USUAL = PRESETS["default"].max_width
_FIRST = "main.0.weight"


def is_dcgan(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are the tutorial's, of a generator or a discriminator."""
    return _FIRST in tensors and all(name.startswith("main.") for name in tensors)


def generator(tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it."""
    convolutions = _convolutions(tensors)
    doublings = len(convolutions) - 1
    z_dim, widest = shape_of(tensors, _FIRST, 4)[:2]
    width, colours = shape_of(tensors, convolutions[-1], 4)[:2]
    numbers = {"z_dim": z_dim, "width_g": width, **_capped(width, widest, doublings)}
    ours = {_renamed(name): tensor for name, tensor in tensors.items()}
    ours.setdefault(f"layers.{3 * doublings}.bias", torch.zeros(colours))
    return _fitted("generator", numbers, ours, doublings, colours)


def discriminator(tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    width, colours = shape_of(tensors, _FIRST, 4)[:2]
    convolutions = _convolutions(tensors)
    doublings, last = len(convolutions) - 1, convolutions[-1].removesuffix("weight")
    outputs, widest = shape_of(tensors, convolutions[-1], 4)[:2]
    numbers = {"width_d": width, **_capped(width, widest, doublings)}
    ours = {
        f"head.{name.removeprefix(last)}" if name.startswith(last) else _renamed(name): tensor
        for name, tensor in tensors.items()
    }
    ours.setdefault("layers.0.bias", torch.zeros(width))
    ours.setdefault("head.bias", torch.zeros(outputs))
    return _fitted("discriminator", numbers, ours, doublings, colours)


def _renamed(name: str) -> str:
    return "layers." + name.removeprefix("main.")


def _convolutions(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the layers' weights, in order."""
    names = [name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim == 4]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".") if part.isdigit()])


def _capped(width: int, widest: int, doublings: int) -> dict[str, int]:
    """max_width, where widths stop doubling or exceed the usual one."""
    doubled = width << min(max(doublings - 1, 0), 16)
    return {"max_width": widest} if widest < doubled or widest > _USUAL else {}


def _fitted(
    kind: Kind, numbers: Mapping[str, int], tensors: Mapping[str, Tensor], doublings: int, colours: int
) -> Network:
    if not 0 < doublings < 7 or colours not in (1, 3):
        raise InputError(f"it is no dcgan network that mien knows: {doublings} doublings, {colours} channels")
    norms = [name.removesuffix("running_mean") for name in tensors if name.endswith(".running_mean")]
    counters = {norm + COUNTER: torch.zeros((), dtype=torch.int64) for norm in norms}
    return fitted("dcgan", kind, numbers, Spec(4 << doublings, colours), {**counters, **tensors})
