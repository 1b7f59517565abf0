"""A folder of pictures with a table of labels: CSV or TSV, or Hugging Face's imagefolder.

    photos/labels.csv            file,age,smiling    any name; the column of files: file, image, image_id, ...
    photos/train/metadata.jsonl  {"file_name": "0.png", "age": 31}      imagefolder; in one or several folders
    photos/a.xml, photos/b.xml   where there is no table: a file a picture; see `annotations`

Columns named person, split, role and group (or their usual other names) are what their names say; all others
are labels, whose types follow from all their values. An empty cell is a label that is not known. Folders
named train, val or test on the way to a picture are its split, unless a column says another.
"""

import os
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from mien.core.archive import ARCHIVE_SUFFIXES
from mien.core.errors import InputError
from mien.core.manifest import CONTINUED
from mien.core.path_labels import read_paths
from mien.datasets.annotations import annotation_files, read_annotations
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.tables import (
    TABLE_SUFFIXES,
    PictureFinder,
    Row,
    first_cells,
    has_file_column,
    leads_out,
    read_rows,
)
from mien.labels.columns import label_names, learnable, read_cells
from mien.labels.values import parse_columns

LICENCE = "that of the pictures themselves; a column `licence` where the table has one"
CITATION = "none; metadata.jsonl and metadata.csv are the layout of Hugging Face's imagefolder"

_FIRST = ("metadata.jsonl", "metadata.csv", "labels.csv", "labels.tsv")
_OURS = ("manifest.jsonl", CONTINUED)
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_DEEPEST = 3  # levels of sub-folders in which tables are looked for

Placed = tuple[Row, PurePosixPath]  # a row and its table's folder


def recognise(root: Path) -> bool:
    """Is there one table with a column of files, or several that are read as one, here or in sub-folders?"""
    tables = _tables(root)
    return bool(tables) and _are_one(root, tables)


def index(root: Path, *, table: str = "", file: str = "") -> Index:
    """Rows become entries in the table's order.

    root: a folder, or a table itself. table: its file, relative to `root`, where there are several. file: the
    column that names pictures. Named and left out: rows of another width than the header, rows that are not
    JSON, files listed twice or not there, pictures that no row names. Raises InputError where there is no
    table or it cannot be read at all.
    """
    if root.name.lower().endswith(ARCHIVE_SUFFIXES) and root.is_file():
        raise InputError(f"{root}: a table beside pictures is read from the unpacked folder: unpack it")
    if root.is_file():
        root, table = root.parent, root.name
    problems: list[Problem] = []
    notes: list[str] = []
    rows: list[Placed] = []
    finder = PictureFinder(root)
    files = [] if table or _tables(root) else annotation_files(root, finder.pictures)
    rows += [(row, PurePosixPath()) for row in read_annotations(root, files, problems)]
    for name in [] if files else _choose(root, table):
        read = read_rows(root / name, where=name.as_posix(), file=file)
        problems += read.problems
        rows += [(row, name.parent) for row in read.rows]
        notes += read.notes
        if read.skipped:
            names = ", ".join(read.skipped)
            notes.append(f"{name}: not read as labels, since they hold lists or objects: {names}")
    entries, licences = _entries(finder, rows, problems, notes)
    _name_unlisted(finder, entries, {folder for _, folder in rows}, problems)
    records = [entry.record() for entry in entries]
    people = {entry.person for entry in entries} - {""}
    counts = {"rows": len(rows), "pictures": len(entries), "labels": len(label_names(records))}
    return Index(
        "table",
        root,
        tuple(entries),
        tuple(problems),
        tuple(notes),
        counts | ({"people": len(people)} if people else {}),
        licence=licences[0] if len(licences) == 1 else "",
        label_names=learnable(records),
    )


open = partial(
    open_layout, "table", index
)  # "FOLDER?size=64&labels=age,smiling&table=labels.csv&file=image_id"


