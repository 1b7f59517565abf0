"""Rows of a table of pictures, each with its place, from CSV, TSV or JSON lines."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.datasets.index import Problem

FILE_COLUMNS = ("file_name", "file", "filename", "image", "path")
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
    """Whether `path` is a table with a column of files, as its beginning tells."""
    try:
        with open(path, "rb") as file:
            line = _text(file.read(_HEADER), errors="ignore").split("\n")[0]
    except OSError:
        return False
    if path.suffix.lower() == ".jsonl":
        found = _object(line)
        return found is not None and _file_column(list(found)) is not None
    return _file_column(_header(line)[0]) is not None


def read_rows(path: Path, *, where: str) -> Rows:
    """Every row of a table, blank ones aside; a row that is wrong costs only itself.

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
    return _from_json(lines, where) if path.suffix.lower() == ".jsonl" else _from_csv(lines, path, where)


def _text(data: bytes, *, errors: str = "strict") -> str:
    """UTF-8 with or without a mark, or the UTF-16 that spreadsheets call "Unicode text"."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data[: len(data) // 2 * 2].decode("utf-16", errors)
    return data.decode("utf-8-sig", errors)


def _file_column(names: list[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(names)}
    return next((by_name[known] for known in FILE_COLUMNS if known in by_name), None)


def _header(line: str) -> tuple[list[str], str]:
    """The names in a first line, and the delimiter that gives most of them."""
    found = [(_split(line, delimiter), delimiter) for delimiter in _DELIMITERS]
    with_files = [(names, delimiter) for names, delimiter in found if _file_column(names)]
    return max(with_files or found, key=lambda pair: len(pair[0]))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def _from_csv(lines: list[str], path: Path, where: str) -> Rows:
    names, delimiter = _header(lines[0])
    column = _file_column(names)
    if column is None:
        raise InputError(f"{path}:1: no column of files in the header; name one {' or '.join(FILE_COLUMNS)}")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise InputError(f"{path}:1: two columns are called {twice!r}")
    out = Rows()
    for at, cells in _records(lines, delimiter, len(names), where, out.problems):
        known = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        file = known.pop(column)
        _add(out, Row(f"{where}:{at}", file.replace("\\", "/"), _known(known)))
    return out


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


def _from_json(lines: list[str], where: str) -> Rows:
    out = Rows()
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _object(line)
        if found is None:
            out.problems.append(Problem(f"{where}:{at}", "it is no JSON object; the row is left out"))
            continue
        column = _file_column(list(found))
        file = str(found.pop(column) or "") if column else ""
        odd = [name for name, value in found.items() if isinstance(value, dict | list)]
        out.skipped |= dict.fromkeys(odd)
        cells = {name: v for name, v in found.items() if name not in odd and v is not None and v != ""}
        _add(out, Row(f"{where}:{at}", file.replace("\\", "/"), cells))
    return out


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
