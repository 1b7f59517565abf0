"""Labels as text: yes and no, numbers, and the types of a table's columns, which all their values decide."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

Value = bool | int | float | str

YES, NO = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})
_YES_IN_TABLES, _NO_IN_TABLES = YES | {"y", "t"}, NO | {"n", "f"}
_WORDS = frozenset({"true", "yes", "false", "no"})  # one of them alone is enough; others come in pairs
_MISSING = frozenset({"nan", "na", "n/a", "null", "none"})  # in a column of numbers or of yes and no
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")  # a leading zero makes it a name: 007
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def parse_number(text: str) -> float | None:
    """A finite number; None where `text` is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse_columns(rows: Sequence[Mapping[str, Any]], notes: list[str]) -> list[dict[str, Value]]:
    """`rows` with each column of one type: yes and no, whole numbers, numbers, or text.

    Texts that are all numbers become numbers, and a column of -1 and 1 alone yes and no, as in CelebA. A
    column of mixed kinds becomes text, with a note.
    """
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    parsers = {name: _parser(name, values, notes) for name, values in columns.items()}
    typed = [{name: parsers[name](value) for name, value in row.items()} for row in rows]
    return [{name: value for name, value in row.items() if value is not None} for row in typed]


Parser = Callable[[Any], Value | None]


def _parser(name: str, values: Sequence[Any], notes: list[str]) -> Parser:
    texts = [value for value in values if isinstance(value, str)]
    if texts and len(texts) < len(values):
        notes.append(f"{name}: read as text, since some of its values are texts and others are not")
        return lambda value: None if isinstance(value, float) and not math.isfinite(value) else str(value)
    if not texts:
        return _number_parser(values)
    known = {text.lower() for text in texts} - _MISSING
    if _is_yes_and_no(known):
        return _unless_missing(lambda text: text.lower() in _YES_IN_TABLES)
    if known and known <= {"-1", "1", "+1"} and "-1" in known:
        return _unless_missing(lambda text: text != "-1")
    if known and all(_WHOLE.fullmatch(text) for text in known):
        return _unless_missing(int)
    if known and all(map(_is_number, known)):
        return _unless_missing(float)
    return str


def _is_yes_and_no(known: AbstractSet[str]) -> bool:
    """Whether texts mean yes and no: words of both, or true, yes, false, no; 0 and 1 alone are numbers."""
    words = known - {"0", "1"}
    both = known & _YES_IN_TABLES and known & _NO_IN_TABLES
    return bool(words and known <= _YES_IN_TABLES | _NO_IN_TABLES and (both or known & _WORDS))


def _number_parser(values: Sequence[Any]) -> Parser:
    """Of values that are no texts (JSON's, parquet's): yes and no, or finite numbers."""
    if all(isinstance(value, bool) for value in values):
        return bool
    if set(values) <= {-1, 1} and -1 in values:
        return lambda value: value == 1
    return lambda value: int(value) if isinstance(value, bool) else value if math.isfinite(value) else None


def _unless_missing(parse: Callable[[str], Value]) -> Parser:
    return lambda text: None if text.lower() in _MISSING else parse(text)


def _is_number(text: str) -> bool:
    """Whether it is written as a number, is finite, and is no name with leading zeros."""
    digits = text.lstrip("+-")
    is_name = digits.startswith("0") and digits.isdecimal() and len(text) > 1
    return bool(_NUMBER.fullmatch(text)) and not is_name and math.isfinite(float(text))
