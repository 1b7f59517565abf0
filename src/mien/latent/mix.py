"""`mien mix`: faces with some layers of one, the others of another (Karras et al. 2019, arXiv:1812.04948)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.provenance import encode_picture, save_picture
from mien.core.styles import Styled, draw_styles
from mien.generation.drawing import Drawing, check_side, sized
from mien.latent.layers import parse_layers
from mien.latent.sources import read_sources

_PAPER = 255
_MOST = 4096  # faces in a grid


@job
def mix(
    events: Events,
    source: Path | None = None,
    /,
    *,
    rows: str,
    columns: str,
    out: Path,
    layers: str = "coarse",
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    size: int | None = None,
    face: str = "largest",
    encoder: Path | None = None,
    steps: int | None = None,
) -> tuple[int, ...]:
    """Mix styles: a grid in which each column's face takes some layers from each row's.

    At row r and column c stands face c with the layers of face r; the faces themselves stand above and to the
    left, a gap apart. Returns the numbers of the layers. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    rows
        Faces that give the layers: seeds like 0-3, photos, .npz files of latents, with commas.
    columns
        Faces that take them, as `rows`.
    out
        The picture: .png, .jpg or .webp.
    layers
        coarse (pose, shape), middle (features, hair), fine (colours), several with commas, or like 0-3.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    size
        Pixels along a side of a face; the model's by default.
    face
        Which face of a photo that shows several: largest, all, or a number (2: the second largest).
    encoder
        Folder or file that `mien encoder` made for the model, for photos.
    steps
        Steps of a photo's projection; by default 200, from an encoder's guess 100.
    """
    drawing = Drawing.of(source, trunc=trunc, label=label)
    side = check_side("--size", size, default=drawing.resolution)
    generator = drawing.styled("mixing styles")
    chosen = parse_layers(layers, generator.num_ws)
    encode_picture(np.zeros((1, 1, 3), np.uint8), out.suffix, drawing.mark())  # a bad suffix, before the work
    ws_rows, ws_columns = (
        read_sources(text, drawing, events, face=face, encoder=encoder, steps=steps).codes.values
        for text in (rows, columns)
    )
    if (count := len(ws_rows) * len(ws_columns)) > _MOST:
        raise InputError(f"{count:,} mixed faces do not fit one grid; at most {_MOST:,}")
    gap = max(2, side // 8)
    height, width = (side * (len(some) + 1) + gap for some in (ws_rows, ws_columns))
    sheet = np.full((height, width, 3), _PAPER, np.uint8)

    def place(row: int, column: int, picture: Tensor) -> None:
        """Faces stand at 1, 2, ..., a gap apart from those at row and column 0."""
        top, left = (at * side + (gap if at else 0) for at in (row, column))
        sheet[top : top + side, left : left + side] = sized(picture, side)

    progress = events.progress("mixing", unit="rows")
    for index, picture in enumerate(draw_styles(generator, ws_columns), start=1):
        place(0, index, picture)
    for row, (own, mixtures) in enumerate(mixing_rows(generator, ws_rows, ws_columns, chosen), start=1):
        for column, picture in enumerate((own, *mixtures)):
            place(row, column, picture)
        progress(row, len(ws_rows))
    save_picture(out, sheet, drawing.mark())
    events.wrote(out, f"layers {', '.join(map(str, chosen))} of the rows' faces")
    return chosen


def mixed(face: Tensor, giver: Tensor, layers: Sequence[int]) -> Tensor:
    """ws [..., num_ws, w_dim] of `face` with those of `giver` at `layers`; the two broadcast."""
    chosen = torch.zeros(face.shape[-2], 1, dtype=torch.bool, device=face.device)
    chosen[list(layers)] = True
    return torch.where(chosen, giver, face)


def mixing_rows(
    generator: Styled, rows: Tensor, columns: Tensor, layers: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each of `rows` [R, num_ws, w_dim]: its own picture, and every column's with its `layers`.

    columns: [C, num_ws, w_dim]. Gives uint8 [C, H, W] and [columns, C, H, W].
    """
    for row in rows:
        pictures = draw_styles(generator, torch.cat([row[None], mixed(columns, row, layers)]))
        yield pictures[0], pictures[1:]
