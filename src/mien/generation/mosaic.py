"""`mien mosaic`: a wall of chosen faces of any size, drawn and written row by row."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.png_rows import png_rows
from mien.core.sampling import parse_seeds
from mien.generation.drawing import Drawing, check_side, sized

_BATCH = 64
_MOST_COLUMNS = 10_000


def mosaic(
    source: Path | None,
    out: Path,
    *,
    keep: str,
    columns: int | None = None,
    cell: int | None = None,
    trunc: float = 1.0,
    label: str | Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Write the wall as a PNG and return its (rows, columns); only a row of it is held at a time.

    keep: a file of seeds, or seeds like "0,5,17-19". columns: faces in a row (default: about a square).
    cell: pixels along a side of a face (default: the model's). Raises InputError.
    """
    if out.suffix.lower() != ".png":
        raise InputError(
            f"{out}: mosaics are written as .png, line by line, which other formats do not allow"
        )
    seeds = parse_seeds(f"@{keep}" if Path(keep).is_file() else keep)
    across = math.ceil(math.sqrt(len(seeds))) if columns is None else columns
    if not 1 <= across <= _MOST_COLUMNS:
        raise InputError(f"--columns {across}: between 1 and {_MOST_COLUMNS:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label)
    side = check_side("--cell", cell, default=drawing.resolution)
    rows = math.ceil(len(seeds) / across)
    with png_rows(out, across * side, rows * side, drawing.mark()) as png:
        for start in range(0, len(seeds), across):
            row = seeds[start : start + across]
            png.write(_row(drawing, row, across, side))
            if progress:
                progress(start + len(row), len(seeds))
    return rows, across


def _row(drawing: Drawing, seeds: list[int], columns: int, side: int) -> np.ndarray:
    """The faces side by side, uint8 [side, columns * side, 3]; black where there are too few."""
    lines = np.zeros((side, columns, side, 3), np.uint8)
    for start in range(0, len(seeds), _BATCH):
        for index, picture in enumerate(drawing.faces(seeds[start : start + _BATCH]), start):
            lines[:, index] = sized(picture, side)
    return lines.reshape(side, columns * side, 3)
