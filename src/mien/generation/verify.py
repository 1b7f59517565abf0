"""`mien verify`: read the provenance mark of an image or film."""

from pathlib import Path

from mien.core import provenance
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.packaged import name_of_model
from mien.core.picture import photo_paths
from mien.core.provenance import Provenance


@job
def verify(events: Events, files: tuple[Path, ...], /) -> dict[Path, Provenance | None]:
    """Say what the provenance marks of pictures and films claim: who made them, with which model and seed.

    Returns each file's mark, None where there is none. A file that cannot be read costs itself alone. Raises
    InputError where none can.

    Parameters
    ----------
    files
        PNG, JPEG or WebP pictures, MP4 films, or folders of pictures.
    """
    marks: dict[Path, Provenance | None] = {}
    problems = []
    for path in photo_paths(files):
        try:
            marks[path] = mark = provenance.verify(path)
        except InputError as error:
            problems.append(str(error))
            continue
        events.note(f"{path}: no provenance mark" if mark is None else f"{path}: {_claims(mark)}")
    if not marks:
        raise InputError("; ".join(problems))
    for problem in problems:
        events.warn(problem)
    if len(marks) > 1:
        events.note(f"{sum(mark is not None for mark in marks.values()):,} of {len(marks):,} carry a mark")
    return marks


def _claims(mark: Provenance) -> str:
    packaged = name_of_model(mark.model)
    known = f" ({packaged}, which comes with mien)" if packaged else ""
    seed = "" if mark.seed is None else f", seed {mark.seed}"
    tool = mark.tool or "unknown tool"
    return f"{mark.source_type.value}, by {tool}, model {mark.model or '?'}{known}{seed}"
