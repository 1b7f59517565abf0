"""State dicts of mien's own `lite`, saved bare by other code: all sizes follow from the tensors' shapes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._network import COUNTER, NO_EMBEDDING, Kind, Network, class_names, count, fitted, shape_of
from mien.models.lite import PRESETS

_MAPPED, _FULL = "to_image.weight", "to_pixels.weight"  # without and with features at full resolution
_PLAIN, _SEES = "layers.{}.weight", "head.weight"
_USUAL = PRESETS["default"].max_width


def is_lite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are lite's, of a generator with or without w or of a discriminator."""
    if {"start.weight", "w_avg"} <= tensors.keys() and tensors.keys() & {_MAPPED, _FULL}:
        return True
    return _PLAIN.format(0) in tensors and ("layers.1.running_mean" in tensors or _SEES in tensors)


def generator(tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it."""
    if "w_avg" in tensors:
        full = _FULL in tensors
        colours, width = shape_of(tensors, _FULL if full else _MAPPED, 4)[:2]
        inputs, widest = shape_of(tensors, "start.weight", 4)[:2]
        doublings, layers = count(tensors, "norms.{}.running_mean"), count(tensors, "fc.{}.weight")
        numbers = {"mapping_layers": layers, "w_dim": shape_of(tensors, "w_avg", 1)[0]}
        if full:
            numbers["full_resolution"], doublings = True, doublings - 1
            width = shape_of(tensors, f"ups.{doublings - 1}.weight", 4)[1]
    else:
        doublings = len(_convolutions(tensors)) - 1
        width, colours = shape_of(tensors, _PLAIN.format(3 * doublings), 4)[:2]
        inputs, widest = shape_of(tensors, _PLAIN.format(0), 4)[:2]
        numbers = {"mapping_layers": 0}
    labels, z_dim = _labels(tensors), inputs
    if labels:
        z_dim = shape_of(tensors, "embed.weight", 2)[0]
    numbers |= {"z_dim": z_dim, "width_g": width, **_capped(width, widest, doublings)}
    return _fitted("generator", numbers, tensors, doublings, colours, labels)


def discriminator(tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    doublings = len(_convolutions(tensors))
    width, colours = shape_of(tensors, _PLAIN.format(0), 4)[:2]
    widest = shape_of(tensors, _PLAIN.format(2 * doublings - 2), 4)[0]
    numbers = {"width_d": width, **_capped(width, widest, doublings)}
    if shape_of(tensors, _SEES, 4)[1] == widest:  # no map of the minibatch's deviation beside the others
        numbers["stddev_group"] = 1
    if shape_of(tensors, _SEES, 4)[0] > 1 and not _labels(tensors):
        raise InputError(f"{NO_EMBEDDING}, and it was made with labels (--cond): it was saved in part")
    return _fitted("discriminator", numbers, tensors, doublings, colours, _labels(tensors))


def _convolutions(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if name.startswith("layers.") and tensor.ndim == 4]


def _labels(tensors: Mapping[str, Tensor]) -> int:
    return shape_of(tensors, "embed.weight", 2)[1] if "embed.weight" in tensors else 0


def _capped(width: int, widest: int, doublings: int) -> dict[str, int]:
    """max_width, where widths stop doubling or exceed the usual one."""
    doubled = width << min(max(doublings - 1, 0), 16)
    return {"max_width": widest} if widest < doubled or widest > _USUAL else {}


def _fitted(
    kind: Kind,
    numbers: Mapping[str, int],
    tensors: Mapping[str, Tensor],
    doublings: int,
    colours: int,
    labels: int,
) -> Network:
    if not 0 < doublings < 8 or colours not in (1, 3):
        raise InputError(f"it is no lite network that mien knows: {doublings} doublings, {colours} channels")
    norms = [name.removesuffix("running_mean") for name in tensors if name.endswith(".running_mean")]
    counters = {norm + COUNTER: torch.zeros((), dtype=torch.int64) for norm in norms}
    spec = Spec(4 << doublings, colours, labels, class_names(labels))
    return fitted("lite", kind, numbers, spec, {**counters, **tensors})
