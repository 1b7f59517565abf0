"""The types of a table's columns, as all their values tell."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

Value = bool | int | float | str

_YES, _NO = frozenset({"true", "yes"}), frozenset({"false", "no"})
_NOTHING = frozenset({"nan", "na", "n/a", "null", "none"})  # unknown, in a column of numbers or yes and no
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")  # a leading zero makes it a name: 007
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def typed(rows: Sequence[dict[str, Any]], notes: list[str]) -> list[dict[str, Value]]:
    """`rows` with each column of one type: yes and no, whole numbers, numbers, or text.

    Texts that are all numbers become numbers. A column of mixed kinds becomes text, which `notes` is told.
    """
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    readers = {name: _reader(name, values, notes) for name, values in columns.items()}
    out: list[dict[str, Value]] = []
    for row in rows:
        read = {name: readers[name](value) for name, value in row.items()}
        out.append({name: value for name, value in read.items() if value is not None})
    return out


Reader = Callable[[Any], Value | None]


def _reader(name: str, values: list[Any], notes: list[str]) -> Reader:
    texts = [value for value in values if isinstance(value, str)]
    if texts and len(texts) < len(values):
        notes.append(f"{name}: read as text, since some of its values are texts and others are not")
        return _text
    if not texts:
        return _number if any(not isinstance(value, bool) for value in values) else bool
    left = {text.lower() for text in texts} - _NOTHING
    if not left:
        return _text
    if left <= _YES | _NO:
        return _yes_or_no
    if all(_WHOLE.fullmatch(text) for text in left):
        return lambda text: int(text) if text.lower() not in _NOTHING else None
    if all(_is_number(text) for text in left):
        return lambda text: float(text) if text.lower() not in _NOTHING else None
    return _text


def _is_number(text: str) -> bool:
    """Whether it is written as a number, is finite, and is no name with leading zeros."""
    named = text.lstrip("+-").startswith("0") and text.lstrip("+-").isdecimal() and len(text) > 1
    return bool(_NUMBER.fullmatch(text)) and not named and math.isfinite(float(text))


def _number(value: bool | int | float) -> int | float | None:
    """JSON's own numbers; Python's JSON also takes NaN and Infinity, which are none."""
    return int(value) if isinstance(value, bool) else value if math.isfinite(value) else None


def _yes_or_no(text: str) -> bool | None:
    return None if text.lower() in _NOTHING else text.lower() in _YES


def _text(value: Any) -> str:
    return str(value)
