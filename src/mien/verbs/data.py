"""Verbs that make datasets."""

from pathlib import Path
from typing import Literal

from mien.prepare.judge import DEFAULT_MAX_COVERAGE, DEFAULT_MIN_COVERAGE
from mien.verbs._console import console


def render(
    out: Path,
    /,
    *,
    count: int = 1000,
    size: int = 64,
    seed: int = 0,
    pairs: Literal["front-profile", "neutral-smile"] | None = None,
    eyes: bool = False,
) -> None:
    """Render computer-generated heads into a packed dataset, every label known.

    Parameters
    ----------
    out
        The zip to write.
    count
        How many people.
    size
        Pixels along a side, a multiple of 8.
    seed
        Another seed gives other people.
    pairs
        Two pictures of each person: front and profile, or neutral and smiling.
    eyes
        Cut out both eyes of each person instead of the head.
    """
    from mien.apps.bars import bar
    from mien.render.dataset import write_dataset

    screen = console()
    with bar(screen, "rendering") as progress:
        write_dataset(out, count=count, size=size, seed=seed, pairs=pairs, eyes=eyes, progress=progress)
    screen.print(f"wrote {out}")


def prepare(
    source: Path,
    out: Path,
    /,
    *,
    size: int = 64,
    finder: Literal["mesh", "haar"] = "mesh",
    align: Literal["ffhq", "center"] = "ffhq",
    min_coverage: float = DEFAULT_MIN_COVERAGE,
    max_coverage: float = DEFAULT_MAX_COVERAGE,
    min_face: float | None = None,
    workers: int | None = None,
) -> None:
    """Find, align and pack the faces of a heap of photos, with a verdict on every file.

    Parameters
    ----------
    source
        A folder or zip of photos; sub-folders become labels.
    out
        The zip to write; a contact sheet is written beside it.
    size
        Pixels along a side, a power of two.
    finder
        mesh (better, fetched once) or haar (needs no download).
    align
        ffhq (by eyes and mouth) or center (upright square around the face).
    min_coverage
        Smallest share of the picture that the face may cover, 0 to 1.
    max_coverage
        Largest share of the picture that the face may cover, 0 to 1.
    min_face
        Smallest face in pixels.
    workers
        Processes; one a core by default.
    """
    from mien.apps.prepare import prepare as run

    run(
        source,
        out,
        size=size,
        finder=finder,
        align=align,
        min_coverage=min_coverage,
        max_coverage=max_coverage,
        min_face=min_face,
        workers=workers,
        console=console(),
    )
