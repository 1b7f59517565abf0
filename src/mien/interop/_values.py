"""Gives the few names that NVlabs' and R3GAN's checkpoints use a meaning; everything else was refused before."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from mien.interop._machine import Made, Name, Unsafe
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
_CALLS = frozenset(
    (
        _PERSISTENT,
        *("collections.OrderedDict", "dnnlib.util.EasyDict", "builtins.set", "_codecs.encode"),
        *(
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_tensor_v2",
            "torch.storage._load_from_bytes",
        ),
        *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "numpy.ndarray"),
        *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "torch.Size"),
    )
)
_DTYPES = frozenset(("torch.float32", "torch.bfloat16", "torch.float16", "torch.float64"))
_CLASSES = ("training.networks", "R3GAN.", "torch.nn.modules.")


@dataclass(eq=False)
class Module:
    """A network as the file holds it: nothing of it was run.

    name: of its class. module: where that class lived. source: SHA-256 of the source text embedded with it, or "".
    state: the attributes it had.
    """

    name: str
    module: str
    source: str
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments it was built with, where the file has them."""
        found = self.state.get("_init_kwargs", {})
        return found if isinstance(found, dict) else {}

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, as `state_dict` would name them."""
        found: dict[str, Tensor] = {}
        passing = self.state.get("_non_persistent_buffers_set") or ()
        for kind in ("_parameters", "_buffers"):
            for name, value in _mapping(self.state.get(kind)).items():
                if isinstance(value, Tensor) and name not in passing:
                    found[prefix + name] = value
        for name, child in _mapping(self.state.get("_modules")).items():
            if isinstance(child, Module):
                found |= child.tensors(f"{prefix}{name}.")
        return found

    def sources(self) -> set[str]:
        """SHA-256 of every source text embedded here and below."""
        below = (
            child for child in _mapping(self.state.get("_modules")).values() if isinstance(child, Module)
        )
        own = {self.source} - {""}
        return own.union(*(child.sources() for child in below))


def is_known(name: Name) -> bool:
    """Whether checkpoints may name this global at all. Raises Unsafe for TensorFlow's, which has its own advice."""
    text = str(name)
    if name.module.startswith("dnnlib.tflib"):
        raise Unsafe(
            "this is a TensorFlow checkpoint, which mien does not read; convert it first with legacy.py of"
            " NVlabs' stylegan3 repository"
        )
    text = text.replace("__builtin__.", "builtins.")
    return text in _CALLS or text in _DTYPES or _is_class(name)


def _is_class(name: Name) -> bool:
    return name.module.startswith(_CLASSES) and name.name[:1].isupper()


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
        name = str(made.what).replace("__builtin__.", "builtins.")
        if _is_class(made.what):
            return self._module(made.what.name, made.what.module, "", self.of(made.state, depth))
        arguments = tuple(self.of(part, depth) for part in made.arguments)
        if name == "numpy.dtype":
            return rebuild_dtype(Made(made.what, arguments, state=self.of(made.state, depth)))
        if name in ("collections.OrderedDict", "dnnlib.util.EasyDict"):
            return self._dict(made, arguments, depth)
        if name.endswith("._reconstruct"):
            return rebuild_array(self.of(made.state, depth))
        if name == _PERSISTENT:
            return self._persistent(arguments)
        return _called(name, arguments)

    def _dict(self, made: Made, arguments: tuple[Any, ...], depth: int) -> dict[Any, Any]:
        first = arguments[0] if arguments else []
        pairs = list(first.items()) if isinstance(first, dict) else list(first)
        pairs += [(self.of(key, depth), self.of(item, depth)) for key, item in made.items]
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
            raise Unsafe("a dictionary of no pairs")
        if any(not isinstance(key, str | int) for key, _ in pairs):
            raise Unsafe("a dictionary whose keys are neither text nor numbers")
        return {key: item for key, item in pairs}

    def _persistent(self, arguments: tuple[Any, ...]) -> Module:
        meta = arguments[0] if len(arguments) == 1 else None
        if not isinstance(meta, dict) or meta.get("type") != "class":
            raise Unsafe("an embedded object that is no class")
        source, name = meta.get("module_src"), meta.get("class_name")
        if not isinstance(source, str) or not isinstance(name, str):
            raise Unsafe("an embedded class without its name or source")
        return self._module(name, "", hashlib.sha256(source.encode()).hexdigest(), meta.get("state"))

    def _module(self, name: str, module: str, source: str, state: Any) -> Module:
        if not isinstance(state, dict):
            raise Unsafe(f"the network {name[:60]} has no state")
        return Module(name, module, source, state)


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a known function would have returned."""
    try:
        if name == "torch.storage._load_from_bytes":
            return _storage(*arguments)
        if name == "torch._utils._rebuild_tensor_v2":
            return rebuild_tensor(*arguments[:4])
        if name == "torch._utils._rebuild_parameter":
            return _tensor(arguments[0])
        if name.endswith(".scalar"):
            return rebuild_scalar(*arguments)
        if name == "_codecs.encode":
            return _latin1(*arguments)
        if name in ("builtins.set", "torch.Size"):
            return tuple(arguments[0]) if arguments else ()
    except (TypeError, IndexError, ValueError) as error:
        raise Unsafe(f"{name} is called with arguments that make no sense") from error
    raise Unsafe(f"{name} is called, which no checkpoint does")


def _storage(data: Any) -> Storage:
    if not isinstance(data, bytes | bytearray):
        raise Unsafe("a storage made of something other than bytes")
    return load_storage(bytes(data))


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise Unsafe("a parameter made of something other than a tensor")
    return value


def _latin1(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Unsafe("text in an encoding that checkpoints do not use")
    return text.encode("latin1")


def _mapping(value: Any) -> dict[str, Any]:
    return {k: v for k, v in value.items() if isinstance(k, str)} if isinstance(value, dict) else {}


def plain(value: Any) -> Any:
    """For showing: arrays and tensors by their shape, other values as JSON has them."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__}{list(value.shape)}"
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, Module):
        return value.name
    return value if isinstance(value, str | int | float | bool | type(None)) else str(type(value).__name__)
