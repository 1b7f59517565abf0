"""`mien mosaic`: a grid of chosen faces of any size, drawn and written row by row."""

import math
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.seeds import parse_seeds
from mien.generation.drawing import Drawing, check_side, sized
from mien.generation.png_rows import png_rows

_BATCH = 64
_MOST_COLUMNS = 10_000


@job
def mosaic(
    events: Events,
    source: Path | None = None,
    /,
    *,
    keep: str,
    out: Path,
    columns: int | None = None,
    cell: int | None = None,
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
) -> tuple[int, int]:
    """Lay chosen faces out as a wall of any size, row by row, so that memory does not limit it.

    Returns how many rows and columns it has. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    keep
        A file of seeds, as `mien pick` gives one, or seeds like 0,5,17-19.
    out
        The picture, a .png.
    columns
        Faces in a row; about a square by default.
    cell
        Pixels along a side of a face; the model's by default.
    trunc
        Truncation psi, usually from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    """
    if out.suffix.lower() != ".png":
        why = "line by line, which other formats do not allow"
        raise InputError(f"{out}: mosaics are written as .png, {why}")
    listed = Path(keep).is_file() or keep.endswith(".txt")
    seeds = parse_seeds(f"@{keep}" if listed else keep)
    across = math.ceil(math.sqrt(len(seeds))) if columns is None else columns
    if not 1 <= across <= _MOST_COLUMNS:
        raise InputError(f"--columns {across}: between 1 and {_MOST_COLUMNS:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label, note=events.note)
    side = check_side("--cell", cell, default=drawing.resolution)
    rows = math.ceil(len(seeds) / across)
    progress = events.progress("laying faces")
    with png_rows(out, across * side, rows * side, drawing.mark()) as png:
        for start in range(0, len(seeds), across):
            row = seeds[start : start + across]
            png.write(_row(drawing, row, across, side))
            progress(start + len(row), len(seeds))
    events.wrote(out, f"{rows} rows of {across}")
    return rows, across


def _row(drawing: Drawing, seeds: list[int], columns: int, side: int) -> np.ndarray:
    """The faces side by side, uint8 [side, columns * side, 3]; black where there are too few."""
    pixels = np.zeros((side, columns, side, 3), np.uint8)
    for start in range(0, len(seeds), _BATCH):
        for index, image in enumerate(drawing.faces(seeds[start : start + _BATCH]), start):
            pixels[:, index] = sized(image, side)
    return pixels.reshape(side, columns * side, 3)
