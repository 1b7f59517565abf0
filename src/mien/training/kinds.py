"""Kinds of trained networks, and the code that writes, evaluates and reports each.

A kind is one object `KIND` in the module `<name>_kind.py` of the room that deals with it; it is looked up by
that name, and nothing else lists it.
"""

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch

import mien
from mien.core import discover
from mien.core.checkpoint import read_header
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import source_of
from mien.core.run import RunFolder
from mien.core.score import Examination
from mien.training.outputs import ProductOutputs


class Evaluate(Protocol):
    """Evaluates a run's newest network, or a network file, on a dataset; kept in a run's `metric-*.jsonl`."""

    def __call__(
        self, source: Path, data: str, *, device: torch.device, progress: Tick | None = None
    ) -> Examination: ...


class WriteReport(Protocol):
    """Writes the report of a run folder as one HTML page and gives its path."""

    def __call__(self, run: Path, *, data: str | None, out: Path | None, progress: Tick | None) -> Path: ...


@dataclass(frozen=True)
class Kind:
    """A kind of network. outputs: of a run of it. evaluate: None for generators, which metrics score."""

    name: str
    write_report: WriteReport
    outputs: type[ProductOutputs] | None = None
    evaluate: Evaluate | None = None
    examination: type[Examination] | None = None


def kind(name: str) -> Kind:
    """The kind of that name. Raises InputError where no room deals with it."""
    for room in pkgutil.iter_modules(mien.__path__, "mien."):
        if (
            room.ispkg
            and (Path(mien.__path__[0]) / room.name.partition(".")[2] / f"{name}_kind.py").is_file()
        ):
            kind_: Kind = import_module(f"{room.name}.{name}_kind").KIND
            return kind_
    raise InputError(f"mien can neither evaluate nor report networks of the kind '{name}'")


def kind_at(path: Path) -> str:
    """The kind of a network file or of a run. Raises InputError where `path` is neither."""
    path = source_of(path)
    if not path.is_dir():
        return read_header(path).kind
    run = RunFolder.open(path)
    if products := run.products():
        return products[-1].name.partition("-")[0]
    try:
        family = run.read_config().get("family")
    except InputError:  # a report says what is wrong with a damaged run, so it must get there
        return GENERATOR
    if family in discover.names("mien.models"):
        return kind_of(discover.load("mien.models", str(family)))
    return GENERATOR
