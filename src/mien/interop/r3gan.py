"""R3GAN's published networks: plain classes, other names than ours, the same arithmetic."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.interop._network import Kind, Network, channels, class_names, count, fitted

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


def is_r3gan(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are R3GAN's."""
    return any(name.startswith("Model.MainLayers.") for name in tensors)


def generator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A generator. Raises InputError where ours cannot hold it."""
    renamed = _renamed(tensors)
    widths = _by_size(_stage_widths(renamed, first=1))
    inputs = _shape(renamed, "stages.0.0.mix.weight", 2)[1]
    labels = _labels(renamed)
    z_dim = facts.attributes.get("z_dim", inputs // 2 if labels else inputs)
    config = {"z_dim": z_dim, **_sizes(renamed, widths, first=1)}
    return _fitted("generator", config, renamed, widths, labels, "to_rgb.weight", axis=0)


def discriminator(tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    renamed = _renamed(tensors)
    if "embed.weight" in renamed:  # ours has a part that no label changes; theirs has none
        renamed["common"] = torch.zeros(_shape(renamed, "embed.weight", 2)[0])
    widths = _by_size(_stage_widths(renamed, first=0)[::-1])
    config = _sizes(renamed, widths, first=0)
    return _fitted("discriminator", config, renamed, widths, _labels(renamed), "from_rgb.weight", axis=1)


def _fitted(
    kind: Kind,
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    widths: Mapping[int, int],
    labels: int,
    colours: str,
    *,
    axis: int,
) -> Network:
    spec = Spec(max(widths), _shape(tensors, colours, 4)[axis], labels, class_names(labels))
    return fitted("r3gan", kind, config, spec, tensors)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_name(name): tensor for name, tensor in tensors.items()}


def _name(name: str) -> str:
    """Ours for theirs; an unknown one stays, and is refused when names are matched."""
    if name in _ENDS:
        return _ENDS[name]
    match = _STAGE.fullmatch(name)
    return f"stages.{match[1]}.{match[2]}.{_PARTS[match[3]]}" if match and match[3] in _PARTS else name


def _by_size(widths: list[int]) -> dict[int, int]:
    """By resolution, from 4 px up."""
    return {4 * 2**index: width for index, width in enumerate(widths)}


def _stage_widths(tensors: Mapping[str, Tensor], *, first: int) -> list[int]:
    """Channels of each stage, in their order. first: the number of a stage's first block."""
    stages = count(tensors, f"stages.{{}}.{first}.conv1.weight")
    if not 0 < stages < 10:
        raise InputError("it has no stages of residual blocks, or too many")
    return [_shape(tensors, f"stages.{stage}.{first}.conv1.weight", 4)[1] for stage in range(stages)]


def _sizes(tensors: Mapping[str, Tensor], widths: Mapping[int, int], *, first: int) -> dict[str, int]:
    """Blocks a stage, channels, and channels a group."""
    blocks = 0
    while f"stages.0.{first + blocks}.conv1.weight" in tensors:
        blocks += 1
    group = _shape(tensors, f"stages.0.{first}.conv2.weight", 4)[1]
    return {"blocks": blocks, "group_size": group, **channels(widths)}


def _labels(tensors: Mapping[str, Tensor]) -> int:
    return _shape(tensors, "embed.weight", 2)[1] if "embed.weight" in tensors else 0


def _shape(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != dimensions:
        raise InputError(
            f"it is no r3gan network that mien knows: it lacks {name}, or has it in another shape"
        )
    return tuple(tensors[name].shape)
