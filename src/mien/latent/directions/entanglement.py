"""`mien directions measure`: what each direction does besides, to whom, and how far it can be followed."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat
from torch import Tensor

from mien import TOOL
from mien.core import artefacts
from mien.core.atomic import write_text
from mien.core.errors import InputError, want_folder
from mien.core.events import Column, Events, Table, job
from mien.core.packaged import source_of
from mien.faces.identity import IdentityNetwork
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Direction, default_path, path_for, read_directions
from mien.latent.directions.effects import Bench, selectivity
from mien.latent.directions.reach import AMOUNTS, Fare, Quality, farthest
from mien.latent.layers import layers_text
from mien.latent.readings import READERS, Readers, Readings
from mien.latent.strips import show_moved
from mien.reports.page import write_html
from mien.training.settings import pick_device

_FIRST_SEED = 1 << 25  # far from what directions were learnt from
_FACES = 4  # rows of a strip
_SEX = "female"  # the attribute that says it
_STRONG = 1.0  # standard deviations that get the full colour


class Far(Fare, frozen=True):
    """How images fare at one amount of a direction.

    drift: mean identity distance from the face itself. other_sex: share of the faces that look the other sex
    than unmoved; None where that was not read.
    """

    amount: float
    drift: FiniteFloat
    other_sex: float | None = None


class Entangled(BaseModel, frozen=True):
    """One direction.

    effects, errors: standard deviations that one unit adds to each attribute, and their standard errors.
    held: the attributes that were to stay when it was learnt.
    drift: mean identity distance of faces one unit moved, either way. reach: farthest good amount downwards
    and upwards, of those tried.
    """

    name: str
    effects: dict[str, FiniteFloat]
    errors: dict[str, float | None]
    drift: FiniteFloat
    reach: tuple[float, float]
    far: tuple[Far, ...]
    held: tuple[str, ...] = ()

    @property
    def selectivity(self) -> float | None:
        """The own effect over the largest other; None where the own attribute was not read."""
        if self.name not in self.effects:
            return None
        names = list(self.effects)
        return selectivity(np.array([self.effects[name] for name in names]), names.index(self.name))

    @property
    def reach_text(self) -> str:
        return f"{self.reach[0]:g} to {self.reach[1]:g}"

    @property
    def other_sex(self) -> str:
        """The shares of faces that look the other sex at both ends of its reach, one unit at least."""
        share_of = {one.amount: one.other_sex for one in self.far}
        low, high = self.reach
        ends = (share_of.get(min(low, -AMOUNTS[0])), share_of.get(max(high, AMOUNTS[0])))
        return ", ".join("-" if share is None else f"{share:.0%}" for share in ends)


class Entanglement(BaseModel, frozen=True, protected_namespaces=()):
    """All directions of one generator, measured on the same faces.

    bound: kernel distance that counts as spoiled: that of the same faces, unmoved, blurred by `blur` px.
    found: share of unmoved faces that are found. others: mean identity distance of two different faces.
    """

    model: str
    faces: int
    attributes: tuple[str, ...]
    bound: FiniteFloat
    blur: float
    found: float
    others: FiniteFloat
    rows: tuple[Entangled, ...]
    tool: str = TOOL


@job
def measure(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    directions: Path | None = None,
    only: str = "",
    faces: int = 64,
    reader: tuple[str, ...] = (),
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    device: str = "auto",
) -> Entanglement:
    """Measure what each direction does besides: other attributes, who the face is, and how far it goes.

    Faces are moved one unit either way and read: effects are in standard deviations over samples. Identity
    drift is the distance in an identity network, .5 being the border to another person. How many faces look
    the other sex at the ends is counted, where that is read. A direction can be followed until fewer faces
    are found, or moved faces lie as far from others as a blur puts them (kernel distance of mesh features).
    Writes entanglement.html and entanglement.json, and into the file of directions how far each goes, which
    `edit` says and its page shows. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        Folder for the page and the JSON.
    directions
        A file from `mien directions`; by default the one in the run folder, or beside the generator's file.
    only
        Directions to measure, like smile,yaw; all by default.
    faces
        How many faces are moved.
    reader
        What reads attributes, as for `mien directions learn`, but for files of labels.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    """
    want_folder(out)
    if not 8 <= faces <= 2000:
        raise InputError(f"--faces {faces}: between 8 and 2,000")
    drawing = Drawing.of(source, trunc=trunc, label=label, device=pick_device(device))
    path = directions or default_path(source_of(source))
    known = read_directions(path, drawing)
    names = [name.strip() for name in only.split(",") if name.strip()] or list(known.names)
    chosen = [known[name] for name in names]
    table = Looks(drawing, faces, Readers.open(reader or READERS)).table(chosen, events)
    write_text(out / "entanglement.json", table.model_dump_json(indent=1) + "\n")
    write_page(out / "entanglement.html", table, drawing, chosen)
    events.send(shown(table))
    for name in ("entanglement.json", "entanglement.html"):
        events.wrote(out / name)
    if path != path_for(source_of(source)) and directions is None:
        return table  # those that come with mien stay as they are
    reach_of = {row.name: row.reach for row in table.rows}
    known.joined(one.reaching(reach_of[one.name]) for one in chosen).save(path)
    events.wrote(path, "how far they go")
    return table


class Looks:
    """The faces that directions are measured on, and all that looks at them."""

    def __init__(self, drawing: Drawing, faces: int, readers: Readers) -> None:
        artefacts.obtain("identity", announce=lambda line: None)
        self._drawing, self._readers = drawing, readers
        self._quality = Quality(drawing, _FIRST_SEED, faces)
        self._identity = IdentityNetwork.load()
        self._who = self._identity.features(self._quality.images)
        readings = readers.read(torch.cat([self._quality.images, self._quality.other_images]))
        self.names = varied(readings)
        self._spread = readings.only(self.names).spread()
        self._sex = readers.narrowed([_SEX]) if _SEX in readers.names else None
        self._women = self._look_female(self._quality.images)
        self.found = self._quality.found

    def table(self, directions: Sequence[Direction], events: Events) -> Entanglement:
        tick = events.progress("measuring", unit="directions")
        rows = []
        for number, direction in enumerate(directions, start=1):
            rows.append(self._row(direction))
            tick(number, len(directions))
        apart = np.linalg.norm(self._who - np.roll(self._who, 1, axis=0), axis=1)
        return Entanglement(
            model=self._drawing.loaded.model,
            faces=len(self._quality.codes),
            attributes=self.names,
            bound=self._quality.bound,
            blur=self._quality.blur,
            found=self.found,
            others=float(apart.mean()),
            rows=tuple(rows),
        )

    def _row(self, direction: Direction) -> Entangled:
        bench = Bench(self._drawing, self._quality.codes, self._read, self._spread)
        effects = bench.effects(direction.step[None])
        far = tuple(self._far(direction.step, sign * amount) for sign in (-1, 1) for amount in AMOUNTS)
        means = np.where(np.isfinite(effects.error[0]), effects.mean[0], 0.0)
        return Entangled(
            name=direction.name,
            effects=dict(zip(self.names, means.round(4).tolist(), strict=True)),
            errors={
                name: float(error) if np.isfinite(error) else None
                for name, error in zip(self.names, effects.error[0], strict=True)
            },
            drift=float(np.mean([one.drift for one in far if abs(one.amount) == AMOUNTS[0]])),
            reach=(-reach(far, -1), reach(far, 1)),
            far=tuple(sorted(far, key=lambda one: one.amount)),
            held=direction.about.held,
        )

    def _read(self, images: Tensor) -> Readings:
        return self._readers.read(images).only(self.names)

    def _far(self, step: Tensor, amount: float) -> Far:
        images = self._quality.moved(amount * step)
        drift = float(np.linalg.norm(self._identity.features(images) - self._who, axis=1).mean())
        women = self._look_female(images)
        turned = None if women is None else float((women != self._women).mean())
        return Far(amount=amount, drift=drift, other_sex=turned, **self._quality.of(images).model_dump())

    def _look_female(self, images: Tensor) -> np.ndarray | None:
        return None if self._sex is None else self._sex.read(images).column(_SEX) > 0


def varied(readings: Readings) -> tuple[str, ...]:
    """The attributes that are not the same in four images of five; others have no spread to speak of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns of which nothing is known
        low, high = np.nanpercentile(readings.values, (10, 90), axis=0)
    return tuple(name for name, a, b in zip(readings.names, low, high, strict=True) if b > a)


