"""`mien data export`: a dataset as Hugging Face's imagefolder or as parquet."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.core.atomic import explain, fsync
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.packed import PackReader, encode_png
from mien.core.seeds import Seed
from mien.core.types import Dataset
from mien.datasets.export_files import Column, columns_of, write_imagefolder, write_parquet
from mien.datasets.opening import open_dataset, resolve
from mien.labels.columns import text_of
from mien.labels.split import assign_splits, keep_whole

_SPLITS = {"": "train", "train": "train", "val": "validation", "test": "test"}
_CHUNK = 64


@job
def export(
    events: Events,
    source: str,
    out: Path,
    /,
    *,
    format: Literal["imagefolder", "parquet"],
    split: float | None = None,
    seed: Seed = 0,
    measurements: bool = False,
) -> Path:
    """Export a dataset to Hugging Face's imagefolder or to parquet, labels by name, licence kept.

    imagefolder is SPLIT/00000000.png and SPLIT/metadata.jsonl, parquet data/SPLIT-00000-of-00001.parquet.

    Parameters
    ----------
    source
        Whatever `mien train` takes; tossed pictures are left out.
    out
        The folder to make; it must not exist.
    format
        imagefolder (PNG files and metadata.jsonl) or parquet (files of about 500 MB).
    split
        Share of the pictures for training, between 0 and 1; the others are for testing, no person on both
        sides. By default the dataset's own split, or all for training.
    seed
        Another seed splits the people otherwise.
    measurements
        Export the measurements too.
    """
    _check(out, format, split)
    dataset = open_dataset(source, progress=events.progress("opening pictures"))
    pictures = _Pictures(source, dataset)
    columns = columns_of(dataset, measurements=measurements, files=pictures.files)
    splits = _splits(events, dataset, split, seed)
    write = write_imagefolder if format == "imagefolder" else write_parquet
    progress, done = events.progress("exporting"), 0
    with _new_folder(out) as folder:
        for name in dict.fromkeys(splits):
            at = [number for number, its_split in enumerate(splits) if its_split == name]
            for _ in write(folder, name, _rows(pictures, columns, at), columns):
                done += 1
                progress(done, len(splits))
    counts = ", ".join(f"{count:,} {name}" for name, count in Counter(splits).items())
    names = ", ".join(column.name for column in columns) or "none"
    events.wrote(out, f"{counts} pictures; columns: {names}")
    return out


def _check(out: Path, format: str, split: float | None) -> None:
    if format not in ("imagefolder", "parquet"):
        raise InputError(f"there is no format {format!r}: choose imagefolder or parquet")
    if split is not None and not 0 < split < 1:
        raise InputError(f"--split {split}: give a share between 0 and 1, as 0.9")
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} exists; nothing is overwritten: choose another folder or remove it")


class _Pictures:
    """PNG bytes of a dataset's pictures: those of its files where they are PNGs, which keeps their marks."""

    def __init__(self, source: str, dataset: Dataset) -> None:
        resolved = resolve(source)
        is_pack = resolved.layout == "folder" and resolved.path == Path(resolved.where)
        pack = PackReader(resolved.path) if is_pack else None
        self._pack = pack if pack is not None and len(pack) == len(dataset) else None
        self._dataset = dataset

    @property
    def files(self) -> list[str]:
        """The file of each picture; [] where they are not files of the source as it is given."""
        return [] if self._pack is None else self._pack.names

    def png(self, numbers: list[int]) -> Iterator[bytes]:
        fresh = [n for n in numbers if self._pack is None or not self._pack.names[n].lower().endswith(".png")]
        pixels = dict(zip(fresh, self._dataset.images(np.array(fresh, np.int64)), strict=True))
        for number in numbers:
            if number in pixels:
                yield encode_png(np.ascontiguousarray(pixels[number].transpose(1, 2, 0)))
            elif self._pack is not None:
                yield self._pack.read(number)


def _rows(
    pictures: _Pictures, columns: list[Column], at: list[int]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """(PNG, name -> value) of the pictures `at`; what is not known is None."""
    for start in range(0, len(at), _CHUNK):
        numbers = at[start : start + _CHUNK]
        for number, png in zip(numbers, pictures.png(numbers), strict=True):
            yield png, {column.name: column.values[number] for column in columns}


def _splits(events: Events, dataset: Dataset, split: float | None, seed: int) -> list[str]:
    """The split of each picture, in Hugging Face's words."""
    if split is None:
        splits = [str(record.get("split", "")) for record in dataset.records]
        whole, note = keep_whole([str(record.get("person") or "") for record in dataset.records], splits)
        if note:
            events.note(note)
        return [_SPLITS.get(side, "train") for side in whole]
    owners = [_owner(number, record) for number, record in enumerate(dataset.records)]
    splits = assign_splits(owners, shares={"train": split, "test": 1 - split}, seed=seed)
    if len(set(splits)) < 2:
        raise InputError(
            f"--split {split}: all {len(splits)} pictures fall on one side; there are too few people"
        )
    return splits


def _owner(number: int, record: Mapping[str, Any]) -> str:
    """The name that splits go by: the person, else what belongs together, else the picture alone."""
    named = (text_of(record, name) for name in ("person", "group", "pair"))
    return next(filter(None, named), str(record.get("source") or number))


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block ends well, and is removed otherwise."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".tmp-mien-", dir=out.parent))
    except OSError as error:
        raise explain(error, out) from error
    try:
        folder.chmod(0o755)
        yield folder
        for path in sorted(folder.rglob("*")):
            fsync(path)
        folder.rename(out)  # fails if something has appeared there that is not an empty folder
        fsync(out.parent)
    except OSError as error:
        raise explain(error, out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
