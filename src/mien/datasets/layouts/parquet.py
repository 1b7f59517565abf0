"""Parquet with a column of pictures, as Hugging Face's `datasets` and `mien data export` write it.

    out/data/train-00000-of-00002.parquet    a column `image` of {bytes, path} or of bytes; others as in table
    out/default/train/0000.parquet           as its branch refs/convert/parquet has it
    out.parquet                              a single file

The split is what the folder or the file's name says. Numbers of classes become their names.
"""

from pathlib import Path, PurePosixPath

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.path_labels import split_of
from mien.core.picture import Pixels, decode
from mien.datasets.index import Entry, Index, Problem, name_of
from mien.datasets.layout import open_layout
from mien.datasets.layouts._parquet import parquet_files, read_cells
from mien.datasets.layouts._parquet import read_bytes as read_bytes
from mien.datasets.stored import StoredDataset
from mien.labels.columns import learnable
from mien.labels.columns import read_cells as read_row
from mien.labels.values import parse_columns

LICENCE = "that of the pictures themselves; a column `licence` where there is one"
CITATION = "none; the layout is the one of Hugging Face's datasets"


def recognise(root: Path) -> bool:
    """Are there parquet files, here or in sub-folders?"""
    return bool(parquet_files(root))


def index(root: Path) -> Index:
    """Rows of all files, by file and row. Files that cannot be read or hold no pictures are named.

    root: a folder or a file. Raises InputError where there is no parquet file, MienError without pyarrow.
    """
    files = [root.name] if root.is_file() else parquet_files(root)
    root = root.parent if root.is_file() else root
    if not files:
        raise InputError(f"{root}: no parquet file in it or in its sub-folders")
    problems: list[Problem] = []
    notes: list[str] = []
    places: list[tuple[str, int]] = []
    rows = []
    for file in files:
        try:
            cells = read_cells(root / file)
        except InputError as error:
            problems.append(Problem(file, str(error)))
            continue
        places += [(file, number) for number in range(len(cells))]
        rows += cells
    records = [read_row(cells) for cells in parse_columns(rows, notes)]
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


as_stored = read


def open(where: str, *, progress: Tick | None = None) -> StoredDataset:
    """Open "FOLDER?size=64&split=train&labels=age"."""
    return open_layout("parquet", index, where, progress=progress, read=read)


def _split(file: str) -> str:
    """What the file's name begins with ("train-00000-of-00002"), else the nearest folder naming one."""
    path = PurePosixPath(file)
    names = (path.stem.partition("-of-")[0], path.stem.partition("-")[0], *reversed(path.parts[:-1]))
    return next(filter(None, map(split_of, names)), "")
