"""Directions in latent space, along each of which one attribute of the face changes, and their files."""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, FiniteFloat, ValidationError
from torch import Tensor

from mien import TOOL
from mien.core import packaged
from mien.core.atomic import write_bytes
from mien.core.errors import InputError, first_problem
from mien.core.events import Column, Table
from mien.generation.drawing import Drawing
from mien.latent.codes import Space, shape_of, space_of
from mien.latent.layers import layers_text

SUFFIX = ".directions.safetensors"
_KEY = "mien"
_MOST_BYTES = 256 << 20
_LONGEST_NAME = 100


class Accuracy(BaseModel, frozen=True):
    """The share of held-out samples on their own side of the boundary, with its 95 % interval (Wilson).

    count: of those samples, equally many of either side.
    """

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    count: int


class About(BaseModel, frozen=True):
    """What is known of a direction.

    unit: how far one unit goes along the unit vector; where `effects` were measured, this moves the
    attribute by one standard deviation. layers: the rows that it moves; () in z. method: how it was found.
    effects: attribute -> standard deviations that one unit moves it. score: for a component that was found
    without labels, its share of what was looked at. reach: the farthest amounts, downwards and upwards, at
    which faces are still whole; None where that was not measured.
    """

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    unit: float = Field(gt=0, allow_inf_nan=False)
    layers: tuple[int, ...] = ()
    method: str = ""
    source: str = ""
    accuracy: Accuracy | None = None
    effects: dict[str, FiniteFloat] = {}
    score: FiniteFloat | None = None
    reach: tuple[FiniteFloat, FiniteFloat] | None = None

    @property
    def held(self) -> tuple[str, ...]:
        """The other attributes whose effects were measured as it was learnt, and made small."""
        return tuple(name for name in self.effects if name != self.name)

    def beyond(self, amount: float) -> bool:
        """Whether an amount goes farther than faces stay whole, as far as is known."""
        return self.reach is not None and not self.reach[0] <= amount <= self.reach[1]

    @property
    def reach_text(self) -> str:
        """As "-2 to 3"; "-" where it is not known."""
        return "-" if self.reach is None else f"{self.reach[0]:g} to {self.reach[1]:g}"

    @property
    def selectivity(self) -> float | None:
        """How many times the largest effect on another attribute the own effect is; None if not measured."""
        others = [abs(value) for name, value in self.effects.items() if name != self.name]
        if self.name not in self.effects or not others:
            return None
        return self.effects[self.name] / max(max(others), 1e-9)


class _Header(BaseModel):
    format: Literal[1] = 1
    model: str = ""
    space: Space
    tool: str = TOOL
    directions: tuple[About, ...]


@dataclass(frozen=True)
class Direction:
    """vector: float32, shaped like one latent ([num_ws, w_dim] or [z_dim]); its longest row has length 1."""

    vector: Tensor
    about: About

    @classmethod
    def of(cls, step: Tensor, name: str, **about: Any) -> Self:
        """The direction whose unit is `step` (not zero), shaped like one latent."""
        rows = step.float().reshape(-1, step.shape[-1])
        lengths = rows.norm(dim=1)
        unit = float(lengths.max())
        if not math.isfinite(unit) or unit <= 0:
            raise InputError(f"direction {name[:40]!r}: its numbers are all zero or not finite")
        layers = tuple(torch.nonzero(lengths > 0).flatten().tolist()) if step.ndim == 2 else ()
        try:
            known = About(name=name, unit=unit, layers=layers, **about)
        except ValidationError as error:
            raise InputError(f"direction {name[:40]!r}: {first_problem(error).reason}") from error
        return cls((step / unit).float().contiguous(), known)

    def reaching(self, reach: tuple[float, float] | None) -> "Direction":
        """The same with how far it goes."""
        return replace(self, about=self.about.model_copy(update={"reach": reach}))

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def step(self) -> Tensor:
        """What one unit adds to a latent."""
        return self.vector * self.about.unit


@dataclass(frozen=True)
class Directions:
    """Directions of one generator. model: its id, "" where not known. space: "w" or "z"."""

    several: tuple[Direction, ...]
    space: Space
    model: str = ""

    def __iter__(self) -> Any:
        return iter(self.several)

    def __len__(self) -> int:
        return len(self.several)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(direction.name for direction in self.several)

    def __getitem__(self, name: str) -> Direction:
        """The direction of this name. Raises InputError naming those that there are."""
        for direction in self.several:
            if direction.name == name:
                return direction
        raise InputError(f"there is no direction {name[:40]!r}; there are: {', '.join(self.names) or 'none'}")

    def joined(self, others: Iterable[Direction]) -> "Directions":
        """These and `others`; of two with one name the later stays."""
        by_name = {direction.name: direction for direction in (*self.several, *others)}
        return Directions(tuple(by_name.values()), self.space, self.model)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all; the same directions give the same bytes."""
        abouts = tuple(direction.about for direction in self.several)
        header = _Header(model=self.model, space=self.space, directions=abouts)
        tensors = {f"{index:04d}": d.vector.clone() for index, d in enumerate(self.several)}
        envelope = {"directions": header.model_dump(mode="json"), "sha256": _digest(tensors)}
        text = json.dumps(envelope, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_bytes(path, safetensors.torch.save(tensors, {_KEY: text}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of ours. Raises InputError where there is none, or it is damaged or not one of ours."""
        data = _bytes(path)
        try:
            text = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][_KEY]
            envelope = json.loads(text)
            header = _Header.model_validate(envelope["directions"])
            tensors: dict[str, Tensor] = safetensors.torch.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{path}: no file of directions, or damaged; mien directions learn writes one"
            ) from error
        vectors = [tensors.get(f"{index:04d}") for index in range(len(header.directions))]
        if _digest(tensors) != envelope.get("sha256") or any(vector is None for vector in vectors):
            raise InputError(f"{path}: damaged, its directions are not those that were saved")
        several = [
            Direction(v, about) for v, about in zip(vectors, header.directions, strict=True) if v is not None
        ]
        return cls(tuple(several), header.space, header.model)

    def check(self, drawing: Drawing, path: Path) -> None:
        """Raise InputError unless these are directions of the drawing's generator, by id and shape."""
        loaded = drawing.loaded
        if self.model and self.model != loaded.model:
            raise InputError(f"{path}: directions of {self.model}, and the generator here is {loaded.model}")
        shapes = {tuple(direction.vector.shape) for direction in self.several}
        if self.space != space_of(drawing) or shapes - {shape_of(drawing)}:
            wrong = ", ".join(map(str, sorted(shapes)))
            raise InputError(
                f"{path}: directions in {self.space} of shape {wrong}, and this generator takes"
                f" {shape_of(drawing)} in {space_of(drawing)}"
            )


