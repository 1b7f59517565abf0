"""A PNG written row by row, for images too large for memory (Pillow needs the whole image)."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from mien.core.atomic import open_replacing
from mien.core.picture import Pixels
from mien.core.provenance import PNG_XMP, Provenance, packet

_MOST = 2**31 - 1  # of a side, by PNG's standard
_UP = 2  # the filter: each line less the one above


class PngRows:
    """Writer of rows from top to bottom; get one from `png_rows`."""

    def __init__(self, file: IO[Any], width: int, height: int, provenance: Provenance) -> None:
        if not (0 < width <= _MOST and 0 < height <= _MOST):
            raise ValueError(f"a PNG cannot be {width}x{height}")
        self._file, self._width, self._left = file, width, height
        self._above = np.zeros((1, width, 3), np.uint8)
        self._squeeze = zlib.compressobj(6)
        sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", sizes + bytes([8, 2, 0, 0, 0]))  # 8 bits, RGB, not interlaced
        self._chunk(b"iTXt", PNG_XMP + packet(provenance))

    def write(self, lines: Pixels) -> None:
        """The next lines: uint8 [any, width, 3]."""
        if lines.dtype != np.uint8 or lines.shape[1:] != (self._width, 3) or len(lines) > self._left:
            raise ValueError(f"lines of uint8 [at most {self._left}, {self._width}, 3], not {lines.shape}")
        if not len(lines):
            return
        differences = lines - np.concatenate([self._above, lines[:-1]])
        filtered = np.full((len(lines), 1 + self._width * 3), _UP, np.uint8)
        filtered[:, 1:] = differences.reshape(len(lines), -1)
        self._above = lines[-1:].copy()
        self._left -= len(lines)
        if squeezed := self._squeeze.compress(filtered.tobytes()):
            self._chunk(b"IDAT", squeezed)

    def finish(self) -> None:
        """Write the end of the file. ValueError if rows are missing."""
        if self._left:
            raise ValueError(f"{self._left} lines are missing")
        self._chunk(b"IDAT", self._squeeze.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        checksum = zlib.crc32(data, zlib.crc32(kind))
        self._file.write(len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big"))


@contextmanager
def png_rows(path: Path, width: int, height: int, provenance: Provenance) -> Iterator[PngRows]:
    """A PNG to be written line by line within the block; it appears at `path` when that ends well."""
    with open_replacing(path) as file:
        rows = PngRows(file, width, height, provenance)
        yield rows
        rows.finish()
