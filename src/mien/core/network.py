"""Trained networks, loaded from a run folder or from a file of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mien.core import discover, packaged
from mien.core.checkpoint import NetworkHeader, load_generator, model_id, read_header, read_shapes
from mien.core.errors import InputError, MienError, first_problem
from mien.core.family import GENERATOR, build_product, kind_of, weightless
from mien.core.limits import try_apart
from mien.core.run import RunFolder

DISCRIMINATOR = "discriminator"  # the kind of a file that lies beside an imported generator
N = TypeVar("N", bound=nn.Module, covariant=True)


@dataclass(frozen=True)
class LoadedNetwork(Generic[N]):
    """A network in eval mode without gradients, and what its file says.

    header: read from the file. path: the file. model: the model's id, for provenance marks. notes: lines for
    the user, on newer files of the run that had to be passed over.
    """

    network: N
    header: NetworkHeader
    path: Path
    model: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        spec = self.header.spec
        return f"<{self.model}: {self.header.kind}, {spec.resolution} px, {self.header.nimg / 1000:g} kimg>"


def load_network(
    source: Path | str | None = None, kind: str = GENERATOR, device: torch.device | None = None
) -> LoadedNetwork[Any]:
    """Load the newest network of `kind` of a run folder that is whole, or a file of one (our .safetensors).

    source: None or "packaged" for the generator that comes with mien. device: the CPU by default.
    Raises InputError when there is none, or its file is damaged, not ours, or does not fit its family.
    """
    source = packaged.source_of(None if source is None else Path(source))
    paths = products_of(source, kind) if source.is_dir() else [source]
    network, header, path, notes = _first_whole(paths, kind)
    if device is not None:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedNetwork(network, header, path, model_id(path), notes)


def products_of(source: Path, kind: str) -> list[Path]:
    """The networks of `kind` that a run has saved, newest first. Raises InputError where there is none."""
    run = RunFolder.open(source)
    newest = run.newest_product(kind)
    return [newest, *reversed(run.products(kind)[:-1])]


def _first_whole(paths: Sequence[Path], kind: str) -> tuple[nn.Module, NetworkHeader, Path, tuple[str, ...]]:
    """The first network that can be read; for those before it a line each. Raises the first's InputError."""
    errors: list[InputError] = []
    for path in paths:
        try:
            network, header = read_network(path, kind)
        except InputError as error:
            errors.append(error)
            continue
        return network, header, path, tuple(f"{error}; falling back to {path.name}" for error in errors)
    raise errors[0]


def read_network(path: Path, kind: str = GENERATOR) -> tuple[nn.Module, NetworkHeader]:
    """Build the network of `kind` that the file `path` holds, in eval mode, without gradients.

    Raises InputError when it is damaged, not ours, of another kind, or does not fit its family.
    """
    header = read_header(path)
    if header.kind != kind:
        raise _another_kind(path, header, kind)
    network = checked(path, header)
    tensors, header = load_generator(path)
    kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    network.load_state_dict({n: tensor.to(kinds[n]) for n, tensor in tensors.items()}, assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as it was trained
    return network.eval().requires_grad_(False), header


def checked(path: Path, header: NetworkHeader) -> nn.Module:
    """The network of a file without its weights, whose shapes were compared with the file's.

    A file may be a stranger's, so it is built in a copy of this process with limits before it is here.
    Raises InputError where the file's tensors are not those of its configuration, or its family or kind is
    not known.
    """
    try:
        family = discover.load("mien.models", header.family)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if header.kind != DISCRIMINATOR and kind_of(family) != header.kind:
        raise _another_kind(path, header, kind_of(family))
    if path.resolve().parent != packaged.folder().resolve():
        if header.kind == DISCRIMINATOR:  # built with its optimiser, which first loads more than a copy may
            import_module("torch._dynamo")
        try_apart(path, lambda: _built(path, header, family))
    return _built(path, header, family)


def _built(path: Path, header: NetworkHeader, family: ModuleType) -> nn.Module:
    is_d = header.kind == DISCRIMINATOR
    try:
        config = family.Config(**header.config)
        with weightless():
            network: nn.Module = (
                family.build(config, header.spec).networks["d"]
                if is_d
                else build_product(family, config, header.spec)
            )
        _check_shapes(network.state_dict(), read_shapes(path))
    except (ValidationError, MienError, TypeError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(_reason(error).split())[:200]
        raise InputError(
            f"{path}: its weights do not fit a {header.family} {header.kind} ({reason})"
        ) from error
    return network


def _another_kind(path: Path, header: NetworkHeader, needed: str) -> InputError:
    return InputError(f"{path}: it holds '{header.kind}', and here a '{needed}' is needed")


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    name, value, reason = first_problem(error)
    return f"{name}={value}: {reason}"


def _check_shapes(ours: Mapping[str, Tensor], theirs: Mapping[str, tuple[int, ...]]) -> None:
    """Raises InputError where tensors are missing, unknown or of another shape."""
    if missing := sorted(ours.keys() - theirs.keys()):
        raise InputError(f"{len(missing)} of its {len(ours)} tensors are missing")
    if unknown := sorted(theirs.keys() - ours.keys()):
        raise InputError(f"it has {unknown[0][:80]!a}, which is not known here")
    for name, tensor in ours.items():
        if tuple(tensor.shape) != theirs[name]:
            raise InputError(f"{name} is {list(theirs[name])} and should be {list(tensor.shape)}")
