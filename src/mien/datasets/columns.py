"""From named labels to the float columns that models learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from mien.core.errors import InputError
from mien.core.labels import Label
from mien.datasets.index import Entry

_OF_ENTRY = ("person", "role")  # these can be learnt too


@dataclass(frozen=True)
class Columns:
    """Which labels become columns.

    names: of the labels. values: for a label of texts all texts that it takes, sorted: a column each, 0 or 1.
    () for a label of numbers or yes and no: one column, yes is 1.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """One for each column: the label's name, its value, or "name=value" if there are several labels."""
        out: list[str] = []
        for name, values in zip(self.names, self.values, strict=True):
            out += [value if len(self.names) == 1 else f"{name}={value}" for value in values] or [name]
        return tuple(out)

    def covers(self, entry: Entry) -> bool:
        """Are all of these labels known of `entry`?"""
        return all(label_of(entry, name) is not None for name in self.names)

    def label(self, entry: Entry) -> Label:
        """As `dataset.json` holds it: a class number if there is one label of texts, else the row."""
        row = self._row(entry)
        return row.index(1.0) if len(self.names) == 1 and self.values[0] else tuple(row)

    def array(self, entries: Sequence[Entry]) -> np.ndarray:
        """float32 [N, columns] of entries that are covered."""
        rows = [self._row(entry) for entry in entries]
        return np.array(rows, np.float32).reshape(len(rows), len(self.class_names))

    def _row(self, entry: Entry) -> list[float]:
        row: list[float] = []
        for name, values in zip(self.names, self.values, strict=True):
            value = label_of(entry, name)
            row += [float(value == one) for one in values] or [float(value)]
        return row


def label_of(entry: Entry, name: str) -> Any:
    """The value of a label, or of "person" or "role"; None where it is not known."""
    value = entry.labels.get(name)
    return (getattr(entry, name) or None) if value is None and name in _OF_ENTRY else value


def label_names(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Every label that any entry has, in the order of first sight."""
    return tuple(dict.fromkeys(name for entry in entries for name in entry.labels))


def choose_columns(entries: Sequence[Entry], wanted: Sequence[str], *, where: str) -> Columns:
    """Columns for the labels `wanted` (names, or patterns as "AU*") as all of `entries` know them.

    Take the whole dataset, not one side of a split, so that both sides get the same columns. Raises
    InputError for a label that nothing has, or whose values are of two kinds.
    """
    known = label_names(entries)
    names: dict[str, None] = {}
    for pattern in wanted:
        found = [name for name in known if fnmatchcase(name, pattern)]
        if not found and not (pattern in _OF_ENTRY and any(getattr(entry, pattern) for entry in entries)):
            some = ", ".join((*known, *_OF_ENTRY)) or "none"
            raise InputError(f"{where}: no picture has the label {pattern!r}; there are: {some}")
        names |= dict.fromkeys(found or [pattern])
    return Columns(tuple(names), tuple(_values(entries, name, where) for name in names))


def _values(entries: Sequence[Entry], name: str, where: str) -> tuple[str, ...]:
    found = {label_of(entry, name) for entry in entries} - {None}
    texts = {value for value in found if isinstance(value, str)}
    if texts and texts != found:
        odd = min(str(value) for value in found - texts)
        raise InputError(f"{where}: label {name!r} is a text here and a number there ({odd})")
    return tuple(sorted(texts))
