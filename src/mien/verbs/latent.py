"""Verbs that move about in latent space: mixing, films, walls of faces, choosing seeds."""

from pathlib import Path
from typing import Literal

from mien.verbs._console import console


def mix(
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
) -> None:
    """Mix styles: a grid in which each column's face takes some layers from each row's.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    rows
        Seeds that give the layers, like 0-3.
    columns
        Seeds that take them, like 4-9.
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
    """
    from mien.bars import bar
    from mien.generation.mix import mix as run

    screen = console()
    with bar(screen, "mixing") as progress:
        chosen = run(
            source,
            out,
            rows=rows,
            columns=columns,
            layers=layers,
            trunc=trunc,
            label=label,
            size=size,
            progress=progress,
        )
    screen.print(f"wrote {out}: layers {', '.join(map(str, chosen))} of the rows' faces")


def video(
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
) -> None:
    """Film one face turning into the next: MP4 (needs mien[video]) or animated WebP.

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
    from mien.bars import bar
    from mien.generation.video import Walk
    from mien.generation.video import video as run

    screen = console()
    walk = Walk(frames=frames, space=space, curve=curve, loop=loop, ease=ease)
    with bar(screen, "filming") as progress:
        film = run(
            source,
            out,
            walk,
            seeds=seeds,
            fps=fps,
            grid=grid,
            size=size,
            trunc=trunc,
            label=label,
            progress=progress,
        )
    picture = f"{film.width}x{film.height}"
    screen.print(
        f"wrote {out}: {film.num_frames} frames, {film.seconds:.1f} s, {picture}, walked in {film.space}"
    )


def mosaic(
    source: Path | None = None,
    /,
    *,
    keep: str,
    out: Path,
    columns: int | None = None,
    cell: int | None = None,
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
) -> None:
    """Lay chosen faces out as a wall of any size, row by row, so that memory does not limit it.

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
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    """
    from mien.bars import bar
    from mien.generation.mosaic import mosaic as run

    screen = console()
    with bar(screen, "laying faces") as progress:
        rows, across = run(
            source, out, keep=keep, columns=columns, cell=cell, trunc=trunc, label=label, progress=progress
        )
    screen.print(f"wrote {out}: {rows} rows of {across}")


def pick(
    source: Path | None = None,
    /,
    *,
    out: Path = Path("pick.html"),
    seeds: str = "0-199",
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    size: int | None = None,
) -> None:
    """Write a page on which to choose faces by click or key; `mosaic` and `generate` read what it gives.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        The page. It stands alone and needs no network.
    seeds
        Which faces to choose from.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    size
        Pixels along a side of a face; the model's by default.
    """
    from mien.bars import bar
    from mien.generation.pick import pick as run

    screen = console()
    with bar(screen, "drawing") as progress:
        count = run(source, out, seeds=seeds, trunc=trunc, label=label, size=size, progress=progress)
    screen.print(f"wrote {out}: {count} faces; open it in a browser, choose, and save kept.txt")
