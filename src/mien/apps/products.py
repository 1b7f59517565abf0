"""What the network of a run or file is for, and which part of the program deals with it."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from mien.core import discover
from mien.core.checkpoint import NetworkHeader, model_id, read_header
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import source_of
from mien.core.run import RunFolder
from mien.models._load import load_product


@dataclass(frozen=True)
class Product:
    """A network ready to use, and what its file says. model: its id."""

    network: nn.Module
    header: NetworkHeader
    path: Path
    model: str


def load(source: Path, kind: str, device: torch.device) -> Product:
    """Load a run's newest network of `kind`, or a file of one. Raises InputError."""
    path = RunFolder.open(source).newest_product(kind) if source.is_dir() else source
    network, header = load_product(path, kind)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Product(network, header, path, model_id(path))


class Parts(NamedTuple):
    """Of one kind of product, the modules of this package that deal with it; "" where there is none.

    outputs: "module:class" of what a run leaves behind (`training.outputs.Outputs`).
    scores: has `evaluate(source, data, *, device, progress)`, `table(found)` and, for reports, `newest(run)`:
    what was found last, or None.
    report: has `write_report(run, *, data, out, progress)`.
    """

    outputs: str
    scores: str
    report: str


# Loaded when needed: some bring scikit-learn with them.
_PARTS = {
    GENERATOR: Parts("", "evaluate", "report"),
    "attributes": Parts("attribute_outputs:AttributeOutputs", "attributes", "attribute_report"),
    "translator": Parts("translator_outputs:TranslatorOutputs", "translator_scores", "change_report"),
    "denoiser": Parts("denoiser_outputs:DenoiserOutputs", "denoiser_scores", "change_report"),
    "refiner": Parts("refiner_outputs:RefinerOutputs", "refiner_scores", "change_report"),
}


def outputs_for(kind: str) -> Any:
    """The class of what runs of `kind` leave behind."""
    module, _, name = _PARTS[kind].outputs.partition(":")
    return getattr(import_module(f"mien.apps.{module}"), name)


def scores_for(path: Path, kind: str) -> ModuleType:
    """The module that measures networks of `kind`. Raises InputError where nothing does."""
    return _module(path, kind, "evaluate", _PARTS[kind].scores if kind in _PARTS else "")


def report_for(path: Path, kind: str) -> ModuleType:
    """The module that writes reports on runs of `kind`. Raises InputError where nothing does."""
    return _module(path, kind, "report", _PARTS[kind].report if kind in _PARTS else "")


def _module(path: Path, kind: str, verb: str, name: str) -> ModuleType:
    if not name:
        raise InputError(f"{path}: mien {verb} does not know networks of the kind '{kind}'")
    return import_module(f"mien.apps.{name}")


def kind_at(path: Path) -> str:
    """The kind of a network file, or of what a run trains. Raises InputError where `path` is neither."""
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
