"""From a generator file back to a network that draws."""

from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from mien.core import discover
from mien.core.checkpoint import GeneratorHeader, load_generator
from mien.core.errors import InputError


def load_generator_network(path: Path) -> tuple[nn.Module, GeneratorHeader]:
    """Build the generator that `path` (our .safetensors) holds, in eval mode, without gradients.

    Raises InputError when the file is damaged, not ours, or does not fit the family it names.
    """
    tensors, header = load_generator(path)
    family = discover.load("mien.models", header.family)
    try:
        config = family.Config(**header.config)
        network: nn.Module = family.build_generator(config, header.spec)
        network.load_state_dict(tensors, strict=True)
    except (ValidationError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit a {header.family} generator ({reason})") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster, and as it was trained
    return network.eval().requires_grad_(False), header
