"""`mien directions learn`: directions of attributes, from samples that somebody or something has labelled."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.attributes.label_files import LabelRows, read_label_file, seed_of
from mien.core.errors import InputError
from mien.core.events import Events, Tick, job
from mien.core.packaged import source_of
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Directions, default_path, table_of
from mien.latent.directions.lesson import Lesson
from mien.latent.readings import READERS, Readers, Readings, check_names

_BATCH = 64
_MOST_SAMPLES = 200_000
_NAMED = 5  # unknown files that a warning names


@job
def learn(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path | None = None,
    attributes: str = "",
    samples: int = 2000,
    reader: tuple[str, ...] = (),
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
) -> Directions:
    """Learn directions in latent space: along each, one attribute of the face changes.

    Samples are drawn and read. A direction is learnt from the ends of an attribute's range (logistic
    regression, linear SVM) or from all samples (ridge), whichever orders other samples best; its accuracy is
    that on samples kept out. Then images are drawn along it: conditional projection, a range of layers and a
    combination of all directions are tried, and the one that moves other attributes least is kept. One unit
    moves the attribute by one standard deviation over the samples. An attribute that cannot be learnt or
    moved is named and left out. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        The file of directions; by default directions.safetensors in the run folder, or beside the file.
    attributes
        Which to learn, like smile,yaw,age; by default all that the readers give.
    samples
        Faces to draw: seeds 0, 1, ... More give better directions.
    reader
        What reads the samples: mesh (pose, mouth, eyes, brows), colours (skin, hair), expressions, age, sex,
        a run that trained --model attributes, or a .csv or .json of labels by seed (or by file, as
        seed0003.png); may be repeated. By default all that come with mien.
    trunc
        Truncation psi from 0 to 1 of the samples.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    """
    if not 100 <= samples <= _MOST_SAMPLES:
        raise InputError(f"--samples {samples}: between 100 and {_MOST_SAMPLES:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label)
    names, files = _split(reader or READERS)
    path = out or default_path(source_of(source))
    wanted = [name.strip() for name in attributes.split(",") if name.strip()]
    rows = _label_rows(files, events)
    readers = Readers.open(names) if names else Readers(())
    check_names(wanted, (*dict.fromkeys(name for row in rows.values() for name in row), *readers.names))
    if wanted and names:
        readers = readers.narrowed(wanted)
    seeds = sorted(rows) if rows else list(range(samples))
    codes = Codes.of_seeds(drawing, seeds)
    readings = _read(drawing, codes, readers, events.progress("drawing and reading")) if names else None
    found = _joined(readings, rows, seeds)
    found = found.only(wanted) if wanted else found
    _say_unread(found, events)
    lesson = Lesson(drawing, codes, found, readers)
    fits = lesson.fits(events)
    directions = Directions(tuple(lesson.directions(fits, events)), codes.space, drawing.loaded.model)
    if not directions.several:
        raise InputError("no attribute could be learnt; see the lines above, and try more --samples")
    directions.save(path)
    events.send(table_of(directions))
    events.wrote(path, f"{len(directions)} directions: {', '.join(directions.names)}")
    return directions


def _split(reader: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Readers by name, and files of labels."""
    files = [Path(name) for name in reader if _holds_labels(Path(name))]
    return [name for name in reader if Path(name) not in files], files


def _holds_labels(path: Path) -> bool:
    """A file of labels, or a folder of .json files that is no run."""
    return path.suffix.lower() in (".csv", ".json") or (
        path.is_dir() and not (path / "config.json").exists() and any(path.glob("*.json"))
    )


def _label_rows(files: Sequence[Path], events: Events) -> dict[int, dict[str, float]]:
    """Labels by seed; what names no seed is named in a warning, and left out."""
    by_seed: dict[int, dict[str, float]] = {}
    for file in files:
        rows: LabelRows = read_label_file(file)
        unknown = [name for name in rows if seed_of(name) is None]
        if unknown:
            named = ", ".join(repr(name[:60]) for name in unknown[:_NAMED])
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            events.warn(f"{file}: left out, for they name no generated face (seed0003.png): {named}{more}")
        for name, row in rows.items():
            if (seed := seed_of(name)) is not None and seed < 2**32:
                by_seed[seed] = by_seed.get(seed, {}) | row
    if files and not by_seed:
        raise InputError(f"{files[0]}: none of its rows names a generated face, by seed or as seed0003.png")
    return by_seed


def _read(drawing: Drawing, codes: Codes, readers: Readers, tick: Tick) -> Readings:
    """The readings of what the latents draw, a batch of images in memory at a time."""
    parts = []
    for start in range(0, len(codes), _BATCH):
        piece = Codes(codes.values[start : start + _BATCH], codes.space, codes.model)
        parts.append(readers.read(piece.draw(drawing)).values)
        tick(min(start + _BATCH, len(codes)), len(codes))
    return Readings(readers.names, np.concatenate(parts))


def _joined(readings: Readings | None, rows: dict[int, dict[str, float]], seeds: Sequence[int]) -> Readings:
    """Labels of files, then what readers read; a label goes before a reading of the same name."""
    names = tuple(dict.fromkeys(name for row in rows.values() for name in row))
    labelled = np.array([[rows.get(seed, {}).get(name, math.nan) for name in names] for seed in seeds])
    labelled = labelled.reshape(len(seeds), len(names))
    yes_no = {n for n, c in zip(names, labelled.T, strict=True) if set(c[np.isfinite(c)]) <= {0.0, 1.0}}
    if readings is None:
        return Readings(names, labelled, frozenset(yes_no))
    others = [name for name in readings.names if name not in names]
    values = np.concatenate([labelled, readings.only(others).values], axis=1)
    return Readings((*names, *others), values, frozenset(yes_no))


def _say_unread(found: Readings, events: Events) -> None:
    unread = int((~np.isfinite(found.values).any(axis=1)).sum())
    partly = int((~np.isfinite(found.values)).any(axis=1).sum()) - unread
    if unread or partly:
        events.note(
            f"of {len(found.values):,} samples {unread:,} could not be read at all, {partly:,} in part"
            " (no face was found in them)"
        )
