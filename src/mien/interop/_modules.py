"""A network as a checkpoint holds it: attributes, tensors and parts; nothing of it was run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from mien.interop._machine import Unsafe

MOST_PARTS = 20_000  # modules of one network
_MOST_SHOWN, _LONGEST, _DEEPEST = 1000, 200, 8
Scalar = bool | int | float | str | None


@dataclass(eq=False)
class Module:
    """A network or a part of one.

    name: of its class. module: where that class lived, "" if its source is embedded. source: SHA-256 of the
    embedded text, or "". state: the attributes it had.
    """

    name: str
    module: str
    source: str
    state: dict[Any, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[Any, Any]:
        """The keyword arguments it was built with, where the file has them."""
        return _mapping(self.state.get("_init_kwargs"))

    def parts(self) -> Iterator[tuple[str, "Module"]]:
        """Itself and all below it with their paths ("", "mapping.", "mapping.fc0.", ...)."""
        waiting: list[tuple[str, Module]] = [("", self)]
        for _ in range(MOST_PARTS):
            if not waiting:
                return
            path, module = waiting.pop()
            yield path, module
            for name, child in _mapping(module.state.get("_modules")).items():
                if isinstance(child, Module):
                    waiting.append((f"{path}{name}.", child))
        raise Unsafe(f"more than {MOST_PARTS:,} parts of a network; no checkpoint has so many")

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, as `state_dict` would name them."""
        tensors: dict[str, Tensor] = {}
        for path, module in self.parts():
            passing = module.state.get("_non_persistent_buffers_set")
            passing = passing if isinstance(passing, tuple | list) else ()
            for kind in ("_parameters", "_buffers"):
                for name, value in _mapping(module.state.get(kind)).items():
                    if isinstance(value, Tensor) and name not in passing:
                        tensors[path + name] = value
        return tensors

    def attributes(self) -> dict[str, Scalar]:
        """Plain attributes of itself and its parts by dotted name; private ones and long texts left out."""
        return {
            path + name: value
            for path, module in self.parts()
            for name, value in _mapping(module.state).items()
            if not name.startswith("_") and is_plain(value)
        }

    def sources(self) -> list[str]:
        """SHA-256 of every source text embedded here and below."""
        return sorted({module.source for _, module in self.parts()} - {""})


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it and a screen show it."""
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return isinstance(value, bool | float | None) or (isinstance(value, int) and abs(value) < 1 << 63)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {key: part for key, part in value.items() if isinstance(key, str) and len(key) <= _LONGEST}


def plain(value: Any) -> Any:
    """For showing: what JSON can hold, arrays and tensors by their shape, long and deep things cut short.

    At most so many entries in all, so that a small file cannot ask for a large picture.
    """
    return _plain(value, [_MOST_SHOWN])


def _plain(value: Any, left: list[int], depth: int = 0) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__}{list(value.shape)}"
    if isinstance(value, Module):
        return f"<{value.name}>"
    if isinstance(value, str):
        return value[:_LONGEST]
    if not isinstance(value, dict | list | tuple):
        return value if is_plain(value) else f"<{type(value).__name__}>"
    if depth > _DEEPEST:
        return "..."
    taken = list(value.items() if isinstance(value, dict) else value)[: left[0]]
    left[0] -= len(taken)
    if isinstance(value, dict):
        return {str(key)[:_LONGEST]: _plain(part, left, depth + 1) for key, part in taken}
    return [_plain(part, left, depth + 1) for part in taken]
