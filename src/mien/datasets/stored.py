"""Decoded pictures in one memory-mapped file, and the dataset that serves them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from mien.core.atomic import open_replacing
from mien.core.types import Spec
from mien.core.views import Indexed


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
