"""Tables of pictures: rows of CSV, TSV or JSON lines, each with its place, and the files that they name."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.errors import InputError
from mien.core.labels import same_name
from mien.core.picture import PICTURE_SUFFIXES, list_pictures
from mien.datasets.index import Problem

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
FILE_COLUMNS: tuple[str, ...] = (
    "file_name",
    "file",
    "filename",
    "image",
    "path",
    "image_path",
    "image_file",
    "image_name",
)
FILE_COLUMNS += ("file_path", "filepath", "img", "img_path", "img_name", "picture", "photo")
_ENDINGS = ("_file_name", "_filename", "_file", "_path")
_NUMBERS = ("image_id", "img_id", "id")  # of pictures: names without suffix, where files go by them
_DELIMITERS = (",", ";", "\t", "|")
_HEADER = 64 * 1024  # bytes that are enough to see a header or a first object


@dataclass(frozen=True)
class Row:
    """where: "labels.csv:7". file: as it stands there, with "/". cells: everything else that is known."""

    where: str
    file: str
    cells: dict[str, Any]


@dataclass
class Rows:
    """skipped: columns that hold no single values."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, None] = field(default_factory=dict)


def has_file_column(path: Path) -> bool:
    """Whether `path` is a table with a column of files, as its beginning tells.

    A column of numbers (id) is one only where the first of them is a picture beside the table.
    """
    try:
        with open(path, "rb") as file:
            lines = _text(file.read(_HEADER), errors="ignore").splitlines()[:2]
    except OSError:
        return False
    if path.suffix.lower() == ".jsonl":
        cells = _object(lines[0]) if lines else None
    else:
        names, delimiter = _header(lines[0] if lines else "")
        cells = dict(zip(names, _split(lines[1], delimiter) if len(lines) > 1 else [], strict=False))
        cells = dict.fromkeys(names, "") | cells
    column = file_column(list(cells or {}))
    if cells is None or column is None or column.strip().lower() not in _NUMBERS:
        return column is not None
    return PictureFinder(path.parent).find(path.parent, str(cells[column])) is not None


