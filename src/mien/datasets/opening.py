"""From what is written on the command line to a dataset."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from mien.core.discover import load, names
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.types import Dataset
from mien.datasets.index import Index
from mien.datasets.layout import Chosen, choose, on_side, read_index

_PACKAGE = "mien.datasets.layouts"


def open_dataset(source: str, *, progress: Tick | None = None) -> Dataset:
    """Open a zip, a folder, or "NAME:WHERE" with NAME a file of `datasets/layouts/` ("rendered:2000").

    progress: called with (done, total) during the slow part of opening for the first time.
    Raises InputError where nothing like that exists or it cannot be used.
    """
    name, colon, where = source.partition(":")
    if not source or not Path(source).exists():
        if colon and name in names(_PACKAGE):
            dataset: Dataset = load(_PACKAGE, name).open(where, progress=progress)
            return dataset
        others = ", ".join(f"{other}:..." for other in names(_PACKAGE) if other != "folder")
        raise InputError(f"{source}: there is no such zip or folder (other sources: {others})")
    try:
        folder: Dataset = load(_PACKAGE, "folder").open(source, progress=progress)
    except InputError as error:
        known = recognise(Path(source)) if Path(source).is_dir() else None
        if known is None:
            raise
        raise InputError(f"{error}; it looks like {known}: try {known}:{source}") from error
    return folder


def open_index(source: str) -> Index:
    """What the folder of "NAME:FOLDER?options" holds, before any picture is decoded; NAME must be a layout.

    With split= only the entries of that side. Raises InputError for anything else.
    """
    name, where, module = _layout_of(source)
    index, options = read_index(name, module.index, where)
    return replace(index, entries=on_side(index.entries, options.split))


def choose_entries(source: str) -> Chosen:
    """The entries that "NAME:FOLDER?options" chooses, and the columns their labels become.

    Raises InputError as `open_dataset` does.
    """
    name, where, module = _layout_of(source)
    return choose(name, module.index, where)


def _layout_of(source: str) -> tuple[str, str, ModuleType]:
    name, colon, where = source.partition(":")
    module = load(_PACKAGE, name) if colon and name in names(_PACKAGE) else None
    if module is None or not hasattr(module, "index"):
        raise InputError(f"{source}: write NAME:FOLDER with one of {', '.join(layouts())}")
    return name, where, module


def layouts() -> tuple[str, ...]:
    """The names of the layouts of real datasets that can be read."""
    return tuple(name for name in names(_PACKAGE) if hasattr(load(_PACKAGE, name), "index"))


def recognise(root: Path) -> str | None:
    """The layout that folder `root` looks like, or None."""
    return next((name for name in layouts() if load(_PACKAGE, name).recognise(root)), None)
