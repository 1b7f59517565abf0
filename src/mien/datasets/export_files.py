"""An export's columns and files: Hugging Face's imagefolder, and parquet as its `datasets` writes it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mien.core.errors import MienError, install
from mien.core.text import encodable
from mien.core.types import Dataset

Rows = Iterable[tuple[bytes, dict[str, Any]]]  # PNG, name -> value

SHARD_BYTES = 500_000_000
_GROUP_ROWS = 100  # pictures in a row group: a reader can fetch a few of them alone
_ALWAYS = ("person", "role", "group", "source", "licence")
_TAKEN = frozenset({"file_name", "image", "split"})  # names that the layouts need themselves


@dataclass(frozen=True)
class Column:
    """values: one for each picture, None where it is not known. kind: of all values."""

    name: str
    kind: Literal["bool", "int64", "float64", "string"]
    values: list[Any]


def columns_of(dataset: Dataset, *, measurements: bool, files: Sequence[str] = ()) -> list[Column]:
    """Labels by name (of the records, else of the label array), who is shown, where it is from, licence.

    files: where each picture is from, for those whose records do not tell.
    """
    records = dataset.records
    columns = [_column(name, [_labels(record).get(name) for record in records]) for name in _names(records)]
    columns += _from_array(dataset, {column.name for column in columns})
    known = {column.name for column in columns}
    for name in _ALWAYS:
        if name not in known:
            columns.append(_column(name, [record.get(name) for record in records]))
    columns = [
        _column("source", list(files)) if column.name == "source" and files and not _any(column) else column
        for column in columns
    ]
    if measurements:
        columns += _measurements(records, {column.name for column in columns})
    return [column for column in columns if _any(column)]


def _any(column: Column) -> bool:
    return any(value is not None for value in column.values)


def _labels(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's labels, an object of yes and no spread out; other objects stay whole."""
    labels = dict(record.get("labels") or {})
    return labels | (labels.pop("attributes", None) or {})


def _names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in _labels(record)))


def _from_array(dataset: Dataset, known: set[str]) -> list[Column]:
    """Columns of the label array that no record has: a class's name, or a number each."""
    if dataset.labels is None:
        return []
    array, width = dataset.labels, dataset.labels.shape[1]
    names = dataset.spec.class_names or tuple(f"label_{at}" for at in range(width))
    if known & set(names):
        return []  # the records say the same
    if ((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all():
        name = "label" if "label" not in known else "class"
        if _holds_classes(dataset, names):
            return []
        return [Column(name, "string", [names[at] for at in array.argmax(1)])]
    return [
        _column(name, [float(value) for value in array[:, at]])
        for at, name in enumerate(names)
        if name not in known
    ]


def _holds_classes(dataset: Dataset, names: Sequence[str]) -> bool:
    """Whether a text label of the records, or the role, already holds these classes."""
    texts = ({_labels(r).get(name) for r in dataset.records} for name in _names(dataset.records))
    roles = {record.get("role") for record in dataset.records}
    return any(taken == set(names) for taken in (*texts, roles) if all(isinstance(v, str) for v in taken))


def _measurements(records: Sequence[Mapping[str, Any]], known: set[str]) -> list[Column]:
    names = dict.fromkeys(name for record in records for name in record.get("measurements") or {})
    return [
        _column(
            name if name not in known else f"measured_{name}",
            [(record.get("measurements") or {}).get(name) for record in records],
        )
        for name in names
    ]


def _column(name: str, values: list[Any]) -> Column:
    safe = encodable(f"label_{name}" if name in _TAKEN else name)
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {bool}:
        return Column(safe, "bool", values)
    if kinds == {int} and all(abs(value) < 1 << 63 for value in values if value is not None):
        return Column(safe, "int64", values)
    if kinds and kinds <= {int, float}:
        return Column(safe, "float64", [None if value is None else float(value) for value in values])
    return Column(safe, "string", [None if value is None else _text(value) for value in values])


def _text(value: Any) -> str:
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def write_imagefolder(folder: Path, side: str, rows: Rows, columns: list[Column]) -> Iterator[str]:
    """SIDE/00000000.png ... and SIDE/metadata.jsonl; yields the name of each picture when it is written."""
    place = folder / side
    place.mkdir()
    with open(place / "metadata.jsonl", "w", encoding="utf-8") as notes:
        for number, (png, row) in enumerate(rows):
            name = f"{number:08d}.png"
            (place / name).write_bytes(png)
            notes.write(json.dumps({"file_name": name, **row}, ensure_ascii=False, allow_nan=False) + "\n")
            yield name


def write_parquet(
    folder: Path, side: str, rows: Rows, columns: list[Column], *, shard_bytes: int = SHARD_BYTES
) -> Iterator[str]:
    """data/SIDE-00000-of-00001.parquet ...; yields the name of each picture when it is taken.

    `image` is a struct of bytes and path; the schema says so under "huggingface", so that `datasets` shows
    pictures. A file is ended after `shard_bytes` of pictures.
    """
    shards = _Shards(folder / "data", columns, shard_bytes)
    try:
        for number, (png, row) in enumerate(rows):
            name = f"{side}-{number:08d}.png"
            shards.add({"image": {"bytes": png, "path": name}, **row})
            yield name
        shards.finish(side)
    finally:
        shards.close()


class _Shards:
    """Parquet files of limited size, named when it is known how many there are."""

    def __init__(self, folder: Path, columns: list[Column], most: int) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise MienError(f"parquet needs pyarrow; {install('parquet')}") from error
        self._arrow, self._parquet = pyarrow, parquet
        self._folder, self._most = folder, most
        self._schema = _schema(pyarrow, columns)
        self._paths: list[Path] = []
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        folder.mkdir(exist_ok=True)

    def add(self, row: dict[str, Any]) -> None:
        """Take one row; it is on disk when its row group is full."""
        if self._writer is None:
            self._paths.append(self._folder / f"{len(self._paths)}.part")
            self._writer = self._parquet.ParquetWriter(self._paths[-1], self._schema)
        self._rows.append(row)
        self._bytes += len(row["image"]["bytes"])
        if len(self._rows) == _GROUP_ROWS or self._bytes >= self._most:
            self._flush()
        if self._bytes >= self._most:
            self.close()

    def finish(self, side: str) -> None:
        """Write what is left and give the files their names."""
        self._flush()
        self.close()
        for number, path in enumerate(self._paths):
            path.rename(self._folder / f"{side}-{number:05d}-of-{len(self._paths):05d}.parquet")

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """End the file that is being written."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes = None, 0


def _schema(arrow: Any, columns: list[Column]) -> Any:
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields = [("image", image), *((column.name, arrow.type_for_alias(column.kind)) for column in columns)]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {column.name: {"dtype": column.kind, "_type": "Value"} for column in columns}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema(fields, metadata=metadata)
