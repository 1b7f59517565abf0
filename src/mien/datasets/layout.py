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

from mien.core.errors import InputError, first_problem
from mien.core.events import Tick
from mien.core.path_labels import SPLITS
from mien.datasets.decoded import Read, decode_index
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.stored import StoredDataset
from mien.labels.columns import Columns, choose_columns
from mien.labels.split import assign_folds, assign_splits, keep_whole

_OF_ONE_FILE = ("folder", "parquet", "table")  # layouts that may be a single file
_NAMED = 3  # problems that are named when a dataset is opened; `mien data info` names all


class Options(BaseModel):
    """What can be asked of any layout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(64, ge=4, le=4096, description="pixels along a side; cut square, resized antialiased")
    channels: Literal["", "1", "3"] = Field("", description="1 (gray) or 3 (RGB); the layout's own if empty")
    labels: str = Field("", description='"Male,Smiling", "AU*", "none"; the layout\'s own if empty')
    split: Literal["", "train", "val", "test"] = Field("", description="one side only; everything if empty")
    fold: str = Field("", description='"3/10": people of the third of ten folds are "test", others "train"')
    seed: int = Field(0, ge=0, lt=1 << 31, description="another seed splits the people otherwise")


def plain_path(source: Path) -> Path:
    """The folder or zip of "folder:WHERE?size=64"; any other path as it is."""
    name, colon, where = str(source).partition(":")
    return parse_options(where)[0] if colon and name == "folder" and not source.exists() else source


def read_index(layout: str, index: Callable[..., Index], where: str) -> tuple[Index, Options]:
    """Call `index` for "FOLDER?options"; every entry's split is as the options say, none is left out yet.

    Raises InputError for a folder that is not there and for options that are unknown or wrong.
    """
    root, given = parse_options(where)
    if not (root.is_dir() or (layout in _OF_ONE_FILE and root.is_file())):
        raise InputError(f"{root}: no such folder; {layout}: is read from the unpacked folder")
    shared = {name: value for name, value in given.items() if name in Options.model_fields}
    own = {name: value for name, value in given.items() if name not in shared}
    try:
        options = Options.model_validate(shared)
        whole: Index = validate_call(index)(root, **own)
    except ValidationError as error:
        raise InputError(f"{layout}:{where}: {_explain(error, index)}") from error
    return _with_splits(whole, options), options


@dataclass(frozen=True)
class Selection:
    """What the options choose: `index` with those entries alone and all notes; the columns of labels."""

    index: Index
    columns: Columns | None
    options: Options


def select(layout: str, index: Callable[..., Index], where: str) -> Selection:
    """The entries that "FOLDER?options" chooses: of one split, with the labels known.

    Raises InputError, also where none is left.
    """
    whole, options = read_index(layout, index, where)
    if not whole.entries:
        raise InputError(f"{whole.root}: nothing to open; {_why(whole, whole.notes)}")
    columns = _columns(whole, options)
    entries = of_split(whole.entries, options.split)
    covered = tuple(entry for entry in entries if columns is None or columns.covers(entry.record()))
    notes = whole.notes
    if columns is not None and len(covered) < len(entries):
        names = ", ".join(columns.names[:3]) + (" ..." if len(columns.names) > 3 else "")
        without = f"{len(entries) - len(covered)} of {len(entries)} pictures have no {names}"
        notes += (f"{without} and are left out; labels=none keeps them",)
    if not covered:
        raise InputError(f"{whole.root}: nothing to open; {_why(whole, notes)}")
    notes = (*notes, *_name(whole.problems))
    return Selection(replace(whole, entries=covered, notes=notes), columns, options)


def open_layout(
    layout: str,
    index: Callable[..., Index],
    where: str,
    *,
    progress: Tick | None = None,
    read: Read | None = None,
) -> StoredDataset:
    """Open "FOLDER?options" of a layout.

    progress: called with (done, total) while pictures are decoded, the first time only. read: gives the
    pixels of an entry, for pictures that are no files. Broken pictures are left out and named in `notes`.
    Raises InputError where nothing can be opened.
    """
    selection = select(layout, index, where)
    options = selection.options
    name = "-".join(filter(None, (layout, options.fold.replace("/", "of"), options.split)))
    channels = int(options.channels or selection.index.channels)
    return decode_index(
        *(selection.index, name, selection.columns),
        size=options.size,
        channels=channels,
        progress=progress,
        read=read,
    )


def of_split(entries: tuple[Entry, ...], split: str) -> tuple[Entry, ...]:
    """The entries of one split; all of them for ""."""
    return tuple(entry for entry in entries if split in ("", entry.split))


def parse_options(where: str) -> tuple[Path, dict[str, str]]:
    """The path of "FOLDER?name=value&name=value", and its options. Raises InputError."""
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
    name, value, reason = first_problem(error)
    if error.errors()[0]["type"] == "unexpected_keyword_argument":
        own = [option for option in inspect.signature(index).parameters if option != "root"]
        return f"there is no option {name!r}; there are: {', '.join([*Options.model_fields, *own])}"
    return f"option {name}={value}: {reason}"


def _with_splits(index: Index, options: Options) -> Index:
    """Folds where asked for; else the dataset's own split; else, if one is chosen, one by person.

    A split of the dataset's own that has one side alone is passed over: nothing would be left to test.
    """
    owners = [entry.owner for entry in index.entries]
    people, seed = index.people or None, options.seed
    whole, parted = keep_whole([entry.person for entry in index.entries], [e.split for e in index.entries])
    recorded = set(whole) - {""}
    notes = index.notes
    if options.fold:
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", options.fold)
        if not match or options.split == "val":
            raise InputError(f"fold={options.fold}: write fold=3/10, with split=train or split=test")
        splits = assign_folds(owners, fold=int(match[1]), folds=int(match[2]), seed=seed, people=people)
    elif options.split and len(recorded) < 2:
        splits = assign_splits(owners, seed=seed, people=people)
        if parted:
            notes += (
                "its own split parts people, leaves one side alone, and is passed over: people are split",
            )
        elif recorded:
            notes += (f"its own split has {recorded.pop()} alone and is passed over: people are split",)
    else:
        if options.split and options.split not in recorded:
            notes += (f"its split has {', '.join(s for s in SPLITS if s in recorded)}, no {options.split}",)
        splits, notes = whole, (*notes, *([parted] if parted else []))
    pairs = zip(index.entries, splits, strict=True)
    return replace(index, entries=tuple(replace(entry, split=split) for entry, split in pairs), notes=notes)


def _columns(index: Index, options: Options) -> Columns | None:
    """The labels that the options name, else the layout's own."""
    named = tuple(name.strip() for name in options.labels.split(",") if name.strip())
    names = () if named == ("none",) else named or index.label_names
    return choose_columns(index.records, names, where=str(index.root)) if names else None


def _name(problems: tuple[Problem, ...]) -> tuple[str, ...]:
    """The first problems, and how many more there are."""
    more = len(problems) - _NAMED
    rest = (f"... and {more} more problems; mien data info names them all",) if more > 0 else ()
    return (*map(str, problems[:_NAMED]), *rest)


def _why(index: Index, notes: tuple[str, ...]) -> str:
    reasons = (*notes, *_name(index.problems))
    return "; ".join(reasons) or "no picture is asked for"
