"""Transfer learning: copy the weights of another model, and freeze layers of its discriminator.

FreezeD (Mo et al. 2020, arXiv:2002.10964): the layers next to the image keep their weights.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Freezable

Weights = Mapping[str, Tensor]


class Transfer(NamedTuple):
    """Names of a network's tensors: copied whole, copied in part, and newly initialised ones."""

    whole: tuple[str, ...]
    partly: tuple[str, ...]
    new: tuple[str, ...]

    def summary(self) -> str:
        """The counts in words."""
        parts = [f"{len(self.whole)} tensors taken"]
        parts += [f"in part: {', '.join(self.partly)}"] if self.partly else []
        parts += [f"new: {', '.join(self.new)}"] if self.new else []
        return "; ".join(parts)


def mismatch(weights: Weights, like: nn.Module) -> str | None:
    """The first mismatch between `weights` and the network `like`, in words; None where all fit."""
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
def copy_weights(
    network: nn.Module, weights: Weights, *, columns: Columns | None = None, parts: bool = True
) -> Transfer:
    """Copy the weights that fit by name; with `parts`, of a tensor that grew or shrank the common part.

    In a generator that learns to take labels, say, the layer that sees latent and label keeps what it does
    with the latent. columns: labels that are matched by name; others are made anew.
    """
    by_outcome: dict[str, list[str]] = {"whole": [], "partly": [], "new": []}
    for name, tensor in network.state_dict().items():
        pairs = columns.pairs if columns is not None and name in columns.tensors else None
        by_outcome[_copy_tensor(tensor, weights.get(name), pairs, parts=parts)].append(name)
    return Transfer(*(tuple(names) for names in by_outcome.values()))


def _copy_tensor(
    tensor: Tensor, source: Tensor | None, pairs: Sequence[tuple[int, int]] | None, *, parts: bool
) -> str:
    """Copy what fits into one tensor; return "whole", "partly" or "new"."""
    if source is None or source.ndim != tensor.ndim:
        return "new"
    if pairs is not None:
        for column, source_column in pairs:
            tensor[..., column].copy_(source[..., source_column])
        return "whole" if len(pairs) == tensor.shape[-1] else "partly" if pairs else "new"
    if source.shape == tensor.shape:
        tensor.copy_(source)
        return "whole"
    if not parts:
        return "new"
    common = tuple(slice(min(a, b)) for a, b in zip(source.shape, tensor.shape, strict=True))
    tensor[common].copy_(source[common])
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
