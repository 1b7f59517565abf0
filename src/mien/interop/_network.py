"""A foreign network in terms of one of our families, checked name by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from mien.core import discover
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.nn.resample import binomial_filter

Kind = Literal["generator", "discriminator"]
_FILTERS = ("resample_filter", "filter")  # how our networks name the low-pass filter


@dataclass(frozen=True)
class Network:
    """A network for a family of ours. config, spec: for that family. tensors: by its names, float32.

    notes: lines for the user on what is not carried over.
    """

    family: str
    kind: Kind
    config: dict[str, Any]
    spec: Spec
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def fitted(
    family: str,
    kind: Kind,
    config: Mapping[str, Any],
    spec: Spec,
    tensors: Mapping[str, Tensor],
    *,
    notes: tuple[str, ...] = (),
) -> Network:
    """The network, every tensor of which is one of ours, of the same shape, with none missing.

    Raises InputError naming what does not fit, a filter that is not the usual one, or numbers not finite.
    """
    module = discover.load("mien.models", family)
    try:
        checked: BaseModel = module.Config(**config)
        with torch.device("meta"):
            ours = _build(module, kind, checked, spec).state_dict()
    except ValidationError as error:
        raise InputError(f"its sizes make no {family} ({' '.join(str(error).split())[:160]})") from error
    _match(ours, tensors, family)
    return Network(family, kind, checked.model_dump(), spec, _floats(tensors), notes)


def joined(g: Network, d: Network) -> dict[str, Any]:
    """One configuration for both: the generator's, with what only the discriminator's file could tell.

    A number that the two contradict stays the generator's, whose file is drawn from.
    """
    usual = discover.load("mien.models", g.family).Config().model_dump()
    return {name: d.config[name] if value == usual[name] else value for name, value in g.config.items()}


def _build(module: Any, kind: Kind, config: BaseModel, spec: Spec) -> nn.Module:
    network: nn.Module = (
        module.build_generator(config, spec)
        if kind == "generator"
        else module.build(config, spec).networks["d"]
    )
    return network


def _match(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], family: str) -> None:
    missing, unknown = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0][:80]!a}, which ours has not"
        raise InputError(f"it is no {family} network that mien knows: it {what}")
    for name, tensor in ours.items():
        if theirs[name].shape != tensor.shape:
            raise InputError(
                f"its {name} is {list(theirs[name].shape)}, and its sizes promise {list(tensor.shape)}"
            )


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    usual = binomial_filter()
    found = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(f"its {name} holds {tensor.dtype}, not floating-point numbers")
        values = tensor.float()
        if not values.isfinite().all():
            raise InputError(f"its {name} holds numbers that are not finite; its training had diverged")
        if name.rpartition(".")[2] in _FILTERS and not torch.allclose(values, usual, atol=1e-6):
            raise InputError(f"its {name} is not the filter [1, 3, 3, 1], the only one that mien has")
        found[name] = values
    return found


def class_names(count: int) -> tuple[str, ...]:
    """Names for labels that a file only counts."""
    return tuple(f"class{index}" for index in range(count))


def whole(facts: NetworkFacts, name: str) -> int:
    """A whole number that the network must say of itself. Raises InputError."""
    value = facts.attributes.get(name, facts.arguments.get(name))
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{facts.name} does not say its {name}")
    return value


def count(tensors: Mapping[str, Tensor], pattern: str, *, first: int = 0) -> int:
    """How many of pattern.format(first), pattern.format(first + 1), ... there are in a row."""
    found = 0
    while pattern.format(first + found) in tensors:
        found += 1
    return found


def channels(widths: Mapping[int, int]) -> dict[str, int]:
    """channel_base and channel_max that give these widths by resolution."""
    finest = max(widths)
    return {"channel_base": widths[finest] * finest, "channel_max": max(widths.values())}
