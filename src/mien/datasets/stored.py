"""Decoded pictures in one memory-mapped file, and the dataset that serves them."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib import format as npy

from mien.core.atomic import open_replacing
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.core.views import Indexed

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False, repr=False)
class StoredDataset(Indexed):
    """A `core.types.Dataset` over one uint8 [N, C, H, W] array, usually a memory map.

    notes: lines for the user about what was left out and why. label_problem: why labels is None though some
    images have one, or "".
    """

    name: str
    spec: Spec
    content_hash: str
    labels: np.ndarray | None
    records: Sequence[Mapping[str, Any]]
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    label_problem: str = ""

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def images(self, indexes: np.ndarray) -> np.ndarray:
        """A copy of the pictures at `indexes`, uint8 [len(indexes), C, H, W]."""
        return np.array(self.pixels[np.asarray(indexes, np.int64)])


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `function` makes of each item, in order, by up to eight threads.

    Decoding saves and restores warning filters, which threads do out of order: here they are restored.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")
        yield from pool.map(function, items)


def cached(where: Path, read: Callable[[], R | None], make: Callable[[], None]) -> R:
    """What `read` finds in the cache at `where`; where that is nothing, what `make` then writes there."""
    value = read()
    if value is None:
        make()
        value = read()
    if value is None:
        raise InputError(f"{where}: the cache does not hold what was just written; check that disk")
    return value


def write_pixels(path: Path, shape: tuple[int, int, int, int], chunks: Iterable[np.ndarray]) -> None:
    """Write uint8 chunks of [n, C, H, W] that make up `shape` as one .npy file, atomically.

    Several processes may write the same file at once. Raises MienError when the disk is full.
    """
    # Plain writes, not a memory map: a full disk kills the process that writes into a map.
    with open_replacing(path) as file:
        npy.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        written = 0
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, np.uint8).data)
            written += len(chunk)
    if written != shape[0]:
        path.unlink(missing_ok=True)
        raise ValueError(f"{written} pictures written, {shape[0]} promised")


def open_pixels(path: Path, count: int) -> np.ndarray | None:
    """Map a file of `write_pixels` with `count` pictures; None where it is missing, damaged or another's."""
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        whole = pixels.offset + pixels.nbytes == path.stat().st_size
    except (OSError, ValueError, EOFError, SyntaxError, AttributeError):
        return None
    square = pixels.ndim == 4 and pixels.shape[2] == pixels.shape[3]
    fits = pixels.dtype == np.uint8 and square and pixels.shape[0] == count and pixels.shape[1] in (1, 3)
    return pixels if whole and fits else None
