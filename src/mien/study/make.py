"""Making a study: a design and its pictures go into a database."""

import secrets
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert
from sqlalchemy.exc import SQLAlchemyError

from mien.core.atomic import write_text
from mien.core.errors import InputError, MienError
from mien.core.events import Events
from mien.study.design import Design, Prefer, read_design
from mien.study.pictures import MASK_SET, Prepared, Stimulus, prepare
from mien.study.plan import pairs_available, pictures_needed, practice_sets
from mien.study.store import FORMAT, Store, now, pictures, studies, tables


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
