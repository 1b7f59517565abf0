"""Tables of pictures: rows of CSV, TSV or JSON lines, each with its place, and the files that they name."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mien.core.errors import InputError
from mien.core.labels import same_name
from mien.core.picture import PICTURE_SUFFIXES, list_pictures
from mien.core.text import decode_text
from mien.datasets.index import Problem

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
FILE_COLUMNS = (
    *("file_name", "file", "filename", "image", "path", "image_path", "image_file", "image_name"),
    *("file_path", "filepath", "img", "img_path", "img_name", "picture", "photo"),
    *("picture_name", "photo_name"),
)
_ENDINGS = ("_file_name", "_filename", "_file", "_path")
_ADDRESSES = ("image_url", "img_url", "photo_url", "url", "link")  # whose last part the files are called
_NUMBERS = ("image_id", "img_id", "id")  # of pictures: names without suffix, where files go by them
_DELIMITERS = (",", ";", "\t", "|")
_HEADER = 64 * 1024  # bytes that are enough to see a header or a first object
_ABOVE = 8  # lines that may stand above a header: a title, a remark, Excel's "sep=;"
_NUMBER = re.compile(r"([0-9]{1,18})(\.0+)?")  # spreadsheets and pandas make 7 or 7.0 of 007
_JSON = (".jsonl", ".json")
_ELEMENT = re.compile(r"[^\s,]")  # the first letter of one, or the end of a list
_BY_NAME = re.compile(r'\s*\{\s*"([^"\\]+\.\w+)"\s*:')  # how an object of pictures by name begins
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_MOST_BYTES = 512 << 20


@dataclass(frozen=True)
class Row:
    """where: "labels.csv:7". file: as it stands there, with "/". cells: everything else that is known."""

    where: str
    file: str
    cells: dict[str, Any]


@dataclass
class Rows:
    """skipped: columns that hold no single values. notes: on the file as a whole."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def has_file_column(path: Path) -> bool:
    """Whether `path` is a table with a column of files, as its beginning tells.

    A column of numbers (id) or addresses is one only where the first of them is a picture beside the table.
    """
    cells = first_cells(path)
    column = file_column(list(cells or {}))
    if cells is None or column is None or _plain(column) not in _NUMBERS + _ADDRESSES:
        return column is not None
    return PictureFinder(path.parent).find(path.parent, str(cells[column])) is not None


def first_cells(path: Path) -> dict[str, Any] | None:
    """The names of a table's columns with the cells of its first row; None for what cannot be read."""
    try:
        with open(path, "rb") as file:
            text = decode_text(file.read(_HEADER), "ignore")
    except OSError:
        return None
    if path.suffix.lower() in _JSON:
        if by_name := _BY_NAME.match(text):
            return {FILE_COLUMNS[0]: by_name[1]} if _is_picture(by_name[1]) else None
        return next((row for _, row in _objects(text)), None)
    lines = _lines(text)
    at, names, delimiter = _header(lines)
    first = _split(lines[at + 1], delimiter) if at + 1 < len(lines) else []
    return dict.fromkeys(names, "") | dict(zip(names, first, strict=False))


