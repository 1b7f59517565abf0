"""From what is written on the command line to a dataset: the one way in which every command reads a source.

An address (s3://...) is copied here first. A path that is there is read by `layouts/folder.py` (a zip, tar or
folder, packed or not), a single .parquet, .npy, .npz or table file by its layout; "NAME:PATH?options" by the
layout of that name.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mien.core import storage
from mien.core.discover import load, names
from mien.core.errors import InputError, did_you_mean
from mien.core.events import Tick
from mien.core.types import Dataset
from mien.datasets.index import Index
from mien.datasets.layout import Selection, of_split, parse_options, read_index, select
from mien.datasets.layouts.arrays import SUFFIXES as ARRAY_SUFFIXES
from mien.datasets.stored import StoredDataset
from mien.datasets.tables import TABLE_SUFFIXES, has_file_column

_PACKAGE = "mien.datasets.layouts"


class Source(NamedTuple):
    """layout: a file of `datasets/layouts/`. where: what it opens, as "PATH?options"."""

    layout: str
    where: str

    @property
    def module(self) -> ModuleType:
        return load(_PACKAGE, self.layout)

    @property
    def path(self) -> Path:
        """The file or folder, without options."""
        return parse_options(self.where)[0]


def resolve(source: str) -> Source:
    """Which layout reads `source`, a path, an address or "NAME:WHERE". Raises InputError for others."""
    source = storage.local(source)
    path = Path(source)
    if (path / "config.json").is_file() and (path / "log.jsonl").is_file():
        raise InputError(
            f"{source}: a run folder, and pictures are wanted: mien generate {source} draws some"
        )
    if source and path.exists():
        return Source(_layout_of_file(path), source)
    name, colon, where = source.partition(":")
    if colon and name in names(_PACKAGE):
        if not where.partition("?")[0]:  # as a path it would be this folder
            raise InputError(f"{source}: nothing is named after the colon; write {name}:. for this folder")
        return Source(name, where)
    others = ", ".join(f"{other}:..." for other in names(_PACKAGE) if other != "folder")
    meant = did_you_mean(path)
    also = meant or f" (other sources: {others})"
    raise InputError(f"{source}: there is no such zip or folder{also}")


def open_dataset(source: str, *, progress: Tick | None = None) -> Dataset:
    """Open a zip, a folder, or "NAME:WHERE" with NAME a file of `datasets/layouts/` ("rendered:2000").

    progress: called with (done, total) during the slow part of opening for the first time.
    Raises InputError where nothing like that exists or it cannot be used.
    """
    source = storage.local(source)
    resolved = resolve(source)
    as_it_is = resolved.layout == "folder" and resolved.where == source
    try:
        dataset: Dataset = resolved.module.open(resolved.where, progress=progress)
    except InputError as error:
        known = recognise(resolved.path) if as_it_is else None
        if known is None:
            raise
        raise InputError(f"{error}; it looks like {known}: try {known}:{source}") from error
    if as_it_is and isinstance(dataset, StoredDataset):
        dataset.notes += hint(source)
    return dataset


def open_index(source: str) -> Index:
    """What the folder of "NAME:FOLDER?options" holds, before any picture is decoded.

    With split= only the entries of that split. Raises InputError for sources that have no folder.
    """
    resolved = resolve(source)
    index, options = read_index(resolved.layout, _index_of(resolved), resolved.where)
    return replace(index, entries=of_split(index.entries, options.split))


def choose_entries(source: str) -> Selection:
    """The entries that "NAME:FOLDER?options" chooses, and the columns their labels become.

    Raises InputError as `open_dataset` does.
    """
    resolved = resolve(source)
    return select(resolved.layout, _index_of(resolved), resolved.where)


def layouts() -> tuple[str, ...]:
    """The names of the layouts of real datasets that can be read."""
    return tuple(name for name in names(_PACKAGE) if hasattr(load(_PACKAGE, name), "index"))


def recognise(root: Path, *, without: tuple[str, ...] = ()) -> str | None:
    """The layout that folder `root` looks like, or None for plain pictures and packed datasets."""
    if not root.is_dir() or (root / "dataset.json").exists() or any(root.glob("*/dataset.json")):
        return None
    return next((n for n in layouts() if n not in without and load(_PACKAGE, n).recognise(root)), None)


def _index_of(source: Source) -> Callable[..., Index]:
    if not hasattr(source.module, "index"):
        raise InputError(
            f"{source.layout}:{source.where}: write NAME:FOLDER with one of {', '.join(layouts())}"
        )
    index: Callable[..., Index] = source.module.index
    return index


def _layout_of_file(path: Path) -> str:
    if path.is_file() and path.suffix.lower() == ".parquet":
        return "parquet"
    if path.is_file() and path.suffix.lower() in ARRAY_SUFFIXES:
        return "arrays"
    return "table" if path.suffix.lower() in TABLE_SUFFIXES and has_file_column(path) else "folder"


def hint(source: str) -> tuple[str, ...]:
    """A note on labels that a plain folder has beside its pictures."""
    known = recognise(Path(source), without=("pairs",))
    if known is None:
        return ()
    return (f"it looks like {known}, whose labels are not read here: {known}:{source} reads them",)
