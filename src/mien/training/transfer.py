"""Beginning with the weights of another model, and holding some of its discriminator fixed.

FreezeD (Mo et al. 2020, arXiv:2002.10964): its layers next to the picture keep what they know.
"""

from collections.abc import Mapping
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


@torch.no_grad()
def take(network: nn.Module, weights: Weights) -> Taken:
    """Copy into `network` what fits by name; of a tensor that grew or shrank, the part that both have.

    In a generator that learns to take labels, say, the layer that sees latent and label keeps what it does
    with the latent.
    """
    whole: list[str] = []
    partly: list[str] = []
    new: list[str] = []
    for name, tensor in network.state_dict().items():
        given = weights.get(name)
        if given is None or given.ndim != tensor.ndim:
            new.append(name)
        elif given.shape == tensor.shape:
            tensor.copy_(given)
            whole.append(name)
        else:
            both = tuple(slice(min(a, b)) for a, b in zip(given.shape, tensor.shape, strict=True))
            tensor[both].copy_(given[both])
            partly.append(name)
    return Taken(tuple(whole), tuple(partly), tuple(new))


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
