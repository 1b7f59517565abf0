"""Other tools' weight files as named arrays: flax pickles, tfjs shards, dlib's own format.

Each is read as data by our own parsers. A file that is not what it should be raises InputError.
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.interop._machine import Machine, Unsafe
from mien.interop._values import resolve

Arrays = dict[str, NDArray[np.float32]]

_NUMPY = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}
_NUMPY |= {"numpy.ndarray", "numpy.dtype"}
_MOST_VALUES = 1 << 28
_DLIB_VERSION = b"\x01\x02"  # of a tensor, as dlib packs the number 2


def flax_arrays(data: bytes) -> Arrays:
    """A pickle of nested dictionaries of numpy arrays; names are the keys joined by dots.

    Only numpy's three globals may occur; anything else is refused before it means anything.
    """
    value = resolve(Machine(allowed=lambda name: str(name) in _NUMPY).read(io.BytesIO(data)))
    if not isinstance(value, dict):
        raise Unsafe("no dictionary of arrays; not a flax checkpoint")
    return dict(_leaves(value, ""))


def tfjs_arrays(manifest: bytes, shard: bytes) -> Arrays:
    """One shard of tfjs weights with its manifest; quantised weights are scale * q + min, in double.

    Names are the manifest's, layouts TensorFlow's (kernels [height, width, in, out]).
    """
    try:
        entries = [entry for group in json.loads(manifest) for entry in group["weights"]]
        described = [_described(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not a manifest of tfjs weights ({error})") from error
    arrays: Arrays = {}
    at = 0
    for name, shape, dtype, scale, low in described:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if at + size > len(shard):
            raise InputError(f"the tfjs shard ends before {name}; it is cut off")
        raw = np.frombuffer(shard, dtype, size // dtype.itemsize, at).reshape(shape)
        values = raw if scale is None else raw.astype(np.float64) * scale + low
        arrays[name] = values.astype(np.float32)
        at += size
    if at != len(shard):
        raise InputError(f"the tfjs shard has {len(shard) - at} bytes that its manifest does not know")
    return arrays


def dlib_vectors(data: bytes, sizes: list[int]) -> list[NDArray[np.float32]]:
    """The parameter tensors of dlib's serialised network, in the file's order, flat float32.

    sizes: how many values each has. dlib writes the network's input side first; a layer's parameters are one
    tensor of so many samples of one value each: a version, four packed sizes, little-endian float32.
    """
    vectors: list[NDArray[np.float32]] = []
    at = 0
    for size in sizes:
        header = _DLIB_VERSION + _dlib_int(size) + 3 * _dlib_int(1)
        start = data.find(header, at)
        if start < 0:
            raise InputError(f"no tensor of {size} values after byte {at}; not the dlib network expected")
        start += len(header)
        if start + 4 * size > len(data):
            raise InputError("the dlib file ends within a tensor; it is cut off")
        vectors.append(np.frombuffer(data, "<f4", size, start).astype(np.float32))
        at = start + 4 * size
    return vectors


def dlib_matrix(data: bytes, rows: int, columns: int) -> NDArray[np.float32]:
    """The last tensor [rows, columns] of a dlib file: a fully connected layer's matrix, inputs by outputs."""
    header = _DLIB_VERSION + _dlib_int(rows) + _dlib_int(columns) + 2 * _dlib_int(1)
    start = data.rfind(header)
    if start < 0 or start + len(header) + 4 * rows * columns > len(data):
        raise InputError(f"no matrix of {rows} by {columns}; not the dlib network expected")
    flat = np.frombuffer(data, "<f4", rows * columns, start + len(header))
    return flat.reshape(rows, columns).astype(np.float32)


def torch_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel [height, width, in, out] as torch has it, [out, in, height, width]."""
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))


def torch_depthwise(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A depthwise kernel [height, width, channels, 1] as torch has it, [channels, 1, height, width]."""
    return np.ascontiguousarray(kernel.transpose(2, 3, 0, 1))


def _leaves(value: Mapping[Any, Any], above: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _leaves(part, f"{above}{key}.")
        elif isinstance(part, np.ndarray) and part.dtype.kind == "f":
            yield f"{above}{key}", part.astype(np.float32)
        else:
            raise Unsafe(f"{above}{key} is no array of numbers; not a flax checkpoint")


def _described(entry: Mapping[str, Any]) -> tuple[str, list[int], "np.dtype[Any]", float | None, float]:
    """Name, shape, stored type, scale (None: as it is) and minimum of one weight. Raises ValueError."""
    name, shape = str(entry["name"]), [int(side) for side in entry["shape"]]
    if any(side < 1 for side in shape) or int(np.prod(shape, dtype=np.float64)) > _MOST_VALUES:
        raise ValueError(f"{name[:60]}: its shape makes no sense")
    if entry["dtype"] != "float32":
        raise ValueError(f"{name[:60]}: type {str(entry['dtype'])[:20]} is not read")
    packing = entry.get("quantization")
    if packing is None:
        return name, shape, np.dtype("<f4"), None, 0.0
    if packing["dtype"] not in ("uint8", "uint16"):
        raise ValueError(f"{name[:60]}: quantised as {str(packing['dtype'])[:20]}, which is not read")
    stored = np.dtype("u1" if packing["dtype"] == "uint8" else "<u2")
    return name, shape, stored, float(packing["scale"]), float(packing["min"])


def _dlib_int(value: int) -> bytes:
    """A positive integer as dlib packs it: the number of bytes, then the bytes, lowest first."""
    count = max(1, (value.bit_length() + 7) // 8)
    return bytes((count,)) + value.to_bytes(count, "little")
