"""A foreign network in terms of one of our families, checked name by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from mien.core import discover
from mien.core.errors import InputError, first_problem
from mien.core.family import weightless
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.nn.resample import binomial_filter

Kind = Literal["generator", "discriminator"]
_FILTERS = ("resample_filter", "filter")  # how our networks name the low-pass filter
_MEAN_SAMPLES, _MEAN_SEED = 10_000, 123  # NVlabs' choice for statistics of w
_W_AVG = "mapping.w_avg"
_MOST_TAPS = 32
_CUT = "it was cut off, saved in part, or is of another architecture"
NO_EMBEDDING = "its embed.weight is missing"
COUNTER = "num_batches_tracked"  # of batch norm, whole numbers


@dataclass(frozen=True)
class Network:
    """A network for a family of ours. config, spec: for that family. tensors: by its names, float32.

    numbers: those of config that the file decides. notes: lines for the user on what is not carried over.
    """

    family: str
    kind: Kind
    config: dict[str, Any]
    numbers: dict[str, Any]
    spec: Spec
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def fitted(
    family: str,
    kind: Kind,
    numbers: Mapping[str, Any],
    spec: Spec,
    tensors: Mapping[str, Tensor],
    *,
    notes: tuple[str, ...] = (),
) -> Network:
    """The network, every tensor of which is one of ours, of the same shape, with none missing.

    Raises InputError naming what does not fit, filters that are not alike, or numbers not finite.
    """
    module = discover.load("mien.models", family)
    try:
        checked: BaseModel = module.Config(**numbers)
        with weightless():
            ours = _build(module, kind, checked, spec).state_dict()
    except ValidationError as error:
        name, value, reason = first_problem(error)
        raise InputError(f"its sizes make no {family} ({name}={value}: {reason})") from error
    _match(ours, tensors, family)
    if kind == "generator" and not spec.label_dim:
        notes += _without_embedding(module, checked)
    taps = getattr(checked, "resample_filter", "1,3,3,1")
    return Network(
        *(family, kind, checked.model_dump(), dict(numbers), spec, _floats(tensors, taps)), notes=notes
    )


def _without_embedding(module: Any, config: Any) -> tuple[str, ...]:
    """A note where a generator takes twice the usual numbers: those of labels, whose embedding is missing."""
    usual = {preset.z_dim for preset in module.PRESETS.values()} | {getattr(config, "w_dim", 0)}
    half = config.z_dim / 2
    if half not in usual or config.z_dim in usual:
        return ()
    return (f"{NO_EMBEDDING}, if it was made with labels (--cond, c_dim): read as z_dim={config.z_dim}",)


def joined(g: Network, d: Network) -> dict[str, Any]:
    """The numbers of both networks. Raises InputError where the two contradict: ours has one of each."""
    for name, value in d.numbers.items():
        if g.numbers.get(name, value) != value:
            raise InputError(
                f"its {name} is {value}, the generator's {g.numbers[name]}, and mien has one for both"
            )
    return {**d.numbers, **g.numbers}


def with_mean_of_w(network: Network) -> Network:
    """The StyleGAN2 generator with its mean of w measured, and a note that it was."""
    generator: Any = build(network)
    z = np.random.RandomState(_MEAN_SEED).randn(_MEAN_SAMPLES, generator.z_dim).astype(np.float32)
    labels = network.spec.label_dim
    rows = torch.eye(labels)[torch.arange(_MEAN_SAMPLES) % labels] if labels else None
    with torch.no_grad():
        labelled = [None] * 20 if rows is None else rows.chunk(20)
        pieces = zip(torch.from_numpy(z).chunk(20), labelled, strict=True)
        ws = torch.cat([generator.mapping(*piece)[:, 0] for piece in pieces])
    note = f"its mean of w is measured over {_MEAN_SAMPLES:,} latents"
    tensors = {**network.tensors, _W_AVG: ws.mean(dim=0)}
    return replace(network, tensors=tensors, notes=(*network.notes, note))


def build(network: Network) -> nn.Module:
    """The network itself, in eval mode."""
    module = discover.load("mien.models", network.family)
    with weightless():
        built = _build(module, network.kind, module.Config(**network.config), network.spec)
    built.load_state_dict(network.tensors, assign=True)
    return built.eval().requires_grad_(False)


def _build(module: Any, kind: Kind, config: BaseModel, spec: Spec) -> nn.Module:
    if kind == "generator":
        return cast(nn.Module, module.build_generator(config, spec))
    return cast(nn.Module, module.build(config, spec).networks["d"])


def _match(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], family: str) -> None:
    missing, unknown = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    no = f"it is no {family} network that mien knows:"
    if unknown:
        raise InputError(f"{no} it has {unknown[0][:80]!a}, which ours has not")
    if missing:
        raise InputError(f"{no} {len(missing)} of its {len(ours)} tensors are missing; {_CUT}")
    for name, tensor in ours.items():
        if theirs[name].shape != tensor.shape:
            raise InputError(
                f"its {name} is {list(theirs[name].shape)}, and its sizes promise {list(tensor.shape)}"
            )


def _floats(tensors: Mapping[str, Tensor], taps: str) -> dict[str, Tensor]:
    usual = binomial_filter(tuple(map(float, taps.split(","))))
    floats = {}
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] == COUNTER:
            floats[name] = tensor.long()
            continue
        if not tensor.is_floating_point():
            raise InputError(f"its {name} holds {tensor.dtype}, not floating-point numbers")
        values = tensor.float()
        if not values.isfinite().all():
            raise InputError(f"its {name} holds numbers that are not finite; its training had diverged")
        if name.rpartition(".")[2] in _FILTERS and not torch.allclose(values, usual, atol=1e-6):
            raise InputError(f"its {name} is not the filter [{taps}] of its other layers")
        floats[name] = values
    return floats


def taps_of(kernel: Tensor) -> str:
    """The taps of a low-pass filter [k, k], or [k] where it is stored so, as ours write them: "1,3,3,1".

    Raises InputError for one that is no outer product of a row with itself.
    """
    if kernel.ndim not in (1, 2) or not 0 < len(kernel) <= _MOST_TAPS:
        raise InputError(
            f"its resample_filter is {list(kernel.shape)}; mien's have at most {_MOST_TAPS} taps"
        )
    row = (kernel if kernel.ndim == 1 else kernel.sum(dim=0)).double()
    row = row / row.sum()
    plane = torch.outer(row, row) if kernel.ndim == 1 else kernel.double() / kernel.double().sum()
    if not row.isfinite().all() or not torch.allclose(plane, torch.outer(row, row), atol=1e-6):
        raise InputError("its resample_filter is no product of a row with itself, which mien's filters are")
    whole = row / row[row.abs() > 1e-6].abs().min()
    near = whole.round()
    if torch.allclose(whole, near, atol=1e-3):
        return ",".join(str(int(value)) for value in near)
    return ",".join(f"{value:.9f}" for value in row)


def class_names(count: int) -> tuple[str, ...]:
    """Names for labels that a file only counts."""
    return tuple(f"class{index}" for index in range(count))


def option_of(facts: NetworkFacts, name: str) -> Any:
    """An option that a network was made with, from its attributes or arguments; None if not said."""
    if facts.attributes.get(name) is not None:
        return facts.attributes[name]
    places = [facts.arguments, *(value for value in facts.arguments.values() if isinstance(value, dict))]
    return next((place[name] for place in places if place.get(name) is not None), None)


def shape_of(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there. Raises InputError."""
    if name not in tensors or tensors[name].ndim != dimensions:
        raise InputError(f"it is no network that mien knows: a layer is missing or of another kind; {_CUT}")
    return tuple(tensors[name].shape)


def count(tensors: Mapping[str, Tensor], pattern: str, *, first: int = 0) -> int:
    """How many of pattern.format(first), pattern.format(first + 1), ... there are in a row."""
    number = 0
    while pattern.format(first + number) in tensors:
        number += 1
    return number


def channels(tensors: Mapping[str, Tensor], names: Mapping[int, str], option: str) -> dict[str, int]:
    """channel_base and channel_max that give the widths of these weights, by resolution.

    option: what the file's program calls widths. Raises InputError where no two numbers give them.
    """
    widths = {size: shape_of(tensors, name, 4)[0] for size, name in names.items()}
    base, most = max(width * size for size, width in widths.items()), max(widths.values())
    for size, width in widths.items():
        if width != min(base // size, most):
            listed = ", ".join(map(str, widths.values()))
            raise InputError(f"its {option} gives the widths {listed} from {min(widths)} px up; mien's halve")
    return {"channel_base": base, "channel_max": most}
