"""What is known of a dataset's pictures, as columns of one type each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mien.core.types import Dataset

_ALWAYS = ("person", "role", "group", "source", "licence")
_TAKEN = frozenset({"file_name", "image", "split"})  # names that the layouts need themselves


@dataclass(frozen=True)
class Column:
    """values: one for each picture, None where it is not known. kind: of all values."""

    name: str
    kind: Literal["bool", "int64", "float64", "string"]
    values: list[Any]


def columns_of(dataset: Dataset, *, measurements: bool, files: Sequence[str] = ()) -> list[Column]:
    """Labels by name (of the records, else of the label array), who is shown, where it is from, licence.

    files: where each picture is from, for those whose records do not tell.
    """
    records = dataset.records
    columns = [_column(name, [_labels(record).get(name) for record in records]) for name in _names(records)]
    columns += _from_array(dataset, {column.name for column in columns})
    known = {column.name for column in columns}
    for name in _ALWAYS:
        if name not in known:
            columns.append(_column(name, [record.get(name) for record in records]))
    columns = [
        _column("source", list(files)) if column.name == "source" and files and not _any(column) else column
        for column in columns
    ]
    if measurements:
        columns += _measurements(records, {column.name for column in columns})
    return [column for column in columns if _any(column)]


def _any(column: Column) -> bool:
    return any(value is not None for value in column.values)


def _labels(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's labels, an object of yes and no spread out; other objects stay whole."""
    labels = dict(record.get("labels") or {})
    return labels | (labels.pop("attributes", None) or {})


def _names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in _labels(record)))


def _from_array(dataset: Dataset, known: set[str]) -> list[Column]:
    """Columns of the label array that no record has: a class's name, or a number each."""
    if dataset.labels is None:
        return []
    array, width = dataset.labels, dataset.labels.shape[1]
    names = dataset.spec.class_names or tuple(f"label_{at}" for at in range(width))
    if known & set(names):
        return []  # the records say the same
    if ((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all():
        name = "label" if "label" not in known else "class"
        return (
            []
            if _holds_classes(dataset, names)
            else [Column(name, "string", [names[at] for at in array.argmax(1)])]
        )
    return [
        _column(name, [float(value) for value in array[:, at]])
        for at, name in enumerate(names)
        if name not in known
    ]


def _holds_classes(dataset: Dataset, names: Sequence[str]) -> bool:
    """Whether a text label of the records, or the role, already holds these classes."""
    texts = ({_labels(r).get(name) for r in dataset.records} for name in _names(dataset.records))
    roles = {record.get("role") for record in dataset.records}
    return any(taken == set(names) for taken in (*texts, roles) if all(isinstance(v, str) for v in taken))


def _measurements(records: Sequence[Mapping[str, Any]], known: set[str]) -> list[Column]:
    names = dict.fromkeys(name for record in records for name in record.get("measurements") or {})
    return [
        _column(
            name if name not in known else f"measured_{name}",
            [(record.get("measurements") or {}).get(name) for record in records],
        )
        for name in names
    ]


def _column(name: str, values: list[Any]) -> Column:
    safe = f"label_{name}" if name in _TAKEN else name
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {bool}:
        return Column(safe, "bool", values)
    if kinds == {int} and all(abs(value) < 1 << 63 for value in values if value is not None):
        return Column(safe, "int64", values)
    if kinds and kinds <= {int, float}:
        return Column(safe, "float64", [None if value is None else float(value) for value in values])
    return Column(safe, "string", [None if value is None else _text(value) for value in values])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
