"""Parquet with a column of pictures, as Hugging Face's `datasets` and `mien data export` write it.

    out/data/train-00000-of-00002.parquet    a column `image` of {bytes, path}; all other columns as in table

The side of the split is what the file's name begins with. Numbers of classes become their names.
"""

from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.picture import Pixels, decode
from mien.datasets.index import Entry, Index, Problem
from mien.datasets.layout import open_layout
from mien.datasets.layouts._cells import LICENCE_COLUMNS, SPLITS, entry_of, learnable, take
from mien.datasets.layouts._parquet import parquet_files, read_cells, read_image
from mien.datasets.layouts._values import typed
from mien.datasets.stored import StoredDataset

LICENCE = "that of the pictures themselves; a column `licence` where there is one"
CITATION = "none; the layout is the one of Hugging Face's datasets"


def recognise(root: Path) -> bool:
    """Are there parquet files, here or in `data`?"""
    return bool(parquet_files(root))


def index(root: Path) -> Index:
    """Rows of all files, by file and row. Files that cannot be read or hold no pictures are named.

    Raises InputError where there is no parquet file, MienError where pyarrow is not installed.
    """
    files = parquet_files(root)
    if not files:
        raise InputError(f"{root}: no parquet file in it or in its folder data")
    problems: list[Problem] = []
    notes: list[str] = []
    places: list[tuple[str, str, int]] = []
    rows = []
    for file in files:
        try:
            cells = read_cells(root / file)
        except InputError as error:
            problems.append(Problem(file, str(error)))
            continue
        split = SPLITS.get(Path(file).name.partition("-")[0].partition(".")[0].lower(), "")
        places += [(file, split, number) for number in range(len(cells))]
        rows += cells
    columns = typed(rows, notes)
    licences = {licence for labels in columns for licence in take(labels, LICENCE_COLUMNS)}
    entries = tuple(
        entry_of(file, labels, split, part=str(number))
        for (file, split, number), labels in zip(places, columns, strict=True)
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
        label_names=learnable(entries),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture in a row. Raises BadPicture."""
    where = f"{entry.file}#{entry.part}"
    return decode(read_image(root / entry.file, int(entry.part), where=where), where=where).pixels


as_stored = read


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?size=64&split=train&labels=age"."""
    return open_layout("parquet", index, where, progress=progress, read=read)
