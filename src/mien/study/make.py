"""Making a study: a design and its pictures go into a database.

Real and fake pictures must differ in nothing but their content: all are decoded, cut to their middle square,
brought to one size by the same filter and encoded by the same encoder. No mark of provenance survives, since
raters could read it.
"""

import io
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from sqlalchemy import Connection, insert
from sqlalchemy.exc import SQLAlchemyError

from mien.core.atomic import write_text
from mien.core.errors import InputError, MienError
from mien.core.events import Events, Tick
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, Pixels, decode
from mien.study.design import Design, PictureSet, Prefer, read_design
from mien.study.plan import pairs_available, pictures_needed, practice_sets
from mien.study.store import FORMAT, Store, now, pictures, studies, tables

MASKS = 8
MASK_SET = "(mask)"
MEDIA_TYPE = "image/webp"
_LARGEST_SIDE = 512
_TILES = 16  # a mask is cut into that many columns and rows


class Stimulus(NamedTuple):
    """A picture as raters get it. name: random. source: where it was found, for the results alone."""

    name: str
    set: str
    source: str
    data: bytes


class Prepared(NamedTuple):
    """stimuli: masks too. side: pixels of each. sides: smallest and largest of each set before.

    problems: inputs that gave no picture.
    """

    stimuli: list[Stimulus]
    side: int
    sides: dict[str, tuple[int, int]]
    problems: list[str]


def prepare(design: Design, progress: Tick) -> Prepared:
    """Read the sets of `design` and make their pictures alike. Raises InputError where a set has none."""
    problems: list[str] = []
    squares: list[tuple[PictureSet, str, Pixels]] = []
    for index, one in enumerate(design.sets):
        rng = np.random.default_rng((design.seed, index))
        readable = [(one, source, pixels) for source, pixels in _read(one, rng, problems)]
        if not readable:
            raise InputError(f"{one.path}: no picture of set {one.name!r} can be read")
        squares += readable
        progress(index + 1, len(design.sets))
    sides = {
        name: (min(group), max(group))
        for name in (one.name for one in design.sets)
        if (group := [len(pixels) for one, _, pixels in squares if one.name == name])
    }
    side = design.side or min(min(low for low, _ in sides.values()), _LARGEST_SIDE)
    images = (Image.fromarray(np.ascontiguousarray(pixels)) for _, _, pixels in squares)
    resized = [np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)) for image in images]
    stimuli = [
        Stimulus(secrets.token_hex(12), one.name, source, _encode(pixels))
        for (one, source, _), pixels in zip(squares, resized, strict=True)
    ]
    rng = np.random.default_rng((design.seed, 1 << 20))
    scrambled = [_scrambled(resized, rng) for _ in range(MASKS)]
    masks = [Stimulus(secrets.token_hex(12), MASK_SET, "", _encode(mask)) for mask in scrambled]
    return Prepared(stimuli + masks, side, sides, problems)


def _read(one: PictureSet, rng: np.random.Generator, problems: list[str]) -> list[tuple[str, Pixels]]:
    """Names and middle squares of at most `count` pictures, chosen at random."""
    reader = PackReader(one.path)
    needed = one.count or len(reader)
    squares: list[tuple[str, Pixels]] = []
    for index in rng.permutation(len(reader)):
        if len(squares) == needed:
            break
        name = reader.names[index]
        try:
            pixels = decode(reader.read(int(index)), where=f"{one.path}: {name}").pixels
        except (BadPicture, InputError) as error:
            problems.append(str(error))
            continue
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        squares.append((name, pixels[top : top + side, left : left + side]))
    return squares


def _encode(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=92, method=4)
    return buffer.getvalue()


