"""What faces can be sorted and filtered by, and which of them the page shows in which order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from mien.core.errors import InputError
from mien.core.manifest import Record
from mien.core.packed import PackReader
from mien.curate.dropped import count
from mien.curate.faces import Faces

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


_MOST_VIEWS = 8  # remembered, so that turning a page does not sort again
_SHORT = 2000  # characters of a query's texts


class Condition(BaseModel, frozen=True, extra="forbid"):
    """What a column must be: in low..high, or the text `value` ("" for none), or containing a text."""

    column: str = Field(max_length=_SHORT)
    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    value: str | None = Field(None, max_length=_SHORT)
    contains: str | None = Field(None, max_length=_SHORT)

    def words(self) -> str:
        """The condition for people, as "yaw 10 to 30"."""
        name = self.column.partition(".")[2] or self.column
        if self.value is not None:
            return f"{name} {self.value or '(none)'}"
        if self.contains is not None:
            return f"{name} with {self.contains!r}"
        low = "" if self.low is None else f" from {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return f"{name}{low}{high}"


class Query(BaseModel, frozen=True, extra="forbid"):
    """A filter and an order. as_of: judge "kept" and "tossed" as of this revision, so that pages stay put
    while verdicts change; None: now. sort: "name", "verdict" or a column's key."""

    show: Literal["all", "kept", "tossed"] = "all"
    sort: str = Field("name", max_length=_SHORT)
    descending: bool = False
    text: str = Field("", max_length=_SHORT)
    conditions: tuple[Condition, ...] = Field((), max_length=40)
    as_of: int | None = Field(None, ge=0)

    def words(self) -> str:
        """The filter for people; "" where it lets everything through."""
        parts = [condition.words() for condition in self.conditions]
        if self.text:
            parts.insert(0, f"name with {self.text!r}")
        if self.show != "all":
            parts.insert(0, self.show)
        return ", ".join(parts)


class Views:
    """Answers queries about the faces of one dataset."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces
        self._count = -1
        self._read()

    @property
    def columns(self) -> dict[str, Column]:
        """What faces can be sorted and filtered by, by key."""
        self._read()
        return self._columns

    def _read(self) -> None:
        """Take over faces that were restored meanwhile."""
        reader = self.faces.reader
        if len(reader) == self._count:
            return
        self._count = len(reader)
        self._columns, self._cache = columns_of(reader), dict[Query, np.ndarray]()
        self._names = [
            f"{name}\n{record.get('source') or ''}".casefold()
            for name, record in zip(reader.names, reader.records, strict=True)
        ]

    def select(self, query: Query) -> np.ndarray:
        """Indexes of the faces that pass, in order. Raises InputError for a column that is not there."""
        self._read()
        current = self.faces.revision
        as_of = current if query.as_of is None else min(query.as_of, current)
        key = query.model_copy(update={"as_of": as_of})
        cached = self._cache.get(key)
        if cached is None:
            cached = self._find(key, as_of)
            while len(self._cache) >= _MOST_VIEWS:
                self._cache.pop(next(iter(self._cache)), None)
            self._cache[key] = cached
        return cached

    def _find(self, query: Query, as_of: int) -> np.ndarray:
        tossed = self.faces.tossed_at(as_of)
        passes = np.ones(len(tossed), bool)
        if query.show != "all":
            passes &= tossed == (query.show == "tossed")
        if query.text:
            text = query.text.casefold()
            passes &= np.array([text in name for name in self._names])
        for condition in query.conditions:
            passes &= _holds(condition, self._column(condition.column))
        chosen: np.ndarray = np.flatnonzero(passes)
        ranks = self._ranks(query.sort, tossed)[chosen]
        # Ties by name, those without a value last either way.
        return chosen[np.argsort(-ranks if query.descending else ranks, kind="stable")]

    def _column(self, key: str) -> Column:
        if key not in self.columns:
            raise InputError(f"there is no column {key!r} in this dataset")
        return self.columns[key]

    def _ranks(self, sort: str, tossed: np.ndarray) -> np.ndarray:
        if sort == "name":
            return np.arange(len(tossed), dtype=np.float64)
        if sort == "verdict":
            return tossed.astype(np.float64)
        return self._column(sort).ranks

    def value(self, sort: str, index: int) -> str:
        """What a face has in the column sorted by, as text."""
        column = self.columns.get(sort)
        return "" if column is None else column.texts[index]


def _holds(condition: Condition, column: Column) -> np.ndarray:
    if condition.value is not None:
        return np.array([text == condition.value for text in column.texts])
    if condition.contains is not None:
        part = condition.contains.casefold()
        return np.array([part in text.casefold() for text in column.texts])
    holds = np.ones(len(column.ranks), bool)
    if condition.low is not None:
        holds &= column.ranks >= condition.low
    if condition.high is not None:
        holds &= column.ranks <= condition.high
    return holds
