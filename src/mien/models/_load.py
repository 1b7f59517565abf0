"""From the file of a trained network back to the network."""

from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from mien.core import discover
from mien.core.checkpoint import NetworkHeader, load_generator
from mien.core.errors import InputError
from mien.core.family import GENERATOR, build_product, kind_of


def load_generator_network(path: Path) -> tuple[nn.Module, NetworkHeader]:
    """Build the generator that `path` (our .safetensors) holds, in eval mode, without gradients.

    Raises InputError when the file is damaged, not ours, or does not fit the family it names.
    """
    return load_product(path, GENERATOR)


def load_product(path: Path, kind: str) -> tuple[nn.Module, NetworkHeader]:
    """Build the network of `kind` that `path` holds; as `load_generator_network`."""
    tensors, header = load_generator(path)
    family = discover.load("mien.models", header.family)
    if header.kind != kind or kind_of(family) != kind:
        raise InputError(f"{path}: it holds '{header.kind}', and here a '{kind}' is needed")
    try:
        config = family.Config(**header.config)
        network = build_product(family, config, header.spec)
        network.load_state_dict(tensors, strict=True)
    except (ValidationError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit a {header.family} {kind} ({reason})") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as it was trained
    return network.eval().requires_grad_(False), header
