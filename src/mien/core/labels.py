"""Labels as `dataset.json` holds them: a class number or a float vector for every picture, or none at all."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.core.errors import InputError

Label = int | tuple[float, ...]
MOST_CLASSES = 1 << 16  # a slip of the pen must not ask for a one-hot of gigabytes
MOST_ROWS = 512  # that a generator's file keeps
_MOST_NUMBERS = 1 << 17  # in them: about half a megabyte
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Labels(NamedTuple):
    """labels: one for each picture, all int or all vectors of one width, or None. class_names: may be ()."""

    labels: list[Label] | None
    class_names: tuple[str, ...]


def check_label(value: object, where: str) -> Label:
    """`value` as a class number or a vector of finite floats. Raises InputError naming `where`."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if 0 <= value < MOST_CLASSES:
            return int(value)
        raise InputError(f"{where}: class number {value} is not in 0..{MOST_CLASSES - 1}")
    if isinstance(value, Sequence | np.ndarray) and len(value) and all(map(_is_number, value)):
        return tuple(float(v) for v in value)
    raise InputError(f"{where}: label {str(value)[:60]!r} is neither a class number nor a list of numbers")


def parse_labels(document: str, names: Sequence[str], where: str) -> Labels:
    """Read the text of a `dataset.json` for the pictures `names`.

    Raises InputError, naming `where` and the picture, for labels of missing pictures, pictures without
    a label, a picture labelled twice, mixed kinds or widths.
    """
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: dataset.json is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{where}: dataset.json is not an object with 'labels'")
    class_names = _class_names(parsed.get("class_names"), where)
    pairs = parsed.get("labels")
    if not pairs:
        return Labels(None, class_names)
    by_name = _pairs(pairs, where)
    _match(by_name, names, where)
    labels = [by_name[name] for name in names]
    _same_kind(labels, names, where)
    width = label_width(labels)
    if class_names and (
        width > len(class_names) or (isinstance(labels[0], tuple) and width < len(class_names))
    ):
        raise InputError(f"{where}: labels have {width} columns, but class_names has {len(class_names)}")
    return Labels(labels, class_names)


def label_width(labels: Sequence[Label]) -> int:
    """Width of the vector a label becomes: largest class + 1, or the vectors' own width."""
    return max(label + 1 if isinstance(label, int) else len(label) for label in labels)


def label_array(labels: Sequence[Label], width: int) -> np.ndarray:
    """float32 [N, width]: one-hot rows for class numbers, the vectors themselves otherwise."""
    if isinstance(labels[0], int):
        array = np.zeros((len(labels), width), np.float32)
        array[np.arange(len(labels)), np.asarray(labels)] = 1
        return array
    return np.asarray(labels, np.float32)


def spread_rows(labels: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Up to 512 rows of labels [N, D], evenly out of all of them; fewer where they are very wide."""
    most = min(len(labels), MOST_ROWS, max(_MOST_NUMBERS // labels.shape[1], 1))
    chosen = np.linspace(0, len(labels) - 1, most).astype(int)
    return tuple(tuple(map(float, row)) for row in labels[chosen].tolist())


def _is_number(value: object) -> bool:
    """Whether float32 can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    return isinstance(value, int | float) and abs(value) <= _FLOAT32_MAX  # False for NaN


def _class_names(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise InputError(f"{where}: class_names in dataset.json is not a list of names")


def _pairs(pairs: Any, where: str) -> dict[str, Label]:
    if not isinstance(pairs, list):
        raise InputError(f"{where}: labels in dataset.json is not a list")
    found: dict[str, Label] = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise InputError(f"{where}: label entry {str(pair)[:80]} in dataset.json is not [file, label]")
        name = pair[0].replace("\\", "/")
        if name in found:
            raise InputError(f"{where}: dataset.json labels {name} twice")
        found[name] = check_label(pair[1], f"{where}: {name} in dataset.json")
    return found


def _match(by_name: dict[str, Label], names: Sequence[str], where: str) -> None:
    missing = sorted(by_name.keys() - set(names))
    if missing:
        raise InputError(f"{where}: dataset.json labels {len(missing)} missing pictures, first {missing[0]}")
    bare = [name for name in names if name not in by_name]
    if bare:
        raise InputError(f"{where}: {len(bare)} pictures have no label in dataset.json, first {bare[0]}")


def _same_kind(labels: Sequence[Label], names: Sequence[str], where: str) -> None:
    first = labels[0]
    for name, label in zip(names, labels, strict=True):
        if isinstance(label, int) != isinstance(first, int):
            raise InputError(f"{where}: {name} and {names[0]} have labels of two kinds (class and vector)")
        if not isinstance(label, int) and not isinstance(first, int) and len(label) != len(first):
            raise InputError(f"{where}: {name} has a label of {len(label)} numbers, {names[0]} {len(first)}")