def _scrambled(pictures: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """A picture whose tiles come from random places of random pictures of all sets."""
    side = len(pictures[0])
    tile = max(1, side // _TILES)
    mask = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, tile):
        for left in range(0, side, tile):
            height, width = min(tile, side - top), min(tile, side - left)
            y, x = rng.integers(side - height + 1), rng.integers(side - width + 1)
            source = pictures[int(rng.integers(len(pictures)))]
            mask[top : top + height, left : left + width] = source[y : y + height, x : x + width]
    return mask


def make_study(events: Events, path: Path, place: str) -> None:
    """Make a study of the design at `path` in a database. Raises InputError."""
    design = read_design(path)
    prepared = prepare(design, events.progress("reading pictures", "sets"))
    for problem in prepared.problems:
        events.warn(f"left out: {problem}")
    _warn_of_sizes(events, prepared)
    _check_counts(design, prepared)
    _fill(Store(place), design, prepared)
    shown = sum(one.set != MASK_SET for one in prepared.stimuli)
    if design.has_ended():
        events.warn(f"closes: {design.closes} is past, so nobody can take part")
    events.note(f"{shown} pictures of {prepared.side}x{prepared.side} pixels in {len(design.sets)} sets")


def write_example(events: Events, path: Path, kind: str) -> None:
    """Write a commented example of a design. Raises InputError where there is a file."""
    from mien.reports.page import render  # seconds that a study itself need not wait

    if path.exists():
        raise InputError(f"{path}: exists; an example would replace it")
    write_text(path, render("study_example.toml.j2", {"kind": kind}))
    events.wrote(path, f"an example of {kind}; change it, then: mien study new {path}")


def _warn_of_sizes(events: Events, prepared: Prepared) -> None:
    """Pictures that were shrunk look sharper than others; that alone would tell sets apart."""
    sides = prepared.sides
    smallest = min(low for low, _ in sides.values())
    if len(set(sides.values())) > 1:
        each = ", ".join(
            f"{name} {low}" if low == high else f"{name} {low} to {high}"
            for name, (low, high) in sides.items()
        )
        events.warn(
            f"the sets differ in size (sides in pixels: {each}); all become {prepared.side}, but sharpness"
            " may tell them apart: better make them alike first"
        )
    if prepared.side > smallest:
        events.warn(f"side = {prepared.side} enlarges pictures of {smallest} pixels, which look blurred then")


def _check_counts(design: Design, prepared: Prepared) -> None:
    """Raise InputError, naming every set that has too few pictures, and how many it needs."""
    counts = {one.name: sum(stimulus.set == one.name for stimulus in prepared.stimuli) for one in design.sets}
    needed = pictures_needed(design)
    short = [f"{name} has {counts[name]} of {need}" for name, need in needed.items() if counts[name] < need]
    if short:
        raise InputError(
            f"too few pictures: {', '.join(short)}; no participant sees one twice, and those for practice"
            " are kept apart. Add pictures, or lower trials or practice"
        )
    task = design.task
    if isinstance(task, Prefer) and task.compare == "pictures":
        width = sum(len(trial) for trial in practice_sets(design))
        pairs = pairs_available(sum(counts.values()) - width)
        if pairs < task.trials:
            raise InputError(f"too few pictures: they make {pairs} pairs, and {task.trials} trials are asked")


def _fill(store: Store, design: Design, prepared: Prepared) -> None:
    """Write the study in one transaction."""
    if store.holds_study():
        raise InputError(f"{store.name}: holds a study already; choose another --db")
    study = {
        "format": FORMAT,
        "design": design.model_dump_json(),
        "key": secrets.token_hex(32),
        "secret": secrets.token_urlsafe(24),
        "side": prepared.side,
        "created_at": now(),
        "enrolled": 0,
    }

    def create(connection: Connection) -> None:
        tables.create_all(connection)
        connection.execute(insert(studies), study)
        connection.execute(insert(pictures), _rows(design, prepared.stimuli))

    try:
        store.write(create)
    except (SQLAlchemyError, OSError) as error:
        raise MienError(f"{store.name}: cannot be written ({str(error).splitlines()[0]})") from error
    finally:
        store.close()


def _rows(design: Design, stimuli: list[Stimulus]) -> list[dict[str, Any]]:
    """Rows in random order, so that ids say nothing; the first of each set are for practice."""
    practice = {one.name: 0 for one in design.sets}
    for trial in practice_sets(design):
        for name in trial:
            practice[name] += 1
    rows: list[dict[str, Any]] = []
    for index in np.random.default_rng(design.seed).permutation(len(stimuli)):
        one = stimuli[index]
        role = "mask" if one.set == MASK_SET else "main"
        if practice.get(one.set, 0) > 0:
            practice[one.set] -= 1
            role = "practice"
        rows.append(
            {"name": one.name, "set": one.set, "role": role, "source": one.source, "planned": 0}
            | {"data": one.data}
        )
    return rows