def _tables(root: Path) -> list[PurePosixPath]:
    """The tables that may be meant: the first of the usual names, here, then in sub-folders, or else any."""
    for name in _FIRST:
        if has_file_column(root / name):
            return [PurePosixPath(name)]
    folders = [root]
    for _ in range(_DEEPEST):
        below = (sorted(folder.iterdir(), key=str) for folder in folders)
        folders = [path for paths in below for path in paths if path.is_dir() and path.name[0] != "."]
        inside = [next((f / name for name in _FIRST if has_file_column(f / name)), None) for f in folders]
        if any(inside):
            return [PurePosixPath(path.relative_to(root).as_posix()) for path in inside if path]
    names = sorted(
        path for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()
    )
    return [PurePosixPath(p.name) for p in names if p.name not in _OURS and has_file_column(p)]


def _choose(root: Path, table: str) -> list[PurePosixPath]:
    if table:
        if not (root / table).is_file():
            raise InputError(f"{root / table}: there is no such table")
        return [PurePosixPath(table)]
    usual = sorted(
        p.name for p in root.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and p.name not in _OURS
    )
    tables = _tables(root) or [PurePosixPath(name) for name in usual[:1]]
    if not tables:
        sheet = next((p.name for p in sorted(root.iterdir()) if p.suffix.lower() in _SPREADSHEETS), None)
        advice = f"; save {sheet} as CSV, and name that" if sheet else ""
        raise InputError(f"{root}: no CSV, TSV or JSON table in it{advice}")
    if not _are_one(root, tables):
        names = ", ".join(map(str, tables))
        raise InputError(f"{root}: several tables ({names}); choose one with table={tables[0]}")
    return tables


def _are_one(root: Path, tables: list[PurePosixPath]) -> bool:
    """Whether tables are of folders of their own, or have the same columns and pictures of their own."""
    if len({name.parent for name in tables}) == len(tables):
        return True
    if len({tuple(first_cells(root / name) or ()) for name in tables}) > 1:
        return False
    files = [row.file for name in tables for row in read_rows(root / name, where="").rows]
    return len(set(files)) == len(files)


def _entries(
    finder: PictureFinder, rows: list[Placed], problems: list[Problem], notes: list[str]
) -> tuple[list[Entry], list[str]]:
    """The entries of the rows whose pictures are there, and all licences."""
    entries: list[Entry] = []
    licences: Counter[str] = Counter()
    first: dict[str, str] = {}
    loosely = 0
    for (row, folder), cells in zip(rows, parse_columns([row.cells for row, _ in rows], notes), strict=True):
        file = finder.find(finder.root / folder, row.file)
        if file is None or file in first:
            problems.append(Problem(row.where, _what_is_wrong(row, folder, file, first, finder)))
            continue
        first[file] = row.where
        loosely += file != os.path.normpath(folder / row.file)
        record = read_cells(cells)
        licences.update([record["licence"]] if "licence" in record else [])
        fields = {name: record[name] for name in ("person", "role", "split", "group") if name in record}
        entries.append(Entry(file, record["labels"], **fields))
    if loosely:
        notes.append(
            f"{loosely} rows name their picture without its suffix, by another place or case, or by a number"
        )
    splits = [path.split for path in read_paths([entry.file for entry in entries])]
    entries = [replace(e, split=e.split or split) for e, split in zip(entries, splits, strict=True)]
    return entries, list(licences)


def _what_is_wrong(
    row: Row, folder: PurePosixPath, file: str | None, first: dict[str, str], finder: PictureFinder
) -> str:
    if file is not None:
        return f"{file} is listed again, first at {first[file]}; this row is left out"
    if leads_out(os.path.normpath(folder / row.file)):
        return f"{row.file} leads out of the folder; it was not read"
    if len(several := finder.namesakes(row.file)) > 1:
        return f"{row.file} may be {several[0]} or {several[1]}; name its folder, too"
    return f"{(folder / row.file).as_posix()} is not there"


def _name_unlisted(
    finder: PictureFinder, entries: list[Entry], folders: set[PurePosixPath], problems: list[Problem]
) -> None:
    listed = {entry.file for entry in entries}
    inside = tuple("" if folder == PurePosixPath() else f"{folder}/" for folder in sorted(folders))
    problems += [
        Problem(file, "no whole row of the table names it; it is left out")
        for file in finder.pictures
        if file not in listed and file.startswith(inside)
    ]
