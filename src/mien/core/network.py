"""Trained networks, loaded from a run folder or from a file of one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from mien.core import discover
from mien.core.checkpoint import NetworkHeader, load_generator, model_id
from mien.core.errors import InputError
from mien.core.family import GENERATOR, build_product, kind_of
from mien.core.packaged import source_of
from mien.core.run import RunFolder

N = TypeVar("N", bound=nn.Module, covariant=True)


@dataclass(frozen=True)
class LoadedNetwork(Generic[N]):
    """A network in eval mode without gradients, and what its file says.

    header: read from the file. path: the file. model: the model's id, for provenance marks.
    """

    network: N
    header: NetworkHeader
    path: Path
    model: str

    def __repr__(self) -> str:
        spec = self.header.spec
        return f"<{self.model}: {self.header.kind}, {spec.resolution} px, {self.header.nimg / 1000:g} kimg>"


def load_network(
    source: Path | str | None = None, kind: str = GENERATOR, device: torch.device | None = None
) -> LoadedNetwork[Any]:
    """Load the newest network of `kind` of a run folder, or a file of one (our .safetensors).

    source: None or "packaged" for the generator that comes with mien. device: the CPU by default.
    Raises InputError when there is none, or its file is damaged, not ours, or does not fit its family.
    """
    source = source_of(None if source is None else Path(source))
    path = RunFolder.open(source).newest_product(kind) if source.is_dir() else source
    network, header = read_network(path, kind)
    if device is not None:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedNetwork(network, header, path, model_id(path))


def read_network(path: Path, kind: str = GENERATOR) -> tuple[nn.Module, NetworkHeader]:
    """Build the network of `kind` that the file `path` holds, in eval mode, without gradients.

    Raises InputError when the file is damaged, not ours, of another kind, or does not fit its family.
    """
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
