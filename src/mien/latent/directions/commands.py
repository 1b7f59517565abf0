"""`mien directions list`, `show`, `import`, `export`: what a file of directions holds, to and from others."""

from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.packaged import source_of
from mien.generation.drawing import Drawing
from mien.latent.codes import shape_of, space_of
from mien.latent.directions.direction import (
    Directions,
    default_path,
    export_direction,
    import_direction,
    path_for,
    read_directions,
    table_of,
)
from mien.latent.layers import layers_text

_WORTH_SHOWING = 0.05  # standard deviations a unit


@job
def list_directions(events: Events, source: Path | None = None, /) -> tuple[str, ...]:
    """List the directions of a generator, with their accuracy and what else they move.

    Parameters
    ----------
    source
        A file of directions, a run folder, or a generator's file; the model that comes with mien by default.
    """
    directions = Directions.read(_file_of(source))
    events.note(
        f"{len(directions)} directions in {directions.space} of {directions.model or 'any generator'}"
    )
    events.send(table_of(directions))
    return directions.names


@job
def show_direction(events: Events, source: Path, name: str | None = None, /) -> dict[str, float]:
    """Say all that is known of a direction: how it was found, how far a unit goes, what it moves.

    Parameters
    ----------
    source
        A file of directions, a run folder, or a generator's file; left out, the model that comes with mien.
    name
        The direction.
    """
    place, wanted = (None, str(source)) if name is None else (source, name)
    about = Directions.read(_file_of(place))[wanted].about
    events.note(f"{about.name}: {about.method or 'no method known'}; from {about.source or 'nowhere known'}")
    events.note(
        f"one unit: {about.unit:.4g} along the unit vector, on layers {layers_text(about.layers) or '-'}"
    )
    if (accuracy := about.accuracy) is not None:
        events.note(
            f"accuracy on {accuracy.count} held-out samples: {accuracy.value:.3f}"
            f" ({accuracy.low:.3f}-{accuracy.high:.3f})"
        )
    if about.reach is not None:
        events.note(f"faces stay whole from {about.reach_text} units")
    if about.held:
        events.note(f"held still: {', '.join(about.held)}")
    moved = sorted(about.effects.items(), key=lambda one: -abs(one[1]))
    rows = tuple((other, f"{value:+.2f}") for other, value in moved if abs(value) >= _WORTH_SHOWING)
    if rows:
        columns = (Column("attribute"), Column("standard deviations a unit", numbers=True))
        events.send(Table(columns, rows, title="What it moves"))
    return about.effects


@job
def import_(
    events: Events,
    files: tuple[Path, ...],
    /,
    *,
    run: Path | None = None,
    out: Path | None = None,
    name: str | None = None,
) -> tuple[str, ...]:
    """Take directions of others: .npy of shape (1, dim) or (num_ws, dim); they join those that are there.

    One unit adds what the file holds. A file that does not fit is named and the others are taken; where none
    fits, it is an error.

    Parameters
    ----------
    files
        The .npy files.
    run
        The generator: a run folder or .safetensors file; the model that comes with mien by default.
    out
        The file of directions; by default that in the run folder, or beside the generator's file; of the
        model that comes with mien, in the folder that one is in.
    name
        The direction's name, for a single file; by default the file's.
    """
    if name is not None and len(files) != 1:
        raise InputError("--name is for a single file")
    drawing = Drawing.of(run, trunc=1.0, label=())
    path = out or path_for(source_of(run))
    imported, problems = [], []
    for file in files:
        try:
            imported.append(import_direction(file, name or file.stem, shape_of(drawing)))
        except InputError as error:
            problems.append(str(error))
    if not imported:
        raise InputError("; ".join(problems) or "no file was given")
    for problem in problems:
        events.warn(f"left out: {problem}")
    nothing = Directions((), space_of(drawing), drawing.loaded.model)
    known = read_directions(path, drawing) if path.exists() else nothing
    joined = known.joined(imported)
    joined.save(path)
    events.wrote(path, f"{len(joined)} directions; new: {', '.join(one.name for one in imported)}")
    return joined.names


@job
def export(events: Events, source: Path | None = None, /, *, name: str, out: Path) -> tuple[int, ...]:
    """Write a direction for other programs: its unit vector, float32, as .npy.

    Shape (1, dim) where it moves all layers alike, else (num_ws, dim) with zeros where it moves nothing.

    Parameters
    ----------
    source
        A file of directions, a run folder, or a generator's file; the model that comes with mien by default.
    name
        The direction.
    out
        The .npy file.
    """
    if out.suffix.lower() != ".npy":
        raise InputError(f"{out}: directions are written as .npy")
    direction = Directions.read(_file_of(source))[name]
    shape = export_direction(out, direction)
    events.wrote(out, f"shape {shape}; its usual step here is {direction.about.unit:.4g}")
    return shape


def _file_of(source: Path | None) -> Path:
    """The file of directions that is meant: itself, or the one of a run or generator."""
    if source is not None and source.is_file() and "directions" in source.name:
        return source
    path = default_path(source_of(source))
    if source is not None and source.is_file() and not path.exists():
        return source  # a file of directions by another name; reading it says what it is
    if not path.exists():
        raise InputError(f"{path}: there are no directions yet; mien directions learn makes them")
    return path