def read_rows(path: Path, *, where: str, file: str = "") -> Rows:
    """Every row of a table, blank ones aside; a row that is wrong costs only itself.

    file: the column that names the picture (default: the first usual name).

    Raises InputError where nothing can be read: not UTF-8, no header, no column of files, a column twice.
    """
    try:
        text = _text(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8 text; save the table as UTF-8") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if path.suffix.lower() == ".jsonl":
        return _from_json(lines, where, file)
    return _from_csv(lines, path, where, file)


def file_column(names: list[str], given: str = "") -> str | None:
    """The column that names files: that given, else a usual name, else X_file_name, else image_id or id."""
    if given:
        return given if given in names else None
    by_name = {name.strip().lower(): name for name in reversed(names)}
    ending = next((name for name in by_name if name.endswith(_ENDINGS)), None)
    usual = next((known for known in FILE_COLUMNS if known in by_name), ending)
    usual = usual or next((known for known in _NUMBERS if known in by_name), None)
    return None if usual is None else by_name[usual]


def _text(data: bytes, *, errors: str = "strict") -> str:
    """UTF-8 with or without a mark, or the UTF-16 that spreadsheets call "Unicode text"."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data[: len(data) // 2 * 2].decode("utf-16", errors)
    return data.decode("utf-8-sig", errors)


def _header(line: str) -> tuple[list[str], str]:
    """The names in a first line, and the delimiter that gives most of them."""
    readings = [(_split(line, delimiter), delimiter) for delimiter in _DELIMITERS]
    with_files = [(names, delimiter) for names, delimiter in readings if file_column(names)]
    return max(with_files or readings, key=lambda pair: len(pair[0]))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def _from_csv(lines: list[str], path: Path, where: str, given: str) -> Rows:
    names, delimiter = _header(lines[0])
    column = file_column(names, given)
    if column is None:
        raise InputError(no_file_column(f"{path}:1", names, given))
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise InputError(f"{path}:1: two columns are called {twice!r}")
    out = Rows()
    for at, cells in _records(lines, delimiter, len(names), where, out.problems):
        known = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        file = known.pop(column)
        _add(out, Row(f"{where}:{at}", file.replace("\\", "/"), _known(known)))
    return out


def no_file_column(where: str, names: Iterable[str], given: str) -> str:
    """What to say of a table without a column of files."""
    columns = ", ".join(name for name in names if name) or "none"
    what = f"there is no column {given!r}" if given else "no column of files among its columns"
    return f"{where}: {what}; there are: {columns}; name it with file=COLUMN"


def _known(cells: dict[str, str]) -> dict[str, str]:
    return {name: cell for name, cell in cells.items() if name and cell}


def _add(out: Rows, row: Row) -> None:
    if row.file:
        out.rows.append(row)
    else:
        out.problems.append(Problem(row.where, "the row names no file; it is left out"))


def _records(
    lines: list[str], delimiter: str, width: int, where: str, problems: list[Problem]
) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row below the header.

    A row that is wrong is one line long, whatever a stray quotation mark in it would swallow.
    """
    at = 1
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        reader = csv.reader(_lines_from(lines, at), delimiter=delimiter, strict=True)
        try:
            cells = next(reader)
            wrong = "" if len(cells) == width else f"it has {len(cells)} cells, the header has {width}"
        except csv.Error as error:
            cells, wrong = [], f"it cannot be read ({error})"
        if wrong:
            problems.append(Problem(f"{where}:{at + 1}", f"{wrong}; the row is left out"))
        else:
            yield at + 1, cells
        at += 1 if wrong else reader.line_num


def _lines_from(lines: list[str], at: int) -> Iterator[str]:
    return (lines[number] + "\n" for number in range(at, len(lines)))


def _from_json(lines: list[str], where: str, given: str) -> Rows:
    out = Rows()
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _object(line)
        if row is None:
            out.problems.append(Problem(f"{where}:{at}", "it is no JSON object; the row is left out"))
            continue
        column = file_column(list(row), given)
        cell = row.pop(column, None) if column else None
        file = "" if cell is None else str(cell)
        odd = [name for name, value in row.items() if isinstance(value, dict | list)]
        out.skipped |= dict.fromkeys(odd)
        cells = {name: v for name, v in row.items() if name not in odd and v is not None and v != ""}
        _add(out, Row(f"{where}:{at}", file.replace("\\", "/"), cells))
    return out


def _object(line: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


class PictureFinder:
    """Finds the pictures that rows name: also without suffix, in another case, or in a sub-folder.

    Only pictures are given back, and only if the name is of one of them alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def pictures(self) -> list[str]:
        """Every picture, relative to the root, sorted."""
        return [path.relative_to(self.root).as_posix() for path in list_pictures(self.root)]

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        """Loose name -> pictures of that name: by path or by name alone, with and without suffix."""
        by_key: dict[str, list[str]] = {}
        for file in self.pictures:
            for key in dict.fromkeys(_loose(part) for part in (file, PurePosixPath(file).name)):
                for each in (key, key.rpartition(".")[0]):
                    by_key.setdefault(each, []).append(file)
        return by_key

    def find(self, folder: Path, name: str) -> str | None:
        """The picture that a table in `folder` calls `name`, relative to the root; None if there is none."""
        inside = folder.relative_to(self.root) / name
        if (self.root / inside).is_file():
            return inside.as_posix()
        place = _loose(inside.as_posix())
        suffix = PurePosixPath(place).suffix
        keys = [place, _loose(name)]
        if suffix in PICTURE_SUFFIXES:
            keys += [key.removesuffix(suffix) for key in keys]
        for key in keys:
            files = self._by_key.get(key, [])
            if len(files) == 1:
                return files[0]
        return None


def _loose(name: str) -> str:
    return same_name(name).casefold()
