"""Verbs that make datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token

from mien.prepare.judge import Rules
from mien.verbs._console import console

_RULES = Rules()


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
    from mien.bars import bar
    from mien.render.dataset import write_dataset

    screen = console()
    with bar(screen, "rendering") as progress:
        write_dataset(out, count=count, size=size, seed=seed, pairs=pairs, eyes=eyes, progress=progress)
    screen.print(f"wrote {out}")


def _sizes(_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    """`64,128,256` as numbers."""
    return tuple(int(part) for part in tokens[0].value.split(","))


def prepare(
    source: str,
    out: Path,
    /,
    *,
    size: Annotated[tuple[int, ...] | None, Parameter(converter=_sizes, n_tokens=1, negative="")] = None,
    layout: Literal["ffhq", "center", "wild", "eyes"] | None = None,
    rules: Annotated[Rules, Parameter(name="*")] = _RULES,
    where: str | None = None,
    duplicates: int | None = None,
    duplicates_by: Literal["hash", "identity"] = "hash",
    keep_duplicates: Annotated[bool, Parameter(negative="")] = False,
    guess_person: Annotated[bool, Parameter(negative="")] = False,
    finder: Literal["mesh", "haar"] = "mesh",
    workers: int | None = None,
    keep_work: bool = True,
) -> None:
    """Find, cut, measure, judge and pack the faces of a heap of photos, with a verdict on every file.

    Run it again with other rules: what was found is known, and only the choice is made anew. A run that was
    killed goes on. A zip that was prepared before can be the source: its faces are judged again and copied.

    Parameters
    ----------
    source
        A folder or zip of photos; sub-folders become labels. Or a prepared zip, or a layout: celeba:FOLDER.
    out
        The zip to write; a contact sheet and a report page are written beside it.
    size
        Pixels along a side, a power of two (64 unless given); several with commas give a zip each.
    layout
        ffhq (level, by eyes and mouth), center (upright around the face), wild (as much of the picture as a
        square holds) or eyes (a picture of each eye); ffhq unless given.
    where
        A condition on what was measured and on labels: 'abs(yaw) < 15 and sharpness > 0.3'.
    duplicates
        How alike near-duplicates are: bits of 768 in which their hashes may differ.
    duplicates_by
        hash (the same picture, again) or identity: keep one picture, the sharpest, of every person.
    keep_duplicates
        Keep near-duplicates instead of the sharpest of them.
    guess_person
        Write who a face recognition network takes each face for as `person`, so that no split parts anybody.
    finder
        mesh (better, fetched once) or haar (needs no download, measures no pose, eyes or mouth).
    workers
        Processes; one a core by default.
    keep_work
        Leave OUT.work beside the zip, for other rules later.
    """
    from mien.prepare.prepare import prepare as run

    run(
        source,
        out,
        size=size,
        layout=layout,
        finder=finder,
        rules=rules,
        where=where,
        duplicates=duplicates,
        duplicates_by=duplicates_by,
        keep_duplicates=keep_duplicates,
        guess_person=guess_person,
        workers=workers,
        keep_work=keep_work,
        console=console(),
    )
