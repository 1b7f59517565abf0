"""What every layout of real pictures does alike: its options, its splits, and opening it.

"FOLDER?size=64&split=train&labels=Male,Smiling": options that all layouts share are in `Options`; any other
is a keyword argument of the layout's `index`.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, validate_call

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.datasets.columns import Columns, choose_columns
from mien.datasets.decoded import Read, decode_index, read_file
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.splits import fold_people, split_people
from mien.datasets.stored import StoredDataset

_NAMED = 3  # problems that are named when a dataset is opened; `mien data info` names all


class Options(BaseModel):
    """What can be asked of any layout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(64, ge=4, le=4096, description="pixels along a side; cut square, resized antialiased")
    channels: Literal["", "1", "3"] = Field("", description="1 (gray) or 3 (RGB); the layout's own if empty")
    labels: str = Field("", description='"Male,Smiling", "AU*", "none"; the layout\'s own if empty')
    split: Literal["", "train", "val", "test"] = Field("", description="one side only; everything if empty")
    fold: str = Field("", description='"3/10": people of the third of ten folds are "test", others "train"')
    seed: int = Field(0, ge=0, description="another seed splits the people otherwise")


def read_index(layout: str, index: Callable[..., Index], where: str) -> tuple[Index, Options]:
    """Call `index` for "FOLDER?options"; every entry's split is as the options say, none is left out yet.

    Raises InputError for a folder that is not there and for options that are unknown or wrong.
    """
    root, given = _parse(where)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; {layout}: is read from the unpacked folder")
    shared = {name: value for name, value in given.items() if name in Options.model_fields}
    own = {name: value for name, value in given.items() if name not in shared}
    try:
        options = Options.model_validate(shared)
        found: Index = validate_call(index)(root, **own)
    except ValidationError as error:
        raise InputError(f"{layout}:{where}: {_explain(error, index)}") from error
    return _split(found, options), options


@dataclass(frozen=True)
class Chosen:
    """What was asked for: `index` with those entries alone and all notes, the columns their labels become."""

    index: Index
    columns: Columns | None
    options: Options


def choose(layout: str, index: Callable[..., Index], where: str) -> Chosen:
    """The entries that "FOLDER?options" asks for: one side of the split, with the labels known.

    Raises InputError, also where none is left.
    """
    found, options = read_index(layout, index, where)
    if not found.entries:
        raise InputError(f"{found.root}: nothing to open; {_why(found, found.notes)}")
    columns = _columns(found, options)
    entries = on_side(found.entries, options.split)
    covered = tuple(entry for entry in entries if columns is None or columns.covers(entry))
    notes = found.notes
    if columns is not None and len(covered) < len(entries):
        without = f"{len(entries) - len(covered)} of {len(entries)} pictures have no {_some(columns.names)}"
        notes += (f"{without} and are left out; labels=none keeps them",)
    if not covered:
        raise InputError(f"{found.root}: nothing to open; {_why(found, notes)}")
    told = (*notes, *_name(found.problems))
    return Chosen(replace(found, entries=covered, notes=told), columns, options)


def open_layout(
    layout: str,
    index: Callable[..., Index],
    where: str,
    *,
    progress: Tick | None = None,
    read: Read = read_file,
) -> StoredDataset:
    """Open "FOLDER?options" of a layout.

    progress: called with (done, total) while pictures are decoded, the first time only. read: gives the
    pixels of an entry, for pictures that are no files. Broken pictures are left out and named in `notes`.
    Raises InputError where nothing can be opened.
    """
    chosen = choose(layout, index, where)
    options = chosen.options
    name = "-".join(filter(None, (layout, options.fold.replace("/", "of"), options.split)))
    return decode_index(
        chosen.index,
        name,
        chosen.columns,
        size=options.size,
        channels=int(options.channels or chosen.index.channels),
        progress=progress,
        read=read,
    )


def on_side(entries: tuple[Entry, ...], split: str) -> tuple[Entry, ...]:
    """The entries of one side of the split; all of them for ""."""
    return tuple(entry for entry in entries if split in ("", entry.split))


def _parse(where: str) -> tuple[Path, dict[str, str]]:
    if Path(where).exists():  # a folder may have a "?" in its name
        return Path(where), {}
    place, mark, query = where.rpartition("?")
    if not mark:
        return Path(where), {}
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or name in options:
            raise InputError(f"{where}: {part!r} is given twice or not as name=value")
        options[name] = value
    return Path(place), options


def _explain(error: ValidationError, index: Callable[..., Index]) -> str:
    """The first thing that is wrong, in one sentence."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "options"
    if first["type"] == "unexpected_keyword_argument":
        own = [option for option in inspect.signature(index).parameters if option != "root"]
        return f"there is no option {name!r}; there are: {', '.join([*Options.model_fields, *own])}"
    return f"option {name}={first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _split(index: Index, options: Options) -> Index:
    """Folds where asked for; else the dataset's own split; else, if one side is wanted, ours."""
    entries, people, seed = index.entries, index.people or None, options.seed
    if options.fold:
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", options.fold)
        if not match or options.split == "val":
            raise InputError(f"fold={options.fold}: write fold=3/10, with split=train or split=test")
        fold, folds = int(match[1]), int(match[2])
        entries = fold_people(entries, fold=fold, folds=folds, seed=seed, people=people)
    elif options.split and not any(entry.split for entry in entries):
        entries = split_people(entries, seed=seed, people=people)
    return replace(index, entries=entries)


def _columns(index: Index, options: Options) -> Columns | None:
    """The labels asked for, else the layout's own."""
    asked = tuple(name.strip() for name in options.labels.split(",") if name.strip())
    names = () if asked == ("none",) else asked or index.label_names
    return choose_columns(index.entries, names, where=str(index.root)) if names else None


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _name(problems: tuple[Problem, ...]) -> tuple[str, ...]:
    """The first problems, and how many more there are."""
    more = len(problems) - _NAMED
    rest = (f"... and {more} more problems; mien data info names them all",) if more > 0 else ()
    return (*map(str, problems[:_NAMED]), *rest)


def _why(index: Index, notes: tuple[str, ...]) -> str:
    reasons = (*notes, *_name(index.problems))
    return "; ".join(reasons) or "no picture is asked for"
