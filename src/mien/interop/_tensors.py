"""From inert values to tensors and arrays: what torch and numpy would have rebuilt, checked and copied."""

import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.interop._machine import Machine, Made, Name, Outside, Unsafe

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_DIMENSIONS = 8
_DTYPES = {
    **{"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8},
    "BoolStorage": torch.bool,
}
_ARRAY_TYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat tensor [numel] of one type: what views are taken of."""

    values: Tensor


def load_storage(data: bytes) -> Storage:
    """Read torch's legacy bytes of a storage: magic, protocol, system, root, keys, then count and raw values.

    Every length must fit exactly. Raises Unsafe.
    """
    stream = io.BytesIO(data)
    if _inner(stream) != _MAGIC or _inner(stream) != _PROTOCOL:
        raise Unsafe("a tensor's storage does not begin as torch's do")
    system = _inner(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Unsafe("a tensor's storage is not little-endian")
    root, keys = _inner(stream), _inner(stream)
    dtype, key, count = _described(root)
    if keys != [key]:
        raise Unsafe("a storage's bytes hold other keys than its own")
    size = torch.empty(0, dtype=dtype).element_size()
    head = stream.read(8)
    if len(head) != 8 or struct.unpack("<q", head)[0] != count:
        raise Unsafe("a storage's count is not what was announced")
    raw = stream.read()
    if len(raw) != count * size:
        raise Unsafe(f"a storage of {count} values has {len(raw)} bytes, {count * size} are needed")
    if not count:
        return Storage(torch.empty(0, dtype=dtype))
    return Storage(torch.frombuffer(bytearray(raw), dtype=dtype))


def _inner(stream: io.BytesIO) -> Any:
    machine = Machine(allowed=lambda name: name.module == "torch" and name.name in _DTYPES, outside=True)
    value = machine.read(stream)
    if isinstance(value, Made):
        raise Unsafe("a storage's bytes call something")
    return value


def _described(root: Any) -> tuple[torch.dtype, str, int]:
    """Type, key and count of ("storage", type, key, device, count, view)."""
    parts = root.key if isinstance(root, Outside) else None
    if not isinstance(parts, tuple) or len(parts) not in (5, 6) or parts[0] != "storage":
        raise Unsafe("a storage's bytes describe no storage")
    kind, key, _, count = parts[1:5]
    if len(parts) == 6 and parts[5] is not None:
        raise Unsafe("a storage that is a view of another; save the checkpoint anew")
    if not isinstance(kind, Name) or not isinstance(key, str) or not _is_count(count):
        raise Unsafe("a storage's description is damaged")
    return _DTYPES[kind.name], key, count


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A copy of the view of `storage` that torch would have made. Raises Unsafe where it leads outside."""
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise Unsafe("a tensor is made of no storage")
    if (
        len(size) != len(stride)
        or len(size) > _MOST_DIMENSIONS
        or not all(map(_is_count, (offset, *size, *stride)))
    ):
        raise Unsafe("a tensor's shape makes no sense")
    if any(step == 0 and length > 1 for length, step in zip(size, stride, strict=True)):
        raise Unsafe("a tensor repeats its values by a stride of 0")
    if 0 in size:
        raise Unsafe("a tensor without values; no network has one")
    extent = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if extent > len(storage.values) or math.prod(size) > len(storage.values):
        raise Unsafe("a tensor reaches beyond its storage")
    return torch.as_strided(storage.values, size, stride, offset).clone(memory_format=torch.contiguous_format)


def rebuild_dtype(made: Made) -> np.dtype[Any]:
    """numpy.dtype(text, align, copy), with the byte order that its state adds."""
    if not made.arguments or not isinstance(made.arguments[0], str):
        raise Unsafe("a numpy type without a name")
    text = made.arguments[0]
    if not _ARRAY_TYPE.fullmatch(text):
        raise Unsafe(f"numpy type {text[:20]!a} is no number")
    order = made.state[1] if isinstance(made.state, tuple) and len(made.state) > 1 else "="
    if not isinstance(order, str) or order not in ("<", ">", "|", "="):
        raise Unsafe("a numpy type of unknown byte order")
    return np.dtype(text).newbyteorder(order)  # type: ignore[arg-type]


def rebuild_scalar(dtype: Any, data: Any) -> Any:
    """numpy.core.multiarray.scalar as a plain number."""
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise Unsafe("a numpy number whose bytes do not fit its type")
    return np.frombuffer(data, dtype)[0].item()


def rebuild_array(state: Any) -> np.ndarray:
    """numpy's array state (version, shape, type, Fortran order, bytes) as an array of numbers."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise Unsafe("a numpy array without a state")
    _, shape, dtype, fortran, data = state
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS or not all(map(_is_count, shape)):
        raise Unsafe("a numpy array whose shape makes no sense")
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes):
        raise Unsafe("a numpy array of no numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Unsafe("a numpy array whose bytes do not fit its shape")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
