"""The files of an export: Hugging Face's imagefolder, and parquet as its `datasets` writes it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mien.core.errors import MienError, install
from mien.datasets.export_columns import Column

Rows = Iterable[tuple[bytes, dict[str, Any]]]  # PNG, name -> value

SHARD_BYTES = 500_000_000
_GROUP_ROWS = 100  # pictures in a row group: a reader can fetch a few of them alone


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
    types = {
        "bool": arrow.bool_(),
        "int64": arrow.int64(),
        "float64": arrow.float64(),
        "string": arrow.string(),
    }
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields = [("image", image), *((column.name, types[column.kind]) for column in columns)]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {column.name: {"dtype": column.kind, "_type": "Value"} for column in columns}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema(fields, metadata=metadata)
