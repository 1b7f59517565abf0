"""What `mien data info` looks at: any source as one list of entries, read as every other command reads it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import decode
from mien.datasets.header import Header, read_header
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import of_split, read_index
from mien.datasets.opening import Source, recognise, resolve
from mien.labels.records import single_labels, text_of


@dataclass(frozen=True)
class Look:
    """One picture to look at. do: its header, after decoding all of it unless told to be quick; raises
    InputError (BadPicture) where that fails.
    """

    where: str
    do: Callable[[bool], Header]


@dataclass(frozen=True)
class Contents:
    """opened_as: what to write where DATA is taken."""

    layout: str
    opened_as: str
    entries: tuple[Entry, ...]
    looks: tuple[Look, ...]
    counts: Mapping[str, int]
    licence: str
    citation: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def read_contents(given: str, *, progress: Tick | None = None) -> Contents:
    """Read a zip, a folder or "NAME:WHERE"; a folder that looks like a layout is read as that.

    Raises InputError where there is nothing like that, or no picture in it.
    """
    source = resolve(given)
    known = recognise(source.path) if source == ("folder", given) else None
    if known is not None:
        source = Source(known, given)
    if not hasattr(source.module, "index"):
        return _of_rendered(source, progress)
    return _of_index(source, given if known is None else f"{known}:{given}", bare=known is not None)


def _of_index(source: Source, opened_as: str, *, bare: bool) -> Contents:
    module = source.module
    index, options = read_index(source.layout, module.index, source.where)
    if not index.entries and not index.problems:
        raise InputError(f"{index.root}: {index.layout}: there are no pictures in it")
    notes = index.notes
    if bare:
        notes += (
            f"write {opened_as} wherever DATA is taken; {source.where} alone is read as plain pictures",
        )
    return Contents(
        index.kind or index.layout,
        opened_as,
        of_split(index.entries, options.split),
        _looks(index, getattr(module, "as_stored", None)),
        index.counts,
        index.licence or module.LICENCE,
        module.CITATION,
        index.problems,
        notes,
    )


def _looks(index: Index, as_stored: Callable[[Path, Entry], Any] | None) -> tuple[Look, ...]:
    """One for each file, or for each picture in files that are no pictures themselves."""

    def look_inside(entry: Entry, quick: bool) -> Header:
        assert as_stored is not None
        pixels = as_stored(index.root, entry)
        return Header(pixels.shape[1], pixels.shape[0], "L" if pixels.ndim == 2 else "RGB")

    def look_at(file: str, quick: bool) -> Header:
        data = index.read(file)
        if not quick:
            decode(data, where=file)
        return read_header(data, where=file)

    looks: dict[str, Look] = {}
    for entry in index.entries:
        inside = bool(entry.part) and as_stored is not None
        where = f"{entry.file}#{entry.part}" if inside else entry.file
        do = partial(look_inside, entry) if inside else partial(look_at, entry.file)
        looks.setdefault(where, Look(where, do))
    return tuple(looks.values())


def _of_rendered(source: Source, progress: Tick | None) -> Contents:
    dataset = source.module.open(source.where, progress=progress)
    channels, size = dataset.spec.channels, dataset.spec.resolution
    entries = tuple(
        Entry(str(at), single_labels(record), text_of(record, "person"))
        for at, record in enumerate(dataset.records)
    )
    header = Header(size, size, "L" if channels == 1 else "RGB")
    return Contents(
        source.layout,
        f"{source.layout}:{source.where}",
        entries,
        tuple(Look(entry.file, lambda quick: header) for entry in entries),
        {"pictures": len(dataset), "people": len({entry.person for entry in entries})},
        source.module.LICENCE,
        source.module.CITATION,
    )
