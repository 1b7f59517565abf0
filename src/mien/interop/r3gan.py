"""R3GAN's published networks: plain classes, other names than ours, the same arithmetic."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.interop._network import Kind, Network, channels, class_names, count, fitted, shape_of
from mien.nn.r3gan import groups_of

_STAGE = re.compile(r"Model\.MainLayers\.(\d{1,2})\.Layers\.(\d{1,3})\.(.+)")
_ENDS = {
    "Model.AggregationLayer.Layer.weight": "to_rgb.weight",
    "Model.ExtractionLayer.Layer.weight": "from_rgb.weight",
    "Model.EmbeddingLayer.weight": "embed.weight",
}
_PARTS = {
    **{f"LinearLayer{n}.Layer.weight": f"conv{n}.weight" for n in (1, 2, 3)},
    **{f"NonLinearity{n}.Bias": f"bias{n}" for n in (1, 2)},
    "Resampler.Kernel": "filter",
    "LinearLayer.Layer.weight": "project.weight",
    "Basis": "basis",
    "Basis.weight": "basis.weight",
    "LinearLayer.weight": "mix.weight",
}
_BF16 = "torch.bfloat16"


def is_r3gan(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are R3GAN's."""
    return any(name.startswith("Model.MainLayers.") for name in tensors)


def generator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it."""
    renamed = {_name(name): tensor for name, tensor in tensors.items()}
    stages = list(range(_stages(renamed, first=1)))
    inputs = shape_of(renamed, "stages.0.0.mix.weight", 2)[1]
    z_dim = facts.attributes.get("z_dim", inputs // 2 if "embed.weight" in renamed else inputs)
    numbers = {"z_dim": z_dim, **_numbers(facts, renamed, stages, first=1)}
    return _fitted("generator", numbers, renamed, len(stages), shape_of(renamed, "to_rgb.weight", 4)[0])


def discriminator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    renamed = {_name(name): tensor for name, tensor in tensors.items()}
    if "embed.weight" in renamed:  # ours has a part that no label changes; theirs has none
        renamed["common"] = torch.zeros(shape_of(renamed, "embed.weight", 2)[0])
    stages = list(range(_stages(renamed, first=0)))[::-1]
    numbers = _numbers(facts, renamed, stages, first=0)
    return _fitted("discriminator", numbers, renamed, len(stages), shape_of(renamed, "from_rgb.weight", 4)[1])


def _fitted(
    kind: Kind, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor], stages: int, colours: int
) -> Network:
    labels = shape_of(tensors, "embed.weight", 2)[1] if "embed.weight" in tensors else 0
    spec = Spec(4 * 2 ** (stages - 1), colours, labels, class_names(labels))
    low = numbers.get("bf16_stages")
    notes = (f"{low} stages in bfloat16: drawn in float32 here, trained in bfloat16",) if low else ()
    return fitted("r3gan", kind, numbers, spec, tensors, notes=notes)


def _name(name: str) -> str:
    """Ours for theirs; an unknown one stays, and is refused when names are matched."""
    if name in _ENDS:
        return _ENDS[name]
    match = _STAGE.fullmatch(name)
    return f"stages.{match[1]}.{match[2]}.{_PARTS[match[3]]}" if match and match[3] in _PARTS else name


def _stages(tensors: Mapping[str, Tensor], *, first: int) -> int:
    """How many stages there are. first: the number of a stage's first block."""
    stages = count(tensors, f"stages.{{}}.{first}.conv1.weight")
    if not 0 < stages < 10:
        raise InputError("it has no stages of residual blocks (BlocksPerStage), or too many")
    return stages


def _numbers(
    facts: NetworkFacts, tensors: Mapping[str, Tensor], stages: list[int], *, first: int
) -> dict[str, Any]:
    """Blocks, channels, channels a group, stages in bfloat16. stages: their numbers, from 4 px up.

    Raises InputError for what ours have no like of, by the option that made it.
    """
    for name, tensor in tensors.items():
        if name.endswith(".filter") and tuple(tensor.shape) != (4, 4):
            raise InputError(f"its ResamplingFilter has {len(tensor) - 1} taps; mien has [1, 2, 1]")
        if name.endswith("conv2.weight") and tensor.ndim == 4 and tensor.shape[-1] != 3:
            raise InputError(f"it was made with KernelSize={tensor.shape[-1]}; mien has 3")
    names = {4 * 2**place: f"stages.{stage}.{first}.conv3.weight" for place, stage in enumerate(stages)}
    blocks = [count(tensors, f"stages.{stage}.{{}}.conv1.weight", first=first) for stage in stages]
    low = sum(value == _BF16 for name, value in facts.attributes.items() if name.endswith(".DataType"))
    return {
        **channels(tensors, names, "WidthPerStage"),
        "blocks": blocks[0],
        **({"stage_blocks": ",".join(map(str, blocks))} if len(set(blocks)) > 1 else {}),
        "group_size": _group(tensors, stages, first),
        **({"bf16_stages": low} if low else {}),
    }


def _group(tensors: Mapping[str, Tensor], stages: list[int], first: int) -> int:
    """Channels a group of the 3x3 convolutions, alike in all stages. Raises InputError."""
    group_of: dict[int, int] = {}  # from channels
    for stage in stages:
        wide, inputs, *_ = shape_of(tensors, f"stages.{stage}.{first}.conv1.weight", 4)
        if wide != 2 * inputs:
            raise InputError(f"it was made with ExpansionFactor={wide / inputs:g}; mien has 2")
        group_of[wide] = shape_of(tensors, f"stages.{stage}.{first}.conv2.weight", 4)[1]
    size = max(group_of.values())
    if any(wide // groups_of(wide, size) != group for wide, group in group_of.items()):
        listed = ", ".join(map(str, group_of.values()))
        raise InputError(
            f"its CardinalityPerStage makes groups of {listed} channels; mien has one size for all"
        )
    return size