def reach(far: Sequence[Far], sign: int) -> float:
    """The farthest amount on one side up to which all that was tried is good; 0 where nothing is."""
    one_side = sorted((abs(one.amount), one.good) for one in far if one.amount * sign > 0)
    return farthest(one_side)


def shown(table: Entanglement) -> Table:
    """A row for each direction: own effect, the two largest others, drift, reach."""
    columns = (
        Column("direction", wraps=True),
        Column("own", numbers=True),
        Column("others most moved", wraps=True),
        Column("drift", numbers=True),
        Column("reach", numbers=True),
        Column("other sex", numbers=True),
    )
    rows = []
    for row in table.rows:
        own = row.effects.get(row.name)
        others = [one for one in row.effects.items() if one[0] != row.name]
        others.sort(key=lambda one: -abs(one[1]))
        largest_others = ", ".join(f"{name} {value:+.2f}" for name, value in others[:2])
        own_text = "-" if own is None else f"{own:+.2f}"
        rows.append((row.name, own_text, largest_others, f"{row.drift:.2f}", row.reach_text, row.other_sex))
    caption = (
        "effects of one unit in standard deviations over samples; drift: identity distance a unit, and two"
        f" different faces are {table.others:.2f} apart; other sex: share of faces that look it at the ends"
    )
    return Table(columns, tuple(rows), caption=caption)


