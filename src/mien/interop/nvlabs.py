"""StyleGAN2 of NVlabs' PyTorch releases (stylegan2-ada-pytorch, and stylegan3's stylegan2 configuration).

Our networks bear the official names, so that only sizes and conventions are to be read and checked.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._facts import NetworkFacts
from mien.interop._network import Network, channels, class_names, count, fitted, whole

_ACTIVATIONS = ("lrelu", "linear")
_MAPPING_GAIN = 0.01  # learning rate multiplier of mapping layers
_ALL = 64  # a minibatch-stddev group of a whole batch, in effect


def refuse_others(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputError for an alias-free network, naming it, and for what is no StyleGAN2."""
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise InputError(
            f"{facts.full_name} is an alias-free StyleGAN3 network (stylegan3-t or -r), which mien cannot"
            " run; take a checkpoint of the stylegan2 configuration"
        )
    if not any(name.startswith(("synthesis.b4.", "b4.")) for name in tensors):
        raise InputError(f"{facts.full_name} is no network that mien knows (StyleGAN2 or R3GAN)")


def generator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A generator with its running mean of w. Raises InputError where ours cannot hold it."""
    refuse_others(facts, tensors)
    _check_conventions(facts)
    resolution, labels = whole(facts, "img_resolution"), whole(facts, "c_dim")
    config = {
        "z_dim": whole(facts, "z_dim"),
        "w_dim": whole(facts, "w_dim"),
        "mapping_layers": count(tensors, "mapping.fc{}.weight"),
        **channels(_widths(tensors, "synthesis.b{}.conv1.weight", resolution)),
        "g_architecture": "resnet" if "synthesis.b8.skip.weight" in tensors else "skip",
        **_decay(facts),
    }
    spec = Spec(resolution, whole(facts, "img_channels"), labels, class_names(labels))
    return fitted("stylegan2", "generator", config, spec, tensors, notes=_notes(facts))


def discriminator(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> Network:
    """A discriminator. Raises InputError where ours cannot hold it."""
    refuse_others(facts, tensors)
    _check_conventions(facts)
    resolution, labels = whole(facts, "img_resolution"), whole(facts, "c_dim")
    widths = _widths(tensors, "b{}.conv0.weight", resolution, first=8)
    widths[4] = len(tensors["b4.conv.weight"]) if "b4.conv.weight" in tensors else 1
    architecture = "resnet" if f"b{resolution}.skip.weight" in tensors else "orig"
    config = {
        **channels(widths),
        "d_architecture": "skip" if "b4.fromrgb.weight" in tensors else architecture,
        "stddev_group": _group(facts, tensors),
        "embed_layers": count(tensors, "mapping.fc{}.weight") or 8,
    }
    spec = Spec(resolution, whole(facts, "img_channels"), labels, class_names(labels))
    return fitted("stylegan2", "discriminator", config, spec, tensors, notes=_notes(facts))


def _widths(
    tensors: Mapping[str, Tensor], pattern: str, resolution: int, *, first: int = 4
) -> dict[int, int]:
    """Channels by resolution, as the weights have them."""
    sizes = [2**power for power in range(first.bit_length() - 1, max(resolution, 1).bit_length())]
    found = {size: len(tensors[name]) for size in sizes if (name := pattern.format(size)) in tensors}
    if not found:
        raise InputError(f"it has no blocks for pictures of {resolution} px")
    return found


def _group(facts: NetworkFacts, tensors: Mapping[str, Tensor]) -> int:
    if "b4.mbstd.group_size" not in facts.attributes:
        weight = tensors.get("b4.conv.weight")
        return 4 if weight is not None and weight.ndim == 4 and weight.shape[1] > len(weight) else 1
    group = facts.attributes["b4.mbstd.group_size"]
    return group if isinstance(group, int) and group > 1 else _ALL


def _check_conventions(facts: NetworkFacts) -> None:
    """Refuse what changes the pictures without changing any tensor's shape."""
    for name, value in facts.attributes.items():
        last = name.rpartition(".")[2]
        if last == "activation" and value not in _ACTIVATIONS:
            raise InputError(f"its {name} is {str(value)[:20]!a}; mien has leaky ReLU alone")
        layer = name.startswith("mapping.fc") and last == "bias_gain"
        if layer and (not isinstance(value, float) or abs(value - _MAPPING_GAIN) > 1e-9):
            raise InputError(f"its {name} is {value}; mien's mapping has {_MAPPING_GAIN}")


def _decay(facts: NetworkFacts) -> dict[str, float]:
    value = facts.attributes.get("mapping.w_avg_beta")
    return {"w_average_decay": value} if isinstance(value, float) and 0 <= value < 1 else {}


def _notes(facts: NetworkFacts) -> tuple[str, ...]:
    notes = []
    kwargs = [facts.arguments, *(v for v in facts.arguments.values() if isinstance(v, dict))]
    clamp, low = _first(kwargs, "conv_clamp"), _first(kwargs, "num_fp16_res")
    if clamp is not None:
        notes.append(f"conv_clamp {clamp} is left out: mien clamps colours at 256 and computes in float32")
    if low:
        notes.append(f"num_fp16_res {low} is left out: weights are float32 here")
    return tuple(notes)


def _first(places: list[dict[str, Any]], name: str) -> Any:
    return next((place[name] for place in places if place.get(name) is not None), None)
