"""`--where 'yaw < 15 and gender == "female"'`: a condition on a record, read and never executed.

Python's own parser reads it; only comparisons, and, or, not, abs(), names, numbers and texts are taken. Names
stand as they are, those that Python has another use for too (class, 5_o_Clock_Shadow).
"""

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from mien.core.errors import InputError

_MOST_LETTERS = 1000
_GROUPS = ("measurements", "labels", "predictions")  # where a name is looked for, in this order
# Keys of the record itself, last.
ITSELF = ("width", "height", "licence", "source", "source_url", "record", "page", "site", "split")
_WORDS = frozenset({"and", "or", "not", "None", "True", "False"})  # of the condition itself
_TOKEN = re.compile(
    r"""(?P<text>'[^']*'|"[^"]*")|(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?(?!\w))|(?P<word>\w+)"""
)
_LETTERS = 0x10400  # of an alphabet that nobody names labels in: stand-ins for names that Python cannot read
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Unknown(Exception):  # noqa: N818 - it is an answer, not an error
    """A record lacks a name of the condition, or holds a text where a number is asked for."""


class Where:
    """A condition. names: what it asks for, as written; `labels["odd name"]` for names that are no words.

    Raises InputError, pointing at the place, for anything but a condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        readable, self._stand_ins = _with_stand_ins(text.strip())
        if len(text) > _MOST_LETTERS:
            raise InputError(f"--where: longer than {_MOST_LETTERS} letters")
        try:
            self._tree = ast.parse(readable, mode="eval").body
            self._check(self._tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = f" at letter {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            raise InputError(f"--where {text!r}: not a condition{place}; {_EXAMPLE}") from error

    def check_names(self, known: set[str]) -> None:
        """Raises InputError, listing what is known, where the condition asks for something else."""
        strange = sorted(self.names - known)
        if strange:
            listed = ", ".join(sorted(known))
            raise InputError(f"--where: nothing is called {strange[0]!r}; known are: {listed}")

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Whether the record fulfils it. Raises Unknown, with words, where the record cannot tell."""
        values = {name: _find(record, name) for name in self.names}
        return bool(self._value(self._tree, values))

    def _check(self, node: ast.expr) -> None:
        """Collect names; refuse whatever is no part of a condition."""
        name = self._name(node)
        if name is not None:
            self.names.add(name)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                self._check(value)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            self._check(node.operand)
        elif isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            for value in (node.left, *node.comparators):
                self._check(value)
        elif _is_abs(node):
            self._check(node.args[0])  # type: ignore[attr-defined]  # it is a call
        elif not (isinstance(node, ast.Constant) and isinstance(node.value, int | float | str)):
            part = self._as_written(ast.unparse(node))[:60]
            raise InputError(f"--where {self.text!r}: {part!r} is no part of a condition; {_EXAMPLE}")

    def _name(self, node: ast.expr) -> str | None:
        """`yaw`, `labels.yaw` or `labels["yaw"]` as text, None for anything else."""
        if isinstance(node, ast.Name):
            return self._as_written(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _GROUPS:
            return f"{node.value.id}.{self._as_written(node.attr)}"
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _GROUPS:
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                return f"{node.value.id}.{key.value}"
        return None

    def _as_written(self, text: str) -> str:
        for stand_in, name in self._stand_ins.items():
            text = text.replace(stand_in, name)
        return text

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        name = self._name(node)
        if name is not None:
            return values[name]
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.BoolOp):
            parts = (bool(self._value(part, values)) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        if isinstance(node, ast.Compare):
            return self._compare(node, values)
        try:
            if isinstance(node, ast.UnaryOp):
                value = self._value(node.operand, values)
                return not value if isinstance(node.op, ast.Not) else -value
            return abs(self._value(node.args[0], values))  # type: ignore[attr-defined]  # else not past `_check`
        except TypeError as error:
            raise Unknown(f"--where: {self._as_written(ast.unparse(node))} needs a number") from error

    def _compare(self, node: ast.Compare, values: Mapping[str, Any]) -> bool:
        left = self._value(node.left, values)
        for how, other in zip(node.ops, node.comparators, strict=True):
            right = self._value(other, values)
            try:
                if not _COMPARE[type(how)](left, right):
                    return False
            except TypeError as error:
                raise Unknown(f"--where compares {left!r} with {right!r}: a text with a number") from error
            left = right
        return True


_EXAMPLE = 'an example: yaw < 15 and labels["odd-name"] == "female"'


def names_in(record: Mapping[str, Any]) -> set[str]:
    """Every name by which a condition may ask for something in this record."""
    names = {name for name in ITSELF if record.get(name) is not None}
    for group in _GROUPS:
        for name in record.get(group) or {}:
            names |= {name, f"{group}.{name}"}
    return names


def _with_stand_ins(text: str) -> tuple[str, dict[str, str]]:
    """`text` as Python can read it, and the name for each stand-in, which is as long as the name."""
    names: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        word = match["word"]
        if word is None or word in _WORDS or not (keyword.iskeyword(word) or word[0].isdecimal()):
            return match[0]
        names.setdefault(word, chr(_LETTERS + len(names) % 40) * len(word))
        return names[word]

    readable = _TOKEN.sub(stand_in, text)
    return readable, {stand: name for name, stand in names.items()}


def _is_abs(node: ast.expr) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "abs"
    return is_call and len(node.args) == 1 and not node.keywords  # type: ignore[attr-defined]


def _find(record: Mapping[str, Any], name: str) -> Any:
    group, _, rest = name.partition(".")
    if rest and group in _GROUPS:
        value = (record.get(group) or {}).get(rest)
    else:
        places = [record.get(each) or {} for each in _GROUPS] + [{k: record.get(k) for k in ITSELF}]
        value = next((place[name] for place in places if place.get(name) is not None), None)
    if value is None:
        raise Unknown(f"--where asks for {name}, which this picture lacks")
    return value
