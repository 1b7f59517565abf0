"""What a real dataset's folder holds, before any picture is decoded: entries, labels, what is amiss.

Each layout (celeba, ckplus, sd18, pairs, eyes, table) has a module with

    LICENCE, CITATION: str
    def recognise(root: Path) -> bool              cheap: does this folder look like the layout?
    def index(root: Path, **options) -> Index      reads lists and labels, checks that files are there
    def open(where: str, *, progress=None) -> StoredDataset    pictures decoded to one square size

and is reached as "NAME:FOLDER" wherever DATA is taken, as "NAME:FOLDER?size=64&split=train" with options.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One picture (or one side of a pair).

    file: relative to the index's root, with "/". labels: name -> bool, number or text; a label that is not
    known is absent, never a default. person: whoever is shown; pictures of one person never fall on both
    sides of a split. role: "front", "profile", "input", "target", ... or "". split: "train", "val", "test" or
    "". group: what belongs together (a pair, a sequence), or "".
    """

    file: str
    labels: Mapping[str, Any] = field(default_factory=dict)
    person: str = ""
    role: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Problem:
    """What is amiss and cost one record or file. where: file, with ":LINE" for lists. text: one sentence."""

    where: str
    text: str


@dataclass(frozen=True)
class Index:
    """A dataset's folder as it was understood.

    layout: the module's name. entries: in a fixed order. problems: named one by one. notes: lines for the
    user (how many minors were dropped, ...). counts: the table that `mien data info` prints, in order.
    """

    layout: str
    root: Path
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
