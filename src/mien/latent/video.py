"""`mien video`: one face turning into the next, as MP4 or animated WebP."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.picture import Pixels
from mien.core.seeds import parse_seeds
from mien.core.styles import Styled, draw_styles
from mien.generation.drawing import Drawing, check_side, sized
from mien.latent.film import check_film, save_film
from mien.latent.path import Route, positions, smooth, spherical, straight

_BATCH = 32  # pictures drawn at once
_MOST_BYTES = 1 << 30  # of the frames of a WebP, which are held together
_MOST_CELLS = 1024


@dataclass(frozen=True)
class Film:
    """A film that was written. width, height: of a frame, in pixels. space: of the walk, "z" or "w"."""

    num_frames: int
    seconds: float
    width: int
    height: int
    space: str


@job
def video(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    seeds: str = "0-7",
    frames: int = 60,
    fps: int = 30,
    space: Literal["z", "w"] | None = None,
    curve: Literal["smooth", "straight"] | None = None,
    loop: bool = False,
    ease: bool = False,
    grid: str = "1x1",
    size: int | None = None,
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
) -> Film:
    """Film one face turning into the next: MP4 (needs mien[video]) or animated WebP.

    Raises InputError before it draws; stopped half-way, it leaves no file.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        The film: .mp4 or .webp.
    seeds
        The faces to pass, like 0-7.
    frames
        Frames from each face to the next.
    fps
        Frames a second.
    space
        Walk in z (any model) or w (models with styles); w by default where there is one.
    curve
        In w: smooth (by default) or straight from face to face.
    loop
        Go back to the first face, so that the film can repeat without a seam.
    ease
        Rest at each face and go quicker in between.
    grid
        Several walks at once, columns x rows, like 4x2; the seeds are shared out among them.
    size
        Pixels along a side of a face; the model's by default.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    """
    if out.suffix.lower() not in (".mp4", ".webp"):
        raise InputError(f"{out}: films are written as .mp4 or .webp")
    if not 1 <= frames <= 10_000 or not 1 <= fps <= 240:
        raise InputError(f"--frames {frames} --fps {fps}: between 1 and 10,000 a leg, 1 and 240 a second")
    columns, rows = _cells(grid)
    walks = _share(parse_seeds(seeds), columns * rows)
    drawing = Drawing.of(source, trunc=trunc, label=label)
    side = check_side("--size", size, default=drawing.resolution)
    where = positions(len(walks[0]), frames, loop=loop, ease=ease)
    width, height = columns * side, rows * side
    _check_format(out, len(where), width, height)
    walked, routes = _routes(drawing, walks, space, curve, loop=loop)
    drawn = _frames(drawing, walked, routes, where, columns, side)
    tick = events.progress("filming", unit="frames")
    save_film(out, drawn, len(where), drawing.mark(), fps=fps, tick=tick)
    film = Film(len(where), len(where) / fps, width, height, walked)
    events.wrote(out, f"{len(where)} frames, {film.seconds:.1f} s, {width}x{height}, walked in {walked}")
    return film


def _cells(grid: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", grid)
    if match is None or int(match[1]) * int(match[2]) > _MOST_CELLS:
        raise InputError(f"--grid {grid!r}: columns x rows, like 4x2; at most {_MOST_CELLS} faces")
    return int(match[1]), int(match[2])


def _share(seeds: list[int], cells: int) -> list[list[int]]:
    each, over = divmod(len(seeds), cells)
    if over:
        count = len(seeds)
        raise InputError(f"--seeds: {count} do not share out among {cells} cells; give a multiple of {cells}")
    if each < 2:
        raise InputError(
            f"--seeds: a walk needs at least two seeds, and {cells} of them at least {2 * cells}"
        )
    return [seeds[start : start + each] for start in range(0, len(seeds), each)]


def _check_format(out: Path, num_frames: int, width: int, height: int) -> None:
    if out.suffix.lower() == ".mp4":
        check_film(width, height)
    elif (size := num_frames * width * height * 3) > _MOST_BYTES:
        raise InputError(
            f"{out}: {num_frames} frames of {width}x{height} take {size / 1e9:.1f} GB; write an .mp4"
        )
    elif max(width, height) > 16383:
        raise InputError(f"{out}: a WebP has sides of at most 16,383; {width}x{height} has more")


def _routes(
    drawing: Drawing, walks: list[list[int]], space: str | None, curve: str | None, *, loop: bool
) -> tuple[str, list[Route]]:
    """The space that is walked in (by default w where the model has one), and each cell's route."""
    space = space or ("w" if isinstance(drawing.loaded.network, Styled) else "z")
    if space not in ("z", "w"):
        raise InputError(f"--space {space}: z or w")
    if curve not in (None, "straight", "smooth"):
        raise InputError(f"--curve {curve}: straight or smooth")
    if space == "z":
        if curve is not None:
            raise InputError(f"--curve {curve}: a walk in z follows the sphere; curves are for --space w")
        return space, [spherical(drawing.latents(seeds), loop=loop) for seeds in walks]
    line = straight if curve == "straight" else smooth
    return space, [line(drawing.styles(seeds, "--space w"), loop=loop) for seeds in walks]


def _frames(
    drawing: Drawing, space: str, routes: list[Route], where: np.ndarray, columns: int, side: int
) -> Iterator[Pixels]:
    """Frame for frame uint8 [rows * side, columns * side, 3], a few drawn at a time."""
    piece = max(1, _BATCH // len(routes))
    for start in range(0, len(where), piece):
        moments = where[start : start + piece]
        codes = torch.stack([route(moments) for route in routes], dim=1)  # [moments, cells, ...]
        flat = codes.flatten(0, 1)
        faces = drawing.from_z(flat) if space == "z" else draw_styles(drawing.styled("--space w"), flat)
        for cells in faces.view(len(moments), len(routes), *faces.shape[1:]):
            tiles = np.stack([sized(face, side) for face in cells])
            tiles = tiles.reshape(-1, columns, side, side, 3).swapaxes(1, 2)
            yield tiles.reshape(-1, columns * side, 3)
