"""Gives the few names that NVlabs' and R3GAN's checkpoints use a meaning; all else was refused before."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from mien.core.errors import InputError
from mien.interop._machine import Made, Name, Unsafe
from mien.interop._modules import Module
from mien.interop._tensors import (
    Storage,
    load_storage,
    rebuild_array,
    rebuild_dtype,
    rebuild_scalar,
    rebuild_tensor,
)

_MOST_DEPTH = 200
_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_DICTS = frozenset(("collections.OrderedDict", "dnnlib.util.EasyDict"))
_ARRAYS = frozenset(("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"))
_NAMES = frozenset(f"torch.{kind}" for kind in ("float32", "bfloat16", "float16", "float64"))
_NAMES |= {"numpy.ndarray", "torch.nn.parameter.Parameter"}
_CLASS_HOME = re.compile(
    r"training\.networks(_stylegan2|_stylegan3)?|R3GAN\.[A-Za-z]+|torch\.nn\.modules\.[a-z]+"
)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]{0,99}")
_TENSORFLOW = re.compile(r"dnnlib\.tflib\b.*|tfutil|tensorflow\b.*")


def is_known(name: Name) -> bool:
    """Whether checkpoints may name this global at all. Raises InputError, with advice, for TensorFlow's."""
    if _TENSORFLOW.fullmatch(name.module):
        raise InputError(
            "this is a TensorFlow checkpoint, which mien does not read; convert it first with legacy.py of"
            " NVlabs' stylegan3 repository (legacy.py --source=IN.pkl --dest=OUT.pkl)"
        )
    text = _modern(name)
    return text == _PERSISTENT or text in _DICTS | _ARRAYS | _NAMES or text in _CALLS or _is_class(name)


def _modern(name: Name) -> str:
    return str(name).replace("__builtin__.", "builtins.")


def _is_class(name: Name) -> bool:
    return bool(_CLASS_HOME.fullmatch(name.module) and _CLASS.fullmatch(name.name))


def resolve(value: Any) -> Any:
    """Plain values, tensors and `Module`s out of what the machine recorded. Raises Unsafe."""
    return _Resolver().of(value, 0)


class _Resolver:
    """Each recorded object is resolved once, however often the file refers to it."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()
        self._kept: list[Any] = []  # keeps ids from being used again

    def of(self, value: Any, depth: int) -> Any:
        if isinstance(value, str | int | float | bool | bytes | bytearray | type(None)):
            return value
        if isinstance(value, Name):
            return str(value)
        key = id(value)
        if key in self._done:
            return self._done[key]
        if depth > _MOST_DEPTH or key in self._open:
            raise Unsafe("it is nested too deeply, or in itself; no checkpoint is")
        self._open.add(key)
        result = self._container(value, depth + 1)
        self._open.discard(key)
        self._kept.append(value)
        self._done[key] = result
        return result

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, tuple):
            return tuple(self.of(part, depth) for part in value)
        if isinstance(value, list):
            return [self.of(part, depth) for part in value]
        if isinstance(value, dict):
            return {key: self.of(part, depth) for key, part in value.items()}
        if isinstance(value, Made):
            return self._made(value, depth)
        raise Unsafe(f"a {type(value).__name__} stands where no checkpoint has one")

    def _made(self, made: Made, depth: int) -> Any:
        name = _modern(made.what)
        if made.keywords or made.members or (made.items and name not in _DICTS):
            raise Unsafe(f"{name} is filled in a way that no checkpoint does")
        if _is_class(made.what):
            if made.arguments:
                raise Unsafe(f"{made.what} is made with arguments, which no checkpoint does")
            return _as_module(made.what.name, made.what.module, "", self.of(made.state, depth))
        arguments = tuple(self.of(part, depth) for part in made.arguments)
        state = self.of(made.state, depth)
        if name in _DICTS:
            return self._dict(made, arguments, depth)  # its state is torch's _metadata, of no use here
        if name == "numpy.dtype":
            return rebuild_dtype(Made(made.what, arguments, state=state))
        if name in _ARRAYS:
            return rebuild_array(state)
        if state is not None:
            raise Unsafe(f"what {name} makes is given a state, which no checkpoint does")
        return _persistent(arguments) if name == _PERSISTENT else _called(name, arguments)

    def _dict(self, made: Made, arguments: tuple[Any, ...], depth: int) -> dict[Any, Any]:
        first = arguments[0] if arguments else []
        if not isinstance(first, dict | list | tuple):
            raise Unsafe("a dictionary made of something else")
        pairs = list(first.items()) if isinstance(first, dict) else list(first)
        pairs += [(self.of(key, depth), self.of(item, depth)) for key, item in made.items]
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
            raise Unsafe("a dictionary of no pairs")
        if any(not isinstance(key, str | int) for key, _ in pairs):
            raise Unsafe("a dictionary whose keys are neither text nor numbers")
        return dict(pairs)


def _persistent(arguments: tuple[Any, ...]) -> Module:
    """An object with its source embedded: only a class, and its text is hashed, never run."""
    meta = arguments[0] if len(arguments) == 1 else None
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise Unsafe("an embedded object that is no class")
    source, name = meta.get("module_src"), meta.get("class_name")
    if not isinstance(source, str) or not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise Unsafe("an embedded class without a plain name, or without its source")
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return _as_module(name, "", digest, meta.get("state"))


def _as_module(name: str, module: str, source: str, state: Any) -> Module:
    if not isinstance(state, dict):
        raise Unsafe(f"the network {name} has no state")
    return Module(name, module, source, state)


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a known function would have returned."""
    if name not in _CALLS:
        raise Unsafe(f"{name} is called, which no checkpoint does")
    try:
        return _CALLS[name](*arguments)
    except RuntimeError as error:  # torch's way to say that memory is out
        raise MemoryError(str(error)) from error
    except (TypeError, IndexError, ValueError, OverflowError) as error:
        raise Unsafe(f"{name} is called with arguments that make no sense") from error


def _storage(data: Any) -> Storage:
    if not isinstance(data, bytes | bytearray):
        raise Unsafe("a storage made of something other than bytes")
    return load_storage(bytes(data))


def _parameter(value: Any, *_: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise Unsafe("a parameter made of something other than a tensor")
    return value


def _latin1(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Unsafe("text in an encoding that checkpoints do not use")
    return text.encode("latin1")


def _sequence(values: Any = ()) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise Unsafe("a set made of something other than a list")
    return tuple(values)


_CALLS: dict[str, Callable[..., Any]] = {
    "torch.storage._load_from_bytes": _storage,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "numpy.core.multiarray.scalar": rebuild_scalar,
    "numpy._core.multiarray.scalar": rebuild_scalar,
    "numpy.dtype": rebuild_dtype,
    "_codecs.encode": _latin1,
    "builtins.set": _sequence,
    "torch.Size": _sequence,
}
