"""From what is written on the command line to a dataset."""

from pathlib import Path

from mien.core.discover import load, names
from mien.core.errors import InputError
from mien.core.types import Dataset
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