def read_rows(path: Path, *, where: str, file: str = "") -> Rows:
    """Every row of a table, blank ones aside; a row that is wrong costs only itself.

    file: the column that names the picture (default: the first usual name).

    Raises InputError where nothing can be read: no header, no column of files, a column twice.
    """
    notes = []
    try:
        data = path.read_bytes()
        text = decode_text(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        notes.append(
            f"{where}:{line}: not UTF-8, so read as Windows-1252; save it as UTF-8 if letters are wrong"
        )
        text = data.decode("cp1252", "replace")
    is_json = path.suffix.lower() in _JSON
    out = _from_json(text, where, file) if is_json else _from_csv(_lines(text), path, where, file)
    out.notes += notes
    return out


def file_column(names: list[str], given: str = "") -> str | None:
    """The column that names files: that given, else a usual name, else X_file_name, else image_id or id."""
    if given:
        return given if given in names else None
    by_name = {_plain(name): name for name in reversed(names)}
    ending = next((name for name in by_name if name.endswith(_ENDINGS)), None)
    usual = next((known for known in FILE_COLUMNS if known in by_name), ending)
    usual = usual or next((known for known in _NUMBERS + _ADDRESSES if known in by_name), None)
    return None if usual is None else by_name[usual]


def _plain(column: str) -> str:
    """A column's name as others write it: "Image Name" is image_name."""
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _header(lines: list[str], given: str = "") -> tuple[int, list[str], str]:
    """The header's place, the names in it, and the delimiter that gives most of them.

    It is the first line that names a column of files, else the first that is not blank.
    """
    places = [at for at, line in enumerate(lines) if line.strip()][:_ABOVE] or [0]
    for at in places:
        readings = [(at, _split(lines[at], delimiter), delimiter) for delimiter in _DELIMITERS]
        with_files = [reading for reading in readings if file_column(reading[1], given)]
        if with_files:
            return max(with_files, key=lambda reading: len(reading[1]))
    first = [(places[0], _split(lines[places[0]], delimiter), delimiter) for delimiter in _DELIMITERS]
    return max(first, key=lambda reading: len(reading[1]))


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def _from_csv(lines: list[str], path: Path, where: str, given: str) -> Rows:
    first, names, delimiter = _header(lines, given)
    column = file_column(names, given)
    if column is None:
        raise InputError(no_file_column(f"{path}:{first + 1}", names, given))
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise InputError(f"{path}:{first + 1}: two columns are called {twice!r}")
    out = Rows()
    for at, cells in _records(lines, first + 1, delimiter, len(names), where, out.problems):
        if delimiter == ";":
            cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        known = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        file = known.pop(column)
        known = {name: cell for name, cell in known.items() if name and cell}
        _add(out, Row(f"{where}:{at}", file.replace("\\", "/"), known))
    return out


def no_file_column(where: str, names: Iterable[str], given: str) -> str:
    """What to say of a table without a column of files."""
    columns = ", ".join(name for name in names if name) or "none"
    if any(PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES for name in names):
        return f"{where}: it has no header; write one above, as file,label"
    what = f"there is no column {given!r}" if given else "no column of files among its columns"
    return f"{where}: {what}; there are: {columns}; name it with file=COLUMN"


def _add(out: Rows, row: Row) -> None:
    if row.file:
        out.rows.append(row)
    else:
        out.problems.append(Problem(row.where, "the row names no file; it is left out"))


def _records(
    lines: list[str], at: int, delimiter: str, width: int, where: str, problems: list[Problem]
) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row from line `at` on.

    A row that is wrong is one line long, whatever a stray quotation mark in it would swallow.
    """
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        rest = (line + "\n" for line in islice(lines, at, None))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
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


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def _from_json(text: str, where: str, given: str) -> Rows:
    out = Rows()
    whole = _object(text) if where.endswith(".json") else None
    rows = _objects(text) if whole is None else enumerate(_rows_in(whole, where, out.notes), 1)
    for at, row in rows:
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


def _rows_in(whole: dict[str, Any], where: str, notes: list[str]) -> list[dict[str, Any]]:
    """The rows in one object: pictures by name, FFHQ's list, COCO's annotations, or one row."""
    if whole and all(map(_is_picture, whole)):
        cells = {
            name: value if isinstance(value, dict) else {"label": value} for name, value in whole.items()
        }
        return [{FILE_COLUMNS[0]: name, **known} for name, known in cells.items()]
    if whole and all(isinstance(each, dict) and "thumbnail" in each for each in whole.values()):
        return [_ffhq_row(name, each) for name, each in whole.items()]
    if not all(isinstance(whole.get(name), list) for name in ("images", "annotations", "categories")):
        return [whole]
    try:
        return _coco_rows(whole["images"], whole["annotations"], whole["categories"], notes)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: annotations like COCO's, but not whole ({error!r})") from error


def _ffhq_row(number: str, known: dict[str, Any]) -> dict[str, Any]:
    """Of ffhq-dataset-v2.json: {"0": {"category": "training", "metadata": {"license": "CC BY"}, ...}}."""
    metadata = known.get("metadata")
    licence = metadata.get("license") if isinstance(metadata, dict) else None
    name = f"{int(number):05d}" if number.isdecimal() else number
    return {FILE_COLUMNS[0]: name, "split": known.get("category"), "licence": licence}


def _coco_rows(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    notes: list[str],
) -> list[dict[str, Any]]:
    """A row for each picture; its category is known where all its annotations are of one."""
    names = {each["id"]: str(each["name"]) for each in categories}
    of: dict[Any, set[str]] = {}
    for annotation in annotations:
        of.setdefault(annotation["image_id"], set()).add(names[annotation["category_id"]])
    shown = [of.get(image["id"], set()) for image in images]
    if mixed := sum(len(several) > 1 for several in shown):
        notes.append(f"{mixed} pictures show several categories, and have no label for it")
    return [
        {FILE_COLUMNS[0]: image["file_name"], "category": min(several) if len(several) == 1 else None}
        for image, several in zip(images, shown, strict=True)
    ]


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(number, object) of each line, or of each element of one list; None for what is no object."""
    if not text.lstrip().startswith("["):
        yield from ((at, _object(line)) for at, line in enumerate(_lines(text), 1) if line.strip())
        return
    decoder, number, at = json.JSONDecoder(), 0, text.index("[") + 1
    while (match := _ELEMENT.search(text, at)) and match[0] != "]":
        number, at = number + 1, match.start()
        try:
            element, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield number, None
            return
        yield number, element if isinstance(element, dict) else None


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

    @cached_property
    def _by_number(self) -> dict[int, list[str]]:
        by_number: dict[int, list[str]] = {}
        for file in self.pictures:
            if number := _NUMBER.fullmatch(PurePosixPath(file).stem):
                by_number.setdefault(int(number[1]), []).append(file)
        return by_number

    def find(self, folder: Path, name: str) -> str | None:
        """The picture that a table in `folder` calls `name`, relative to the root; None if there is none.

        A path that leads out of the root, as one of another machine, is looked for by its last parts; so is
        an address on the web.
        """
        if "://" in name:
            name = "/" + unquote(urlsplit(name).path).lstrip("/")
        inside = os.path.normpath(folder.relative_to(self.root) / name)
        if leads_out(inside):
            parts = [part for part in name.split("/") if part not in ("", "..") and ":" not in part]
            tails = ["/".join(parts[at:]) for at in range(len(parts))]
            return next(filter(None, (self._loosely(tail) for tail in tails)), None)
        if (self.root / inside).is_file():
            return inside
        return self._loosely(inside, name)

    def namesakes(self, name: str) -> list[str]:
        """The pictures in whatever folders that go by this name."""
        return self._by_key.get(_loose(PurePosixPath(name).name), [])

    def _loosely(self, *names: str) -> str | None:
        """The one picture that has one of these names, or their number: 7 and 7.0 are 007.jpg."""
        keys = [_loose(name) for name in names]
        suffix = PurePosixPath(keys[0]).suffix
        if suffix in PICTURE_SUFFIXES:
            keys += [key.removesuffix(suffix) for key in keys]
        files = [self._by_key.get(key, []) for key in keys]
        if number := _NUMBER.fullmatch(keys[-1]):
            files.append(self._by_number.get(int(number[1]), []))
        return next((known[0] for known in files if len(known) == 1), None)


def leads_out(path: str) -> bool:
    """Whether a path from a table is none below its folder, on any system."""
    return path.startswith("/") or ":" in path or ".." in PurePosixPath(path).parts


def _loose(name: str) -> str:
    return same_name(name).casefold()


def read_text(path: Path) -> str:
    """A text file of people's making: UTF-8 or UTF-16; other bytes become question marks.

    Raises InputError where it cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; that is no list")
        return decode_text(path.read_bytes(), "replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def list_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line from 1, its fields) for each line that is not blank. Raises InputError."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if fields:
            yield number, fields
