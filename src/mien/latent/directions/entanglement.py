"""`mien directions measure`: what each direction does besides, to whom, and how far it can be followed."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat
from scipy.ndimage import gaussian_filter
from torch import Tensor

from mien import TOOL
from mien.core import artefacts
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.packaged import source_of
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.identity import IdentityNetwork
from mien.generation.drawing import Drawing, rgb
from mien.latent.codes import Codes, moved
from mien.latent.directions.direction import Direction, default_path, read_directions
from mien.latent.directions.effects import Bench, selectivity
from mien.latent.layers import layers_text
from mien.latent.readings import READERS, Readers, Readings
from mien.latent.strips import show_moved
from mien.metrics.features.mesh import MeshFeatures
from mien.metrics.kernel import estimate
from mien.reports.page import write_html

AMOUNTS = (1.0, 2.0, 3.0, 4.0, 5.0)
_BLUR = 1.0 / 64  # of the image's side: a blur whose kernel distance is the bound of what passes for good
_FOUND = 0.9  # share of the faces found unmoved that must still be found
_FEWEST_OTHERS = 128  # unmoved samples that spreads and distances are taken from
_FIRST_SEED = 1 << 25  # far from what directions were learnt from
_FACES = 4  # rows of a strip
_STRONG = 1.0  # standard deviations that get the full colour


class Far(BaseModel, frozen=True):
    """How images fare at one amount of a direction.

    found: share in which a face is found. distance: kernel distance from other, unmoved samples, in mesh
    features. drift: mean identity distance from the face itself.
    """

    amount: float
    found: float
    distance: FiniteFloat
    drift: FiniteFloat
    good: bool


class Entangled(BaseModel, frozen=True):
    """One direction.

    effects, errors: standard deviations that one unit adds to each attribute, and their standard errors.
    drift: mean identity distance of faces one unit moved, either way. reach: farthest good amount downwards
    and upwards, of those tried.
    """

    name: str
    effects: dict[str, FiniteFloat]
    errors: dict[str, float | None]
    drift: FiniteFloat
    reach: tuple[float, float]
    far: tuple[Far, ...]

    @property
    def selectivity(self) -> float | None:
        """The own effect over the largest other; None where the own attribute was not read."""
        if self.name not in self.effects:
            return None
        names = list(self.effects)
        return selectivity(np.array([self.effects[name] for name in names]), names.index(self.name))


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
) -> Entanglement:
    """Measure what each direction does besides: other attributes, who the face is, and how far it goes.

    Faces are moved one unit either way and read: effects are in standard deviations over samples. Identity
    drift is the distance in an identity network, .5 being the border to another person. A direction can be
    followed until fewer faces are found, or moved faces lie as far from others as a blur puts them (kernel
    distance of mesh features). Writes entanglement.html and entanglement.json. Raises InputError.

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
    """
    if not 8 <= faces <= 2000:
        raise InputError(f"--faces {faces}: between 8 and 2,000")
    drawing = Drawing.of(source, trunc=trunc, label=label)
    known = read_directions(directions or default_path(source_of(source)), drawing)
    names = [name.strip() for name in only.split(",") if name.strip()] or list(known.names)
    chosen = [known[name] for name in names]
    table = Looks(drawing, faces, Readers.open(reader or READERS)).table(chosen, events)
    write_text(out / "entanglement.json", table.model_dump_json(indent=1) + "\n")
    write_page(out / "entanglement.html", table, drawing, chosen)
    events.send(shown(table))
    for name in ("entanglement.json", "entanglement.html"):
        events.wrote(out / name)
    return table


class Looks:
    """The faces that directions are measured on, and all that looks at them."""

    def __init__(self, drawing: Drawing, faces: int, readers: Readers) -> None:
        for name in (*needed_artefacts("mesh"), "identity"):
            artefacts.obtain(name, announce=lambda line: None)
        self._drawing, self._readers = drawing, readers
        self._codes = Codes.of_seeds(drawing, range(_FIRST_SEED, _FIRST_SEED + faces))
        first = _FIRST_SEED + faces
        others = Codes.of_seeds(drawing, range(first, first + max(faces, _FEWEST_OTHERS)))
        self._images, self._finder = self._codes.draw(drawing), open_finder("mesh")
        self._features, self._identity = MeshFeatures(), IdentityNetwork.load()
        other_images = others.draw(drawing)
        self._others = self._features.features(other_images)
        self._who = self._identity.features(self._images)
        readings = readers.read(torch.cat([self._images, other_images]))
        self.names = varied(readings)
        self._spread = readings.only(self.names).spread()
        self.found = self._share_found(self._images)

    def table(self, directions: Sequence[Direction], events: Events) -> Entanglement:
        tick = events.progress("measuring", unit="directions")
        blur = max(self._drawing.resolution * _BLUR, 0.5)
        bound = self._distance(blurred(self._images, blur))
        rows = []
        for number, direction in enumerate(directions, start=1):
            rows.append(self._row(direction, bound))
            tick(number, len(directions))
        apart = np.linalg.norm(self._who - np.roll(self._who, 1, axis=0), axis=1)
        return Entanglement(
            model=self._drawing.loaded.model,
            faces=len(self._codes),
            attributes=self.names,
            bound=bound,
            blur=blur,
            found=self.found,
            others=float(apart.mean()),
            rows=tuple(rows),
        )

    def _row(self, direction: Direction, bound: float) -> Entangled:
        bench = Bench(self._drawing, self._codes, self._read, self._spread)
        effects = bench.effects(direction.step[None])
        far = tuple(self._far(direction.step, sign * amount, bound) for sign in (-1, 1) for amount in AMOUNTS)
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
        )

    def _read(self, images: Tensor) -> Readings:
        return self._readers.read(images).only(self.names)

    def _far(self, step: Tensor, amount: float, bound: float) -> Far:
        images = moved(self._drawing, self._codes, amount * step).draw(self._drawing)
        share, distance = self._share_found(images), self._distance(images)
        drift = float(np.linalg.norm(self._identity.features(images) - self._who, axis=1).mean())
        good = share >= _FOUND * self.found and distance <= bound
        return Far(amount=amount, found=share, distance=distance, drift=drift, good=good)

    def _distance(self, images: Tensor) -> float:
        return estimate(self._others, self._features.features(images))

    def _share_found(self, images: Tensor) -> float:
        return float(np.mean([bool(self._finder.find(rgb(image), most=1)) for image in images]))


def varied(readings: Readings) -> tuple[str, ...]:
    """The attributes that are not the same in four images of five; others have no spread to speak of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns of which nothing is known
        low, high = np.nanpercentile(readings.values, (10, 90), axis=0)
    return tuple(name for name, a, b in zip(readings.names, low, high, strict=True) if b > a)


