"""A folder of pictures with a table of labels: CSV or TSV, or Hugging Face's imagefolder.

    photos/labels.csv            file,age,smiling    any name; the column of files: file, image, ...
    photos/train/metadata.jsonl  {"file_name": "0.png", "age": 31}      imagefolder; splits may be sub-folders

Columns named person, split, role and group (or their usual other names) are what their names say; all others
are labels, whose types follow from all their values. An empty cell is a label that is not known.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import list_pictures
from mien.datasets.columns import label_names
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.layouts._cells import LICENCE_COLUMNS, SPLITS, entry_of, learnable, take
from mien.datasets.layouts._rows import FILE_COLUMNS, Row, Rows, has_file_column, read_rows
from mien.datasets.layouts._values import Value, typed
from mien.datasets.stored import StoredDataset

LICENCE = "that of the pictures themselves; a column `licence` where the table has one"
CITATION = "none; metadata.jsonl and metadata.csv are the layout of Hugging Face's imagefolder"

_FIRST = ("metadata.jsonl", "metadata.csv", "labels.csv", "labels.tsv")
_SUFFIXES = (".csv", ".tsv", ".jsonl")


def recognise(root: Path) -> bool:
    """Is there a table with a column of files, here or in the splits' sub-folders?"""
    return bool(_tables(root))


def index(root: Path, *, table: str = "") -> Index:
    """Rows become entries in the table's order.

    table: its file, relative to `root`, where there are several. Named and left out: rows of another width
    than the header, rows that are not JSON, files listed twice or not there, pictures that no row names.
    Raises InputError where there is no table or it cannot be read at all.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    rows: list[tuple[Row, PurePosixPath, str]] = []  # the row, its table's folder, the split by its folder
    for file in _choose(root, table):
        read = read_rows(root / file, where=file.as_posix())
        problems += read.problems
        rows += [(row, file.parent, SPLITS.get(file.parent.name.lower(), "")) for row in read.rows]
        notes += _told(read, file)
    columns = typed([row.cells for row, _, _ in rows], notes)
    entries, licences = _entries(root, rows, columns, problems)
    _find_extra(root, entries, {folder for _, folder, _ in rows}, problems)
    return Index(
        "table",
        root,
        tuple(entries),
        tuple(problems),
        tuple(notes),
        _counts(entries, len(rows)),
        licence=licences[0] if len(licences) == 1 else "",
        label_names=learnable(entries),
    )


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?size=64&labels=age,smiling&table=labels.csv"."""
    return open_layout("table", index, where, progress=progress)


def _tables(root: Path) -> list[PurePosixPath]:
    """The tables that may be meant: the first of the usual names, or else any with a column of files."""
    for name in _FIRST:
        if has_file_column(root / name):
            return [PurePosixPath(name)]
    splits = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name.lower() in SPLITS]
    inside = [next((path / name for name in _FIRST if has_file_column(path / name)), None) for path in splits]
    if any(inside):
        return [PurePosixPath(path.relative_to(root).as_posix()) for path in inside if path]
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    return [PurePosixPath(path.name) for path in files if has_file_column(path)]


def _choose(root: Path, table: str) -> list[PurePosixPath]:
    if table:
        if not (root / table).is_file():
            raise InputError(f"{root / table}: there is no such table")
        return [PurePosixPath(table)]
    found = _tables(root)
    if not found:
        known = ", ".join(FILE_COLUMNS)
        raise InputError(f"{root}: no CSV, TSV or JSON lines in it with a column of files ({known})")
    if len(found) > 1 and len({file.parent for file in found}) < len(found):
        names = ", ".join(map(str, found))
        raise InputError(f"{root}: several tables ({names}); choose one with table={found[0]}")
    return found


def _told(read: Rows, file: PurePosixPath) -> Iterator[str]:
    if read.skipped:
        yield f"{file}: not read as labels, since they hold lists or objects: {', '.join(read.skipped)}"


def _entries(
    root: Path,
    rows: list[tuple[Row, PurePosixPath, str]],
    columns: list[dict[str, Value]],
    problems: list[Problem],
) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    licences: Counter[str] = Counter()
    first: dict[str, str] = {}
    for (row, folder, split), labels in zip(rows, columns, strict=True):
        file = (folder / row.file).as_posix()
        wrong = _what_is_wrong(root, row.file, file, first)
        if wrong:
            problems.append(Problem(row.where, wrong))
            continue
        first[file] = row.where
        licences.update(take(labels, LICENCE_COLUMNS))
        entries.append(entry_of(file, labels, split))
    return entries, list(licences)


def _what_is_wrong(root: Path, given: str, file: str, first: dict[str, str]) -> str:
    if given.startswith("/") or ":" in given or ".." in PurePosixPath(given).parts:
        return f"{given} leads out of the folder; it was not read"
    if file in first:
        return f"{file} is listed again, first at {first[file]}; this row is left out"
    return "" if (root / file).is_file() else f"{file} is not there"


def _find_extra(
    root: Path, entries: list[Entry], folders: set[PurePosixPath], problems: list[Problem]
) -> None:
    listed = {entry.file for entry in entries}
    for folder in sorted(folders):
        for path in list_pictures(root / folder):
            file = path.relative_to(root).as_posix()
            if file not in listed:
                problems.append(Problem(file, "no whole row of the table names it; it is left out"))


def _counts(entries: list[Entry], rows: int) -> dict[str, int]:
    counts = {"rows": rows, "pictures": len(entries), "labels": len(label_names(entries))}
    people = {entry.person for entry in entries} - {""}
    return counts | ({"people": len(people)} if people else {})