def write_page(path: Path, table: Entanglement, drawing: Drawing, directions: Sequence[Direction]) -> None:
    """Write the page, whole or not at all."""
    codes = Codes.of_seeds(drawing, range(_FACES))
    side = drawing.resolution
    held = {name for row in table.rows for name in (row.name, *row.held)}
    attributes = sorted(table.attributes, key=lambda name: name not in held)
    context = {
        "model": table.model,
        "table": table,
        "attributes": attributes,
        "rows": [_page_row(row, attributes) for row in table.rows],
        "strips": [
            (one.name, _about(one, row), show_moved(drawing, codes, one.step, side, one.name, row.reach))
            for one, row in zip(directions, table.rows, strict=True)
        ],
    }
    write_html(path, "entanglement.html.j2", context)


def _page_row(row: Entangled, attributes: Sequence[str]) -> dict[str, Any]:
    """A row of the table. cells: the number, its error and whether it was held, is it strong."""
    cells = []
    for name in attributes:
        effect, error = row.effects[name], row.errors[name]
        strong = name == row.name or abs(effect) >= _STRONG / 2
        notes = ["" if error is None else f"± {error:.2f}", "held" if name in row.held else ""]
        cells.append((f"{effect:+.2f}", ", ".join(filter(None, notes)), strong))
    times = "-" if row.selectivity is None else f"{row.selectivity:.1f}"
    moved = {"drift": f"{row.drift:.2f}", "reach": row.reach_text, "other_sex": row.other_sex}
    return {"name": row.name, "cells": cells, "times": times, **moved}


def _about(direction: Direction, row: Entangled) -> str:
    about = direction.about
    layers = f"layers {layers_text(about.layers)}; " if about.layers else ""
    right = f"; {about.accuracy.value:.0%} of held-out samples on their side" if about.accuracy else ""
    return f"{about.method or 'method not known'}; {layers}good from {row.reach_text}{right}"
