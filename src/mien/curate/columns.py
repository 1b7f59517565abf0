"""What faces can be sorted and filtered by: one column for each measurement, label, prediction and field."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from mien.core.manifest import Record
from mien.core.packed import PackReader

Kind = Literal["number", "choice", "text"]

_GROUPS = ("measurements", "labels", "predictions", "fields")  # the last from `mien collect`
_MOST_CHOICES = 300  # more different texts are filtered by a part of them
_FEW_NUMBERS = 12  # a label with no more different numbers is a choice


@dataclass(frozen=True)
class Column:
    """One value of every picture. key: "labels.gender". kind: how it is filtered.

    values: number, text or None for each picture. ranks: float64 [N] to sort by, NaN where there is none.
    """

    key: str
    kind: Kind
    values: Sequence[float | str | None]
    ranks: np.ndarray

    @cached_property
    def texts(self) -> list[str]:
        """How each value reads; "" where there is none."""
        return [as_text(value) for value in self.values]

    def describe(self) -> dict[str, Any]:
        """What the page needs to offer it: bounds of numbers; choices, most frequent first, with counts."""
        described: dict[str, Any] = {"key": self.key, "kind": self.kind}
        if self.kind == "number":
            low, high = float(np.nanmin(self.ranks)), float(np.nanmax(self.ranks))
            described |= {"low": low, "high": high}
        if self.kind == "choice":
            described["choices"] = count(self.texts)
        return described


def columns_of(reader: PackReader) -> dict[str, Column]:
    """All columns of a dataset by key, in the order in which the page lists them."""
    values_of: dict[str, list[float | str | None]] = {}
    for index, record in enumerate(reader.records):
        for key, value in _flat(record):
            if key not in values_of:
                values_of[key] = [None] * len(reader)
            values_of[key][index] = value
    columns = {key: _column(key, values) for key, values in sorted(values_of.items(), key=_place)}
    named = zip(reader.names, reader.records, strict=True)
    folders = [str(record.get("source") or name).rpartition("/")[0] for name, record in named]
    if len(set(folders)) > 1:
        columns["folder"] = _column("folder", folders)
    if reader.labels is not None and isinstance(reader.labels[0], int):
        classes = [_class_name(label, reader) for label in reader.labels]
        if "labels.class" not in columns or list(columns["labels.class"].values) != classes:
            columns["class"] = _column("class", classes)
    return columns


def as_text(value: float | str | None) -> str:
    """A value as the page shows it."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.6g}"


def count(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Different texts with their counts, most frequent first, then by name."""
    return sorted(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))


def _flat(record: Record) -> Iterator[tuple[str, float | str]]:
    for group in _GROUPS:
        if isinstance(entries := record.get(group), Mapping):
            yield from _scalars(group, entries)


def _scalars(prefix: str, entries: Mapping[str, Any]) -> Iterator[tuple[str, float | str]]:
    """Numbers and texts of a mapping and of those inside it; lists and nothing are passed over."""
    for name, value in entries.items():
        key = f"{prefix}.{name}"
        if isinstance(value, Mapping):
            yield from _scalars(key, value)
        elif isinstance(value, bool):
            yield key, "yes" if value else "no"
        elif isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= 1e300):  # finite
            yield key, value


def _place(item: tuple[str, Any]) -> tuple[int, str]:
    group, _, name = item[0].partition(".")
    return _GROUPS.index(group), name


def _class_name(label: object, reader: PackReader) -> float | str | None:
    if not isinstance(label, int):
        return None
    return reader.class_names[label] if label < len(reader.class_names) else float(label)


def _column(key: str, values: Sequence[float | str | None]) -> Column:
    present = [value for value in values if value is not None]
    if all(not isinstance(value, str) for value in present):
        ranks = np.array([np.nan if value is None else value for value in values], np.float64)
        given = not key.startswith("measurements.")
        few = given and len(set(present)) <= _FEW_NUMBERS
        return Column(key, "choice" if few else "number", values, ranks)
    texts = [as_text(value) for value in values]
    different, places = np.unique(np.array(texts, object), return_inverse=True)
    ranks = np.where(np.array(texts, object) == "", np.nan, places.astype(np.float64))
    return Column(key, "choice" if len(different) <= _MOST_CHOICES else "text", values, ranks)
