"""NVlabs' checkpoints (`.pkl`): read as data, never executed.

Official loading runs the source text inside the file. Here the pickle passes a machine that can call nothing
(`_machine`), known names get a meaning (`_values`), and tensors go into our
networks by strict name and shape.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop._machine import Machine, Unsafe
from mien.interop._values import Module, is_known, plain, resolve
from mien.models import stylegan2


@dataclass(frozen=True)
class Network:
    """One of a checkpoint's networks, in our terms.

    key: "G_ema", "G" or "D". family: ours that can hold it. config, spec: for that family. tensors: by name.
    """

    key: str
    family: str
    config: dict[str, Any]
    spec: Spec
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds. networks: by key, as found. other: its other entries, for showing."""

    networks: Mapping[str, Module]
    other: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """For `mien import --info`: class, arguments, sizes and hash of the embedded source of each network."""
        return {key: _describe(module) for key, module in self.networks.items()}


def read_checkpoint(data: bytes) -> Checkpoint:
    """Read a `.pkl`. Raises InputError saying what it asks for, or how it is damaged; runs nothing of it."""
    stream = io.BytesIO(data)
    found = resolve(Machine(allowed=is_known).read(stream))
    if not isinstance(found, dict):
        raise Unsafe("it holds no dictionary of networks")
    networks = {key: value for key, value in found.items() if isinstance(value, Module)}
    if not networks:
        raise InputError("it holds no network (looked for G_ema, G and D)")
    other = {str(key): plain(value) for key, value in found.items() if key not in networks}
    return Checkpoint(networks, other)


def _describe(module: Module) -> dict[str, Any]:
    tensors = module.tensors()
    return {
        "class": f"{module.module}.{module.name}".lstrip("."),
        "arguments": plain(module.arguments),
        "tensors": len(tensors),
        "numbers": sum(tensor.numel() for tensor in tensors.values()),
        "sources": sorted(module.sources()),
    }


def to_generator(checkpoint: Checkpoint, key: str | None = None) -> Network:
    """The generator (G_ema, else G) for our families. Raises InputError where none of ours can hold it."""
    for name in [key] if key else ["G_ema", "G"]:
        if name in checkpoint.networks:
            return _stylegan2(name, checkpoint.networks[name])
    raise InputError(f"it has no {key or 'G_ema or G'}; it holds: {', '.join(checkpoint.networks)}")


def _stylegan2(key: str, module: Module) -> Network:
    tensors = module.tensors()
    _refuse_alias_free(module, tensors)
    arguments = module.arguments
    synthesis, mapping = _part(arguments, "synthesis_kwargs"), _part(arguments, "mapping_kwargs")
    config = {
        "z_dim": _number(module, "z_dim"),
        "w_dim": _number(module, "w_dim"),
        "mapping_layers": mapping.get("num_layers", 8),
        "channel_base": synthesis.get("channel_base", 32768),
        "channel_max": synthesis.get("channel_max", 512),
        "g_architecture": synthesis.get(
            "architecture", _part(synthesis, "block_kwargs").get("architecture", "skip")
        ),
    }
    spec = Spec(_number(module, "img_resolution"), _number(module, "img_channels"), _number(module, "c_dim"))
    network = Network(key, "stylegan2", _checked(config), spec, tensors)
    _match(network)
    return network


def _refuse_alias_free(module: Module, tensors: Mapping[str, Tensor]) -> None:
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise InputError(
            f"{module.name} is an alias-free StyleGAN3 network (stylegan3-t or -r), which mien cannot run;"
            " take a stylegan2 checkpoint"
        )
    if not any(name.startswith("synthesis.b4.") for name in tensors):
        raise InputError(f"{module.name} is no generator that mien knows (StyleGAN2 and its like)")


def _part(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = arguments.get(name, {})
    return found if isinstance(found, dict) else {}


def _number(module: Module, name: str) -> int:
    value = module.state.get(name, module.arguments.get(name))
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{module.name} does not say its {name}")
    return value


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    try:
        return stylegan2.Config(**config).model_dump()
    except ValueError as error:
        raise InputError(f"its arguments make no StyleGAN2 ({' '.join(str(error).split())[:160]})") from error


def _match(network: Network) -> None:
    """Every tensor must be one of ours, of the same shape, and none may be missing."""
    ours = stylegan2.build_generator(stylegan2.Config(**network.config), network.spec).state_dict()
    missing, unknown = (
        sorted(ours.keys() - network.tensors.keys()),
        sorted(network.tensors.keys() - ours.keys()),
    )
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which ours has not"
        raise InputError(f"its {network.key} {what}; it is another kind of network")
    for name, tensor in ours.items():
        theirs = network.tensors[name]
        if theirs.shape != tensor.shape:
            shapes = f"{list(theirs.shape)}, its arguments promise {list(tensor.shape)}"
            raise InputError(f"its {network.key}'s {name} is {shapes}")
