"""From what is written on the command line to a dataset."""

from dataclasses import replace
from pathlib import Path

from mien.core.discover import load, names
from mien.core.errors import InputError
from mien.core.types import Dataset
from mien.datasets._index import Index
from mien.datasets._layout import read_index
from mien.datasets._stored import Report

_PACKAGE = "mien.datasets"


def open_dataset(source: str, *, progress: Report | None = None) -> Dataset:
    """Open a zip, a folder, or "NAME:WHERE" with NAME a file of this package ("rendered:2000").

    progress: called with (done, total) during the slow part of opening for the first time.
    Raises InputError where nothing like that exists or it cannot be used.
    """
    name, colon, where = source.partition(":")
    if not source or not Path(source).exists():
        if colon and name in names(_PACKAGE):
            dataset: Dataset = load(_PACKAGE, name).open(where, progress=progress)
            return dataset
        known = ", ".join(f"{known}:..." for known in names(_PACKAGE) if known != "folder")
        raise InputError(f"{source}: there is no such zip or folder (other sources: {known})")
    folder: Dataset = load(_PACKAGE, "folder").open(source, progress=progress)
    return folder


def open_index(source: str) -> Index:
    """What the folder of "NAME:FOLDER?options" holds, before any picture is decoded; NAME must be a layout.

    With split= only the entries of that side. Raises InputError for anything else.
    """
    name, colon, where = source.partition(":")
    module = load(_PACKAGE, name) if colon and name in names(_PACKAGE) else None
    if module is None or not hasattr(module, "index"):
        raise InputError(f"{source}: write NAME:FOLDER with one of {', '.join(layouts())}")
    index, options = read_index(name, module.index, where)
    entries = tuple(entry for entry in index.entries if options.split in ("", entry.split))
    return replace(index, entries=entries)


def layouts() -> tuple[str, ...]:
    """The names of the layouts of real datasets that can be read."""
    return tuple(name for name in names(_PACKAGE) if hasattr(load(_PACKAGE, name), "index"))


def recognise(root: Path) -> str | None:
    """The layout that folder `root` looks like, or None."""
    return next((name for name in layouts() if load(_PACKAGE, name).recognise(root)), None)
