"""What the network of a run or file is for, and which part of the program deals with it."""

from pathlib import Path

from mien.core import discover
from mien.core.checkpoint import read_header
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.run import RunFolder


def kind_at(path: Path) -> str:
    """The kind of a network file, or of what a run trains. Raises InputError where `path` is neither."""
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


def refuse(path: Path, kind: str, verb: str) -> InputError:
    """That `verb` has nothing for networks of `kind`, to be raised."""
    return InputError(f"{path}: mien {verb} does not know networks of the kind '{kind}'")
