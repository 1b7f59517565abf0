"""A pickle read as data: a small stack machine that builds inert values and can call nothing.

Python's own unpickler imports what a file names and calls it. This one knows no import and no call: a global
becomes a `Name`, a call a `Made`, with whatever the file wants to build it from. An allow-list decides which
names may occur; the rest of this package gives the few known ones a meaning. The standard library's
`pickletools.genops` splits the file into opcodes without running them.
"""

import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from mien.core.errors import InputError

MOST_OPCODES = 1_000_000  # the largest official files have about a tenth
_PLAIN_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFUSED = {
    **dict.fromkeys(("PERSID", "BINPERSID"), "a reference to something outside"),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), "a name from the reader's own registry"),
    **dict.fromkeys(("INST", "OBJ"), "an old-style instance"),
    **dict.fromkeys(("NEXT_BUFFER", "READONLY_BUFFER"), "data kept elsewhere"),
}


class Unsafe(InputError):  # noqa: N818 - named for what the file is
    """A file that asks for more than weights need, or is no whole pickle."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the file names, as text."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Made:
    """What the file would have made by calling `what`. state: what it would have been given afterwards.

    items: pairs set on it like on a dict. members: values appended to it like to a list.
    """

    what: Name
    arguments: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)
    members: list[Any] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Outside:
    """A persistent reference; only torch's own storages hold one."""

    key: Any


_MARK = object()


class Machine:
    """Reads one pickle from a stream of opcodes.

    allowed: says whether a global may occur at all. outside: whether persistent references may.
    """

    def __init__(self, *, allowed: Callable[[Name], bool], outside: bool = False) -> None:
        self._allowed, self._outside = allowed, outside
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, stream: IO[bytes]) -> Any:
        """The value of the pickle at the stream's position, which then stands after it. Raises Unsafe."""
        for opcode, argument, position in _opcodes(stream):
            name = opcode.name
            if name == "STOP":
                if len(self._stack) != 1 or self._stack[0] is _MARK:
                    raise Unsafe("its end leaves no single value; the file is damaged")
                return self._stack[0]
            if name in _REFUSED and not (self._outside and name == "BINPERSID"):
                raise Unsafe(f"at byte {position}: opcode {name} ({_REFUSED[name]}); weights need none")
            try:
                self._step(name, argument)
            except Unsafe as error:
                raise Unsafe(f"at byte {position}: {error}") from None
            except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise Unsafe(
                    f"at byte {position}: {name} makes no sense here; the file is damaged"
                ) from error
        raise Unsafe("it ends before its pickle does; the file is cut off")

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self._stack.append(argument)
        elif name in _TUPLES:
            count = _TUPLES[name]
            taken = self._stack[-count:]
            if len(taken) < count or any(value is _MARK for value in taken):
                raise Unsafe("a tuple of values that are not there; the file is damaged")
            del self._stack[-count:]
            self._stack.append(tuple(taken))
        elif name in _IGNORED:
            pass
        else:
            handler = getattr(self, f"_op_{name.lower()}", None)
            if handler is None:
                raise Unsafe(f"opcode {name} is not known")
            handler(argument)

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _to_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise Unsafe("a mark is missing; the file is damaged")

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise Unsafe("a value is missing; the file is damaged")
        return value

    # One method an opcode; `_step` finds them by name.

    def _op_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _op_pop(self, _: Any) -> None:
        self._stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _op_dup(self, _: Any) -> None:
        self._stack.append(self._top())

    def _op_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._to_mark()))

    _op_frozenset = _op_tuple

    def _op_list(self, _: Any) -> None:
        self._stack.append(self._to_mark())

    def _op_dict(self, _: Any) -> None:
        values = self._to_mark()
        self._stack.append({})
        self._set(values)

    def _op_append(self, _: Any) -> None:
        self._extend([self._pop()])

    def _op_appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    _op_additems = _op_appends

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Made):
            target.members.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise Unsafe(f"{_kind(target)} is appended to; the file is damaged")

    def _op_setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _op_setitems(self, _: Any) -> None:
        self._set(self._to_mark())

    def _set(self, values: list[Any]) -> None:
        target = self._top()
        if len(values) % 2:
            raise Unsafe("a key has no value; the file is damaged")
        pairs = list(zip(values[::2], values[1::2], strict=True))
        if isinstance(target, Made):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            target.update((_key(key), value) for key, value in pairs)
        else:
            raise Unsafe(f"keys are set on {_kind(target)}; the file is damaged")

    def _op_put(self, index: Any) -> None:
        if index < 0:
            raise Unsafe("a memo below zero; the file is damaged")
        self._memo[index] = self._top()

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self._op_put(len(self._memo))

    def _op_get(self, index: Any) -> None:
        if index not in self._memo:
            raise Unsafe(f"memo {index} is used before it is set; the file is damaged")
        self._stack.append(self._memo[index])

    _op_binget = _op_long_binget = _op_get

    def _op_global(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self._stack.append(self._named(module, name))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(self._named(module, name))

    def _named(self, module: Any, name: Any) -> Name:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Unsafe("a global whose name is no text")
        global_name = Name(module, name)
        if not _PLAIN_MODULE.fullmatch(module) or not _PLAIN_NAME.fullmatch(name):
            raise Unsafe(f"the global {str(global_name)[:80]!a} is no plain name; nothing of it was run")
        if not self._allowed(global_name):
            raise Unsafe(
                f"it names {str(global_name)[:80]}, which weights do not need; nothing of it was run"
            )
        return global_name

    def _op_reduce(self, _: Any) -> None:
        arguments, what = self._pop(), self._pop()
        self._make(what, arguments, {})

    _op_newobj = _op_reduce

    def _op_newobj_ex(self, _: Any) -> None:
        keywords, arguments, what = self._pop(), self._pop(), self._pop()
        self._make(what, arguments, keywords)

    def _make(self, what: Any, arguments: Any, keywords: Any) -> None:
        if not isinstance(what, Name):
            raise Unsafe(f"it calls {_kind(what)}; only names are called in a checkpoint")
        if not isinstance(arguments, tuple) or not isinstance(keywords, dict):
            raise Unsafe(f"{what} is called with no tuple of arguments; the file is damaged")
        self._stack.append(Made(what, arguments, keywords))

    def _op_build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Made):
            raise Unsafe(f"{_kind(target)} is given a state; only objects take one")
        target.state = state

    def _op_binpersid(self, _: Any) -> None:
        self._stack.append(Outside(self._pop()))


def _opcodes(stream: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    """The stream's opcodes, with errors of a damaged file in our words."""
    count = 0
    try:
        for item in pickletools.genops(stream):
            count += 1
            if count > MOST_OPCODES:
                raise Unsafe(f"more than {MOST_OPCODES:,} opcodes; no checkpoint has so many")
            yield item
    except (Unsafe, MemoryError):
        raise
    except Exception as error:  # pickletools raises nearly anything for damaged input
        raise Unsafe(f"not a pickle that can be read ({' '.join(str(error).split())[:100]})") from error


def _kind(value: Any) -> str:
    """What to call it in a message."""
    return {"Made": "what a call made", "Name": "a name"}.get(type(value).__name__, type(value).__name__)


def _key(key: Any) -> Any:
    """Keys of plain kinds only: hashing a deep tuple could exhaust the stack."""
    if isinstance(key, str | int | float | bool | bytes | type(None)):
        return key
    if isinstance(key, tuple) and all(
        isinstance(part, str | int | float | bool | type(None)) for part in key
    ):
        return key
    raise Unsafe(f"{_kind(key)} is used as a key")


_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False},
    **{"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list},
}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset(("PROTO", "FRAME"))
