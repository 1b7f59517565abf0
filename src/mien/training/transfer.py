"""Beginning with the weights of another model, and holding some of its discriminator fixed.

FreezeD (Mo et al. 2020, arXiv:2002.10964): its layers next to the picture keep what they know.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Freezable

Weights = Mapping[str, Tensor]


class Taken(NamedTuple):
    """Names of a network's tensors: taken whole, taken as far as both have them, new."""

    whole: tuple[str, ...]
    partly: tuple[str, ...]
    new: tuple[str, ...]

    def told(self) -> str:
        """In words."""
        parts = [f"{len(self.whole)} tensors taken"]
        parts += [f"in part: {', '.join(self.partly)}"] if self.partly else []
        parts += [f"new: {', '.join(self.new)}"] if self.new else []
        return "; ".join(parts)


def check(weights: Weights, like: nn.Module) -> str | None:
    """What in `weights` does not fit a network exactly like `like`, in words; None where all does."""
    expected = like.state_dict()
    if missing := sorted(expected.keys() - weights.keys()):
        return f"{missing[0]} is missing"
    if extra := sorted(weights.keys() - expected.keys()):
        return f"{extra[0]} is not known here"
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            return f"{name} is {_size(weights[name])} there and {_size(tensor)} here"
    return None


class Columns(NamedTuple):
    """Label columns that two networks share by name.

    tensors: names of the tensors whose last dimension is the label columns. pairs: (here, there).
    """

    tensors: frozenset[str]
    pairs: tuple[tuple[int, int], ...]


@torch.no_grad()
def take(
    network: nn.Module, weights: Weights, *, columns: Columns | None = None, parts: bool = True
) -> Taken:
    """Copy into `network` what fits by name; with `parts`, of a tensor that grew or shrank what both have.

    In a generator that learns to take labels, say, the layer that sees latent and label keeps what it does
    with the latent. columns: labels that are matched by name; others are made anew.
    """
    sorted_: dict[str, list[str]] = {"whole": [], "partly": [], "new": []}
    for name, tensor in network.state_dict().items():
        pairs = columns.pairs if columns is not None and name in columns.tensors else None
        sorted_[_take_one(tensor, weights.get(name), pairs, parts=parts)].append(name)
    return Taken(*(tuple(names) for names in sorted_.values()))


def _take_one(
    tensor: Tensor, given: Tensor | None, pairs: Sequence[tuple[int, int]] | None, *, parts: bool
) -> str:
    """Copy what fits into one tensor, and say how much that was."""
    if given is None or given.ndim != tensor.ndim:
        return "new"
    if pairs is not None:
        for here, there in pairs:
            tensor[..., here].copy_(given[..., there])
        return "whole" if len(pairs) == tensor.shape[-1] else "partly" if pairs else "new"
    if given.shape == tensor.shape:
        tensor.copy_(given)
        return "whole"
    if not parts:
        return "new"
    both = tuple(slice(min(a, b)) for a, b in zip(given.shape, tensor.shape, strict=True))
    tensor[both].copy_(given[both])
    return "partly"


def first_layers(discriminator: nn.Module, count: int) -> tuple[nn.Parameter, ...]:
    """The parameters of the `count` layers next to the picture. Raises InputError where there are fewer."""
    if not count:
        return ()
    layers = discriminator.freezable if isinstance(discriminator, Freezable) else ()
    if count > len(layers):
        raise InputError(f"--freeze-d {count}: this discriminator has {len(layers)} layers that can be held")
    return tuple(parameter for layer in layers[:count] for parameter in layer.parameters())


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
