"""What a real dataset's folder holds, before any picture is decoded: entries, labels, what is amiss.

Each layout (folder, celeba, ckplus, sd18, pairs, eyes, table, parquet) is a file of `datasets/layouts/` with

    LICENCE, CITATION: str
    def recognise(root: Path) -> bool              cheap: does this folder look like the layout?
    def index(root: Path, *, ...) -> Index         reads lists and labels, checks that files are there
    def open(where: str, *, progress=None) -> StoredDataset    pictures decoded to one square size

and is reached as "NAME:FOLDER" wherever DATA is taken, as "NAME:FOLDER?size=64&split=train" with options:
those that all layouts share (`layout.Options`) and the keyword arguments of its `index`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.core.picture import read_bytes

Box = tuple[float, float, float, float]  # x, y, width, height in the file's pixels


@dataclass(frozen=True)
class Entry:
    """One picture (or one side of a pair).

    file: relative to the index's root, with "/". labels: name -> bool, number or text; a label that is not
    known is absent, never a default. person: whoever is shown; pictures of one person never fall on both
    sides of a split. role: "front", "profile", "input", "target", ... or "". split: "train", "val", "test" or
    "". group: what belongs together (a pair, a sequence), or "". box: what to cut out when it is made square
    (default: the largest square in the middle). mirror: turn it left to right. part: which picture of a file
    that holds several, or "".
    """

    file: str
    labels: Mapping[str, Any] = field(default_factory=dict)
    person: str = ""
    role: str = ""
    split: str = ""
    group: str = ""
    box: Box | None = None
    mirror: bool = False
    part: str = ""

    @property
    def owner(self) -> str:
        """The name that splits go by: the person, else what belongs together, else the file alone."""
        return self.person or self.group or self.file

    def record(self) -> dict[str, Any]:
        """What a manifest record says of it; fields that are not known are absent."""
        known = {"person": self.person, "role": self.role, "split": self.split, "group": self.group}
        return {**{name: value for name, value in known.items() if value}, "labels": dict(self.labels)}


@dataclass(frozen=True)
class Problem:
    """What is amiss and cost one record or file. where: file, with ":LINE" for lists. text: one sentence."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class Index:
    """A dataset's folder as it was understood.

    layout: the module's name. entries: in a fixed order. problems: named one by one. notes: lines for the
    user (how many minors were dropped, ...). counts: the table that `mien data info` prints, in order.
    licence: of the pictures. channels: 3 (RGB) or 1 (gray), how pictures are opened unless told otherwise.
    label_names: the labels that are opened unless told otherwise. people: pictures of every person in the
    folder, which splits go by, so that they stay the same whatever options leave out; {}: those of `entries`.
    content: the bytes of an entry's file where it lies in an archive; None: it is a file below `root`.
    kind: how it lies there, where the layout has several ("packed", "zip", ...), or "".
    """

    layout: str
    root: Path
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    licence: str = ""
    channels: int = 3
    label_names: tuple[str, ...] = ()
    people: Mapping[str, int] = field(default_factory=dict)
    content: Callable[[str], bytes] | None = None
    kind: str = ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """A record for each entry, as `labels.columns` takes them."""
        return [entry.record() for entry in self.entries]

    def read(self, file: str) -> bytes:
        """The bytes of an entry's file. Raises InputError (BadPicture)."""
        return self.content(file) if self.content else read_bytes(self.root / file, where=file)


def name_of(entry: Entry) -> str:
    """The name of one picture, though its file may hold several."""
    return f"{entry.file}#{entry.part}" if entry.part else entry.file


def record_fields(index: Index) -> dict[str, dict[str, Any]]:
    """For each file, what its manifest record says once it is prepared: labels, person, split, licence, ...

    The folder may hold other files, which were left out for a reason (minors). Raises InputError where
    entries are no whole files as they are (several in one file, mirrored).
    """
    for entry in index.entries:
        if entry.mirror:
            raise InputError(f"{index.layout}: pictures cannot be mirrored on the way; leave mirror= out")
        if entry.part and index.layout != "parquet":
            raise InputError(f"{index.root / entry.file}: it holds many pictures; it cannot be prepared")
    licence = {"licence": index.licence} if index.licence else {}
    return {name_of(entry): {**entry.record(), **licence} for entry in index.entries}
