"""Label columns: from records with named labels to the float columns that models learn from.

A record is a mapping with "labels" (name -> value) and perhaps "person" and "role", which can be learnt too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from mien.core.errors import InputError
from mien.core.labels import Label
from mien.core.path_labels import split_of
from mien.labels.values import Value

_NOT_LEARNT = frozenset({"person", "pair", "role", "shot", "group", "hidden"})  # say what an image belongs to
Record = Mapping[str, Any]

_FIELDS = ("person", "role")
_PERSON = ("person", "person_id", "subject", "subject_id", "identity")
_SPLIT = ("split", "partition", "data_split", "dataset_split", "set", "data_set", "subset", "phase", "usage")
_PARTITION = {"0": "train", "1": "val", "2": "test"}  # CelebA's
_LICENCE = ("licence", "license")
_NUMBERING = ("", "id", "index", "image_id", "unnamed: 0")  # of the rows; never learnt unless asked for
_MOST_TEXTS = 64  # a label of more texts than this is no class to learn


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

    def covers(self, record: Record) -> bool:
        """Are all of these labels known of the record's image?"""
        return all(label_of(record, name) is not None for name in self.names)

    def label(self, record: Record) -> Label:
        """As `dataset.json` holds it: a class number if there is one label of texts, else the row."""
        row = self._row(record)
        return row.index(1.0) if len(self.names) == 1 and self.values[0] else tuple(row)

    def array(self, records: Sequence[Record]) -> np.ndarray:
        """float32 [N, columns] of records that are covered."""
        rows = [self._row(record) for record in records]
        return np.array(rows, np.float32).reshape(len(rows), len(self.class_names))

    def _row(self, record: Record) -> list[float]:
        row: list[float] = []
        for name, values in zip(self.names, self.values, strict=True):
            value = label_of(record, name)
            row += [float(value == one) for one in values] or [float(value)]
        return row


def flatten(values: Any) -> dict[str, Any]:
    """A record's labels with those of inner objects ("attributes", "action_units") beside the others."""
    if not isinstance(values, Mapping):
        return {}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def single_labels(record: Mapping[str, Any]) -> dict[str, Any]:
    """The labels that are one value each and say more than what the image belongs to."""
    return {
        name: value
        for name, value in flatten(record.get("labels")).items()
        if name not in _NOT_LEARNT and isinstance(value, bool | int | float | str)
    }


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A field ("person", "role", "split", ...) of the record or else of its labels; "" if unknown."""
    value = record.get(name)
    if value is None:
        value = (record.get("labels") or {}).get(name)
    return "" if value is None else str(value)


def label_of(record: Record, name: str) -> Any:
    """The value of a label, or of "person" or "role"; None where it is not known."""
    value = record["labels"].get(name)
    return (record.get(name) or None) if value is None and name in _FIELDS else value


def label_names(records: Sequence[Record]) -> tuple[str, ...]:
    """Every label that any record has, in the order of first sight."""
    return tuple(dict.fromkeys(name for record in records for name in record["labels"]))


def choose_columns(records: Sequence[Record], patterns: Sequence[str], *, where: str) -> Columns:
    """Columns for the labels that `patterns` name ("Male", "AU*") as all of `records` know them.

    Take the whole dataset, not one part of a split, so that all parts get the same columns. Raises
    InputError for a label that nothing has, or whose values are of two kinds.
    """
    known = label_names(records)
    names: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in known if fnmatchcase(name, pattern)]
        if not matching and not (pattern in _FIELDS and any(record.get(pattern) for record in records)):
            some = ", ".join((*known, *_FIELDS)) or "none"
            raise InputError(f"{where}: no picture has the label {pattern!r}; there are: {some}")
        names |= dict.fromkeys(matching or [pattern])
    return Columns(tuple(names), tuple(_values(records, name, where) for name in names))


def learnable(records: Sequence[Record]) -> tuple[str, ...]:
    """Labels worth opening unasked: numbers, yes and no, and texts that are few, so classes and no names."""
    values: dict[str, set[Value]] = {}
    for record in records:
        for name, value in record["labels"].items():
            values.setdefault(name, set()).add(value)
    most = min(_MOST_TEXTS, max(2, len(records) // 2))
    texts = {name for name, taken in values.items() if any(isinstance(value, str) for value in taken)}
    return tuple(
        name
        for name, taken in values.items()
        if name.lower() not in _NUMBERING and (name not in texts or 2 <= len(taken) <= most)
    )


def read_cells(cells: Mapping[str, Value]) -> dict[str, Any]:
    """A table's row as a record: person, role, group, split, licence by the columns' names, else labels.

    A column `split` of other words than those of splits stays a label.
    """
    labels = dict(cells)
    record: dict[str, Any] = {}
    fields = {"person": _PERSON, "role": ("role",), "group": ("group",), "licence": _LICENCE}
    for field, names in fields.items():
        for name in [name for name in labels if name.lower() in names]:
            record.setdefault(field, str(labels.pop(name)))
    splits = {name: split for name, cell in labels.items() if (split := _split_in(name, str(cell)))}
    if splits:
        column = min(splits, key=lambda name: _SPLIT.index(_plain(name)))
        record["split"] = splits[column]
        del labels[column]
    return record | {"labels": labels}


def _plain(column: str) -> str:
    return column.lower().replace(" ", "_").replace("-", "_")


def _split_in(column: str, cell: str) -> str:
    """The split that a cell names, where its column is called as such columns are; else ""."""
    if _plain(column) not in _SPLIT:
        return ""
    return split_of(cell) or (_PARTITION.get(cell, "") if _plain(column) == "partition" else "")


def _values(records: Sequence[Record], name: str, where: str) -> tuple[str, ...]:
    taken = {label_of(record, name) for record in records} - {None}
    texts = {value for value in taken if isinstance(value, str)}
    if texts and texts != taken:
        odd = min(str(value) for value in taken - texts)
        raise InputError(f"{where}: label {name!r} is a text here and a number there ({odd})")
    return tuple(sorted(texts))
