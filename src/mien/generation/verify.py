"""`mien verify`: read the provenance mark of an image or film."""

from pathlib import Path

from mien.core import provenance
from mien.core.events import Events, job
from mien.core.packaged import name_of_model
from mien.core.provenance import Provenance


@job
def verify(events: Events, file: Path, /) -> Provenance | None:
    """Say what the provenance mark of a picture or film claims: who made it, with which model and seed.

    Returns the mark, None where there is none.

    Parameters
    ----------
    file
        A PNG, JPEG or WebP picture, or an MP4 film.
    """
    mark = provenance.verify(file)
    events.note(f"{file}: no provenance mark" if mark is None else f"{file}: {_claims(mark)}")
    return mark


def _claims(mark: Provenance) -> str:
    packaged = name_of_model(mark.model)
    known = f" ({packaged}, which comes with mien)" if packaged else ""
    seed = "" if mark.seed is None else f", seed {mark.seed}"
    tool = mark.tool or "unknown tool"
    return f"{mark.source_type.value}, by {tool}, model {mark.model or '?'}{known}{seed}"