def reach(far: Sequence[Far], sign: int) -> float:
    """The farthest amount on one side up to which all that was tried is good; 0 where nothing is."""
    farthest = 0.0
    for one in sorted((one for one in far if one.amount * sign > 0), key=lambda one: abs(one.amount)):
        if not one.good:
            break
        farthest = abs(one.amount)
    return farthest


def blurred(images: Tensor, sigma: float) -> Tensor:
    """uint8 [N, C, H, W] under a Gaussian of `sigma` pixels, mirrored at the edge."""
    radius = max(1, round(3 * sigma))
    floats = images.float().numpy()
    soft = gaussian_filter(floats, sigma, mode="mirror", radius=radius, axes=(2, 3))
    return torch.from_numpy(soft).round().clamp(0, 255).to(torch.uint8)


def shown(table: Entanglement) -> Table:
    """A row for each direction: own effect, the two largest others, drift, reach."""
    columns = (
        Column("direction", wraps=True),
        Column("own", numbers=True),
        Column("others most moved", wraps=True),
        Column("drift", numbers=True),
        Column("reach", numbers=True),
    )
    rows = []
    for row in table.rows:
        own = row.effects.get(row.name)
        others = [one for one in row.effects.items() if one[0] != row.name]
        others.sort(key=lambda one: -abs(one[1]))
        largest_others = ", ".join(f"{name} {value:+.2f}" for name, value in others[:2])
        low, high = row.reach
        own_text = "-" if own is None else f"{own:+.2f}"
        rows.append((row.name, own_text, largest_others, f"{row.drift:.2f}", f"{low:g} to {high:g}"))
    caption = (
        "effects of one unit in standard deviations over samples; drift: identity distance a unit, and two"
        f" different faces are {table.others:.2f} apart"
    )
    return Table(columns, tuple(rows), caption=caption)


def write_page(path: Path, table: Entanglement, drawing: Drawing, directions: Sequence[Direction]) -> None:
    """Write the page, whole or not at all."""
    codes = Codes.of_seeds(drawing, range(_FACES))
    context = {
        "model": table.model,
        "table": table,
        "rows": [_page_row(row, table.attributes) for row in table.rows],
        "strips": [
            (one.name, _about(one, row), show_moved(drawing, codes, one.step, drawing.resolution, one.name))
            for one, row in zip(directions, table.rows, strict=True)
        ],
    }
    write_html(path, "entanglement.html.j2", context)


def _page_row(row: Entangled, attributes: Sequence[str]) -> dict[str, Any]:
    """A row of the table. cells: the number, its standard error, and whether it is to be read as strong."""
    cells = []
    for name in attributes:
        effect, error = row.effects[name], row.errors[name]
        strong = name == row.name or abs(effect) >= _STRONG / 2
        cells.append((f"{effect:+.2f}", "" if error is None else f"± {error:.2f}", strong))
    times = "-" if row.selectivity is None else f"{row.selectivity:.1f}"
    low, high = row.reach
    drift, far = f"{row.drift:.2f}", f"{low:g} to {high:g}"
    return {"name": row.name, "cells": cells, "times": times, "drift": drift, "reach": far}


def _about(direction: Direction, row: Entangled) -> str:
    about = direction.about
    layers = f"layers {layers_text(about.layers)}; " if about.layers else ""
    accuracy = ""
    if about.accuracy is not None:
        accuracy = f"; {about.accuracy.value:.0%} of held-out samples on their side"
    good = f"good from {row.reach[0]:g} to {row.reach[1]:g}"
    return f"{about.method or 'method not known'}; {layers}{good}{accuracy}"
