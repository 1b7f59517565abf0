"""Parquet with a column of pictures, as Hugging Face's `datasets` and `mien data export` write it.

    out/data/train-00000-of-00002.parquet    a column `image` of {bytes, path} or of bytes; others as in table
    out/default/train/0000.parquet           as its branch refs/convert/parquet has it
    out.parquet                              a single file

The split is what the folder or the file's name says. Numbers of classes become their names.
"""

import json
import threading
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from mien.core.errors import InputError, MienError, install
from mien.core.path_labels import split_of
from mien.core.picture import BadPicture, Pixels, decode
from mien.core.picture import read_bytes as read_file
from mien.datasets.index import Entry, Index, Problem, name_of
from mien.datasets.layout import open_layout
from mien.datasets.tables import PictureFinder, file_column
from mien.labels.columns import learnable, read_cells
from mien.labels.values import parse_columns

LICENCE = "that of the pictures themselves; a column `licence` where there is one"
CITATION = "none; the layout is the one of Hugging Face's datasets"
_PATTERNS = ("*.parquet", "*/*.parquet", "*/*/*.parquet", "*/*/*/*.parquet")
_IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "png", "picture")
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")
_one_at_a_time = threading.Lock()  # or every thread would read the same row group


def recognise(root: Path) -> bool:
    """Are there parquet files, here or in sub-folders?"""
    return bool(_parquet_files(root))


def index(root: Path) -> Index:
    """Rows of all files, by file and row. Files that cannot be read or hold no pictures are named.

    root: a folder or a file. Raises InputError where there is no parquet file, MienError without pyarrow.
    """
    files = [root.name] if root.is_file() else _parquet_files(root)
    root = root.parent if root.is_file() else root
    if not files:
        raise InputError(f"{root}: no parquet file in it or in its sub-folders")
    problems: list[Problem] = []
    notes: list[str] = []
    places: list[tuple[str, int]] = []
    rows = []
    for file in files:
        try:
            cells = _read_rows(root / file)
        except InputError as error:
            problems.append(Problem(file, str(error)))
            continue
        places += [(file, number) for number in range(len(cells))]
        rows += cells
    records = [read_cells(cells) for cells in parse_columns(rows, notes)]
    licences = {record["licence"] for record in records if "licence" in record}
    entries = tuple(
        Entry(
            file,
            record["labels"],
            record.get("person", ""),
            record.get("role", ""),
            record.get("split") or _split(file),
            record.get("group", ""),
            part=str(number),
        )
        for (file, number), record in zip(places, records, strict=True)
    )
    people = len({entry.person for entry in entries} - {""})
    counts = {"files": len(files), "pictures": len(entries)} | ({"people": people} if people else {})
    return Index(
        "parquet",
        root,
        entries,
        tuple(problems),
        tuple(notes),
        counts,
        licence=licences.pop() if len(licences) == 1 else "",
        label_names=learnable(records),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture in a row. Raises BadPicture."""
    where = name_of(entry)
    return decode(read_bytes(root / entry.file, int(entry.part), where=where), where=where).pixels


open = partial(open_layout, "parquet", index, read=read)  # "FOLDER?size=64&split=train&labels=age"


as_stored = read


def _split(file: str) -> str:
    """What the file's name begins with ("train-00000-of-00002"), else the nearest folder naming one."""
    path = PurePosixPath(file)
    names = (path.stem.partition("-of-")[0], path.stem.partition("-")[0], *reversed(path.parts[:-1]))
    return next(filter(None, map(split_of, names)), "")


def _parquet_files(root: Path) -> list[str]:
    """The parquet files of a folder and up to three levels of sub-folders, sorted, relative to `root`."""
    paths = [path for pattern in _PATTERNS for path in root.glob(pattern) if path.is_file()]
    files = [path.relative_to(root) for path in paths]
    return sorted(file.as_posix() for file in files if not any(part.startswith(".") for part in file.parts))


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Every row's single values by column; what is null, a list or an object is left out.

    Raises InputError (without the file's name) where there is no column of pictures.
    """
    file = _open(path)
    image, classes = _image_column(file.schema_arrow), _classes(file.schema_arrow)
    nested = {field.name for field in file.schema_arrow if field.type.num_fields or str(field.type) in _BYTES}
    names = [name for name in file.schema_arrow.names if name != image and name not in nested]
    if not names:
        return [{} for _ in range(file.metadata.num_rows)]
    rows = file.read(columns=names).to_pylist()
    return [
        {
            name: _value(value, classes.get(name))
            for name, value in row.items()
            if value is not None and value != ""
        }
        for row in rows
    ]


def read_bytes(path: Path, row: int, *, where: str) -> bytes:
    """The file of the picture in row `row`. Raises BadPicture."""
    with _one_at_a_time:
        starts = _starts(path, path.stat().st_mtime_ns)
        group = max(number for number, start in enumerate(starts) if start <= row)
        picture = _pictures(path, path.stat().st_mtime_ns, group)[row - starts[group]]
        cell = picture if not isinstance(picture, dict) else picture.get("bytes") or picture.get("path")
        if isinstance(cell, bytes):
            return cell
        file = _finder(path.parent).find(path.parent, cell.replace("\\", "/")) if cell else None
    if file is None:
        detail = f"{cell} is not beside the parquet file" if cell else "the row holds no picture"
        raise BadPicture(where, "unreadable", detail)
    return read_file(path.parent / file, where=f"{where} ({file})")


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MienError(f"{path}: parquet needs pyarrow; {install('parquet')}") from error
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise InputError(
            f"no parquet file that can be read ({' '.join(str(error).split())[:100]})"
        ) from error


def _image_column(schema: Any) -> str:
    """The first column that is a struct with bytes, else the first of plain bytes, else one of files."""
    for field in schema:
        inside = [field.type.field(at).name for at in range(field.type.num_fields)]
        if "bytes" in inside and str(field.type).startswith("struct"):
            return str(field.name)
    plain = [str(field.name) for field in schema if str(field.type) in _BYTES]
    texts = [str(field.name) for field in schema if str(field.type) in _TEXTS]
    if not plain and (column := file_column(texts)):
        return column
    if not plain:
        raise InputError("no column of pictures in it (bytes, a struct of bytes and path, or names of files)")
    return next((name for name in plain if name.lower() in _IMAGE_NAMES), plain[0])


def _classes(schema: Any) -> dict[str, list[str]]:
    """Names of the classes of columns that `datasets` says are numbers of classes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: list(map(str, feature["names"])) for name, feature in features.items() if "names" in feature
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _value(value: Any, classes: list[str] | None) -> Any:
    if classes and isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    return value if isinstance(value, bool | int | float | str) else str(value)


@lru_cache(maxsize=4)
def _finder(folder: Path) -> PictureFinder:
    return PictureFinder(folder)


@lru_cache(maxsize=16)
def _starts(path: Path, changed: int) -> tuple[int, ...]:
    """The first row of each row group."""
    metadata = _open(path).metadata
    counts = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    return tuple(sum(counts[:at]) for at in range(len(counts)))


@lru_cache(maxsize=4)
def _pictures(path: Path, changed: int, group: int) -> list[dict[str, Any] | bytes | str | None]:
    file = _open(path)
    name = _image_column(file.schema_arrow)
    return list(file.read_row_group(group, columns=[name])[name].to_pylist())
