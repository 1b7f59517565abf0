"""StyleGAN2 of NVlabs' PyTorch releases (stylegan2-ada-pytorch, and stylegan3's stylegan2 configuration).

Our networks bear the official names, so that only sizes and conventions are to be read and checked. Sizes are
those of the weights; what a file says of itself must agree.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.interop._network import (
    Kind,
    Network,
    channels,
    class_names,
    count,
    fitted,
    option_of,
    shape_of,
    taps_of,
    with_mean_of_w,
)

_ACTIVATIONS = ("lrelu", "linear")
_MAPPING_GAIN = 0.01  # learning rate multiplier of mapping layers
_ALL = 64  # a minibatch-stddev group of a whole batch, in effect
_FC = re.compile(r"mapping\.fc(\d{1,2})\.(weight|bias)")
_BARE = "a bare state dict does not say its conv_clamp, lr_multiplier and the like: taken as published"


def refuse_others(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputError for an alias-free network, naming it, and for what is no StyleGAN2."""
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise InputError(
            f"{facts.full_name} is an alias-free StyleGAN3 network (stylegan3-t or -r), which mien cannot"
            " run; take a checkpoint of the stylegan2 configuration"
        )
    if not any(name.startswith(("synthesis.b4.", "b4.")) for name in tensors):
        raise InputError(f"{facts.full_name} is no network that mien knows (StyleGAN2, R3GAN or lite)")


def generator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A generator, its mean of w measured where it has none. Raises InputError where ours cannot hold it."""
    tensors, notes = _prepared(facts, tensors)
    names = _blocks(tensors, "synthesis.b{}.conv1.weight")
    resolution, w_dim = max(names), shape_of(tensors, "synthesis.b4.conv1.affine.weight", 2)[1]
    z_dim, labels = _mapping(facts, tensors, w_dim)
    numbers = {
        "z_dim": z_dim,
        "w_dim": w_dim,
        "mapping_layers": count(tensors, "mapping.fc{}.weight"),
        **channels(tensors, names, "channel_base"),
        "g_architecture": _g_architecture(tensors, resolution),
        "noise": "synthesis.b4.conv1.noise_strength" in tensors,
        **_conventions(facts, tensors),
        **_decay(facts),
    }
    colours = shape_of(tensors, f"synthesis.b{resolution}.torgb.weight", 4)[0]
    has_mean = "mapping.w_avg" in tensors
    tensors.setdefault("mapping.w_avg", torch.zeros(w_dim))
    converted = _fitted("generator", facts, numbers, Spec(resolution, colours, labels), tensors, notes)
    return converted if has_mean else with_mean_of_w(converted)


def discriminator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    tensors, notes = _prepared(facts, tensors)
    names = {4: "b4.conv.weight", **_blocks(tensors, "b{}.conv0.weight")}
    resolution = max(names)
    labels = shape_of(tensors, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in tensors else 0
    numbers = {
        **channels(tensors, names, "channel_base"),
        "d_architecture": _d_architecture(tensors, resolution),
        "stddev_group": _group(facts, tensors),
        "embed_layers": count(tensors, "mapping.fc{}.weight") or 8,
        **_conventions(facts, tensors),
    }
    if labels and len(tensors["mapping.embed.weight"]) != len(tensors["b4.conv.weight"]):
        raise InputError("it was made with a cmap_dim of its own; mien's is as wide as the layers at 4 px")
    colours = shape_of(tensors, f"b{resolution}.fromrgb.weight", 4)[1]
    return _fitted("discriminator", facts, numbers, Spec(resolution, colours, labels), tensors, notes)


def _prepared(
    facts: NetworkFacts, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors with our multiplier of the mapping and square filters, and notes. Raises InputError."""
    refuse_others(facts, tensors)
    _check_options(facts, tensors)
    prepared, scaled = {}, set()
    for name, tensor in tensors.items():
        if name.endswith("resample_filter") and tensor.ndim == 1:  # long filters are stored as rows
            taps_of(tensor)
            tensor = torch.outer(tensor, tensor)
        if match := _FC.fullmatch(name):
            gain = facts.attributes.get(f"mapping.fc{match[1]}.bias_gain", _MAPPING_GAIN)
            if not isinstance(gain, int | float) or not 0 < gain <= 1000:
                raise InputError(f"its mapping's lr_multiplier is {str(gain)[:20]!a}, which is no rate")
            if abs(gain - _MAPPING_GAIN) > 1e-9:
                tensor = tensor.float() * (gain / _MAPPING_GAIN)
                scaled.add(gain)
        prepared[name] = tensor
    notes = tuple(
        f"its mapping's lr_multiplier is {gain:g}: its weights are scaled to mien's {_MAPPING_GAIN}, which"
        " draws the same and learns at another pace"
        for gain in sorted(scaled)
    )
    return prepared, notes


