"""Kinds of trained networks, and the code that evaluates and reports each."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mien.core import discover
from mien.core.checkpoint import read_header
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import source_of
from mien.core.run import RunFolder


class Parts(NamedTuple):
    """Of one kind of product, the modules of this package that deal with it; "" where there is none.

    outputs: "module:class" of what a run leaves behind (`training.outputs.Outputs`).
    scores: has `evaluate(source, data, *, device, progress)`, `tables(found)` (events that show it) and, for
    reports, `newest(run)`: what was found last, or None.
    report: has `write_report(run, *, data, out, progress)`.
    """

    outputs: str
    scores: str
    report: str


# Loaded when needed: some bring scikit-learn with them.
_PARTS = {
    GENERATOR: Parts("", "evaluation.measure", "evaluation.report"),
    "attributes": Parts("attributes.outputs:AttributeOutputs", "attributes.attributes", "attributes.report"),
    "translator": Parts(
        "translation.translator_outputs:TranslatorOutputs",
        "translation.translator_scores",
        "translation.report",
    ),
    "denoiser": Parts(
        "translation.denoiser_outputs:DenoiserOutputs", "translation.denoiser_scores", "translation.report"
    ),
    "refiner": Parts(
        "translation.refiner_outputs:RefinerOutputs", "translation.refiner_scores", "translation.report"
    ),
}


def outputs_for(kind: str) -> Any:
    """The class of what runs of `kind` leave behind."""
    module, _, name = _PARTS[kind].outputs.partition(":")
    return getattr(import_module(f"mien.{module}"), name)


def scores_for(path: Path, kind: str) -> ModuleType:
    """The module that measures networks of `kind`. Raises InputError where nothing does."""
    return _module(path, kind, "evaluate", _PARTS[kind].scores if kind in _PARTS else "")


def report_for(path: Path, kind: str) -> ModuleType:
    """The module that writes reports on runs of `kind`. Raises InputError where nothing does."""
    return _module(path, kind, "report", _PARTS[kind].report if kind in _PARTS else "")


def _module(path: Path, kind: str, verb: str, name: str) -> ModuleType:
    if not name:
        raise InputError(f"{path}: mien {verb} does not know networks of the kind '{kind}'")
    return import_module(f"mien.{name}")


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