def default_path(source: Path) -> Path:
    """Where the directions of a generator lie: in its run folder, or beside its file."""
    if source.is_dir():
        return source / "directions.safetensors"
    return source.with_name(source.stem + SUFFIX)


def path_for(source: Path) -> Path:
    """Where new directions of a generator go: where they are looked for, but never into the package."""
    path = default_path(source)
    return Path(path.name) if packaged.name_of(source) else path


def read_directions(path: Path, drawing: Drawing) -> Directions:
    """The directions of a file, checked against the generator. Raises InputError."""
    if not path.exists():
        raise InputError(f"{path}: there are no directions yet; mien directions learn makes them")
    known = Directions.read(path)
    known.check(drawing, path)
    return known


def import_direction(path: Path, name: str, shape: Sequence[int]) -> Direction:
    """A direction of others from .npy: (1, dim) or (dim,) for every layer, or (num_ws, dim).

    One unit adds to a latent what the file holds. shape: of one latent here. Raises InputError.
    """
    try:
        values = np.load(io.BytesIO(_bytes(path)), allow_pickle=False)
        step = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    except (ValueError, EOFError, TypeError) as error:
        raise InputError(f"{path}: no .npy with numbers in it") from error
    if step.ndim == 3 and len(step) == 1:
        step = step[0]
    if tuple(step.shape) in (tuple(shape[-1:]), (1, *shape[-1:])):
        step = step.reshape(-1).expand(tuple(shape)).clone()
    if tuple(step.shape) != tuple(shape):
        raise InputError(f"{path}: shape {tuple(values.shape)}, and a latent here has {tuple(shape)}")
    return Direction.of(step, name, method="imported", source=path.name)


def export_direction(path: Path, direction: Direction) -> tuple[int, ...]:
    """Write the unit vector as float32 .npy, (1, dim) where all layers move alike, else (num_ws, dim)."""
    rows = direction.vector.reshape(-1, direction.vector.shape[-1])
    if len(rows) > 1 and bool((rows == rows[:1]).all()):
        rows = rows[:1]
    buffer = io.BytesIO()
    np.save(buffer, rows.numpy())
    write_bytes(path, buffer.getvalue())
    return tuple(rows.shape)


def combined(
    directions: Directions, amounts: Mapping[str, float], layers: Sequence[int] | None = None
) -> Tensor:
    """What several edits at once add to a latent: units of each direction, on all or some `layers`."""
    step = sum((directions[name].step * amount for name, amount in amounts.items()), start=torch.zeros(()))
    if layers is None or step.ndim != 2:
        return step
    kept = torch.zeros(len(step), 1)
    kept[list(layers)] = 1
    return step * kept


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, which no file of directions is")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def table_of(directions: Directions) -> Table:
    """A row for each direction: accuracy on held-out samples, effects of one unit, layers; for 80 columns."""
    columns = (
        Column("direction"),
        Column("accuracy", numbers=True),
        Column("own effect", numbers=True),
        Column("largest other", numbers=True, wraps=True),
        Column("reach", numbers=True),
        Column("layers"),
    )
    rows = tuple(_row(direction.about) for direction in directions)
    caption = (
        "effects of one unit in standard deviations of the attribute over samples; accuracy: 95 % interval;"
        " reach: units until faces break"
    )
    return Table(columns, rows, caption=caption)


def _row(about: About) -> tuple[str, ...]:
    accuracy = about.accuracy
    accuracy_text = f"{accuracy.value:.2f} ({accuracy.low:.2f}-{accuracy.high:.2f})" if accuracy else "-"
    own = about.effects.get(about.name)
    others = {name: value for name, value in about.effects.items() if name != about.name}
    worst = max(others, key=lambda name: abs(others[name])) if others else None
    return (
        about.name,
        accuracy_text,
        "-" if own is None else f"{own:+.2f}",
        "-" if worst is None else f"{others[worst]:+.2f} {worst}",
        about.reach_text,
        layers_text(about.layers) or "-",
    )