def _check_options(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what ours have no like of, by the option that made it."""
    for name, value in facts.attributes.items():
        if name.rpartition(".")[2] == "activation" and value not in _ACTIVATIONS:
            raise InputError(f"it was made with activation={str(value)[:20]!a}; mien has leaky ReLU alone")
    for name, tensor in tensors.items():
        part = name.rpartition(".")[0].rpartition(".")[2]
        side = 3 if part in ("conv0", "conv1", "conv") else 1
        if name.endswith(".weight") and tensor.ndim == 4 and tensor.shape[-1] != side:
            raise InputError(f"it was made with kernel_size={tensor.shape[-1]} ({name}); mien has 3")
    head = tensors.get("b4.conv.weight")
    if head is not None and head.ndim == 4 and head.shape[1] > len(head) + 1:
        raise InputError(f"it was made with mbstd_num_channels={head.shape[1] - len(head)}; mien has 1")


def _blocks(tensors: Mapping[str, Tensor], pattern: str) -> dict[int, str]:
    """The names of `pattern` that are there, by resolution."""
    names = {2**power: pattern.format(2**power) for power in range(2, 11)}
    blocks = {size: name for size, name in names.items() if name in tensors}
    if not blocks:
        raise InputError("it has no blocks of convolutions for any resolution")
    return blocks


def _mapping(facts: NetworkFacts, tensors: Mapping[str, Tensor], w_dim: int) -> tuple[int, int]:
    """z_dim and c_dim of a mapping as wide as ours are. Raises InputError."""
    first = shape_of(tensors, "mapping.fc0.weight", 2)
    embed = shape_of(tensors, "mapping.embed.weight", 2) if "mapping.embed.weight" in tensors else (0, 0)
    options = {"layer_features": first[0], "embed_features": embed[0] or w_dim}
    for option, width in options.items():
        if width != w_dim:
            raise InputError(f"its mapping was made with {option}={width}; mien's is w_dim={w_dim} wide")
    z_dim = first[1] - embed[0]
    if z_dim < 1:
        raise InputError("it was made with z_dim=0, drawing by labels alone, which mien's generators do not")
    if option_of(facts, "z_dim") not in (None, z_dim):
        raise InputError(f"it says z_dim={option_of(facts, 'z_dim')}, and its weights are for {z_dim}")
    return z_dim, embed[1]


def _g_architecture(tensors: Mapping[str, Tensor], resolution: int) -> str:
    if "synthesis.b8.skip.weight" in tensors:
        return "resnet"
    return "orig" if resolution > 4 and "synthesis.b4.torgb.weight" not in tensors else "skip"


def _d_architecture(tensors: Mapping[str, Tensor], resolution: int) -> str:
    if "b4.fromrgb.weight" in tensors:
        return "skip"
    return "resnet" if f"b{resolution}.skip.weight" in tensors else "orig"


def _group(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> int:
    if "b4.mbstd.group_size" not in facts.attributes:
        weight = tensors["b4.conv.weight"]
        return 4 if weight.shape[1] > len(weight) else 1
    group = facts.attributes["b4.mbstd.group_size"]
    return group if isinstance(group, int) and group > 1 else _ALL


def _conventions(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What changes pictures and scores without changing a shape. Raises InputError where layers differ."""
    conventions: dict[str, Any] = {}
    if kernel := min((name for name in tensors if name.endswith("resample_filter")), default=None):
        conventions["resample_filter"] = taps_of(tensors[kernel])
    layers = {value for name, value in facts.attributes.items() if name.endswith(".conv_clamp")}
    clamps = {float(value) for value in (*layers, option_of(facts, "conv_clamp")) if _is_number(value)}
    if len(clamps) > 1:
        raise InputError(f"its layers differ in conv_clamp ({', '.join(f'{c:g}' for c in sorted(clamps))})")
    if clamps:
        conventions["conv_clamp"] = clamps.pop()
    if low := _half(facts):
        conventions["bf16_blocks"] = low
    return conventions


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _half(facts: NetworkFacts) -> int:
    """How many of the finest resolutions computed in half precision."""
    low = option_of(facts, "num_fp16_res")
    blocks = sum(name.endswith("use_fp16") and value is True for name, value in facts.attributes.items())
    return low if isinstance(low, int) and 0 < low <= 16 else min(blocks, 16)


def _decay(facts: NetworkFacts) -> dict[str, float]:
    value = option_of(facts, "mapping.w_avg_beta") or option_of(facts, "w_avg_beta")
    return {"w_average_decay": float(value)} if _is_number(value) and 0 <= value < 1 else {}


def _fitted(
    kind: Kind,
    facts: NetworkFacts,
    numbers: Mapping[str, Any],
    spec: Spec,
    tensors: Mapping[str, Tensor],
    notes: tuple[str, ...],
) -> Network:
    said = {"img_resolution": spec.resolution, "img_channels": spec.channels, "c_dim": spec.label_dim}
    for name, value in said.items():
        if option_of(facts, name) not in (None, value):
            raise InputError(f"it says {name}={option_of(facts, name)}, and its weights are for {value}")
    named = Spec(spec.resolution, spec.channels, spec.label_dim, class_names(spec.label_dim))
    clamp, low = numbers.get("conv_clamp"), numbers.get("bf16_blocks")
    more = [] if facts.attributes or facts.arguments else [_BARE]
    more += [f"conv_clamp {clamp:g} comes too: what layers give is held within it"] if clamp else []
    more += [f"num_fp16_res {low}: drawn in float32 here, trained in bfloat16 there"] if low else []
    return fitted("stylegan2", kind, numbers, named, tensors, notes=(*notes, *more))
