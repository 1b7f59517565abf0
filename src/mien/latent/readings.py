"""Readings: what is measured or guessed of images, a number for each attribute."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.image import resize, to_float, to_hwc
from mien.core.network import LoadedNetwork, load_network
from mien.core.picture import Picture
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.crop import Square
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.faces.face import Face
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure import measure
from mien.generation.drawing import rgb
from mien.latent.face_measures import COLOURS, SHAPES, face_colours, face_shape
from mien.models.attributes import KIND
from mien.models.attributes import Reader as AttributeNetwork

_BATCH = 64
_LEAST_CHANCE = 1e-3  # probabilities beyond it and its mirror say no more: log-odds within 6.9


@dataclass(frozen=True)
class Readings:
    """values: float64 [N, attributes], NaN where unknown. names: of the attributes.

    yes_no: the attributes whose values are 0 or 1, as people label; all others are numbers, among them the
    log-odds of a network's yes.
    """

    names: tuple[str, ...]
    values: np.ndarray
    yes_no: frozenset[str] = frozenset()

    def column(self, name: str) -> np.ndarray:
        """float64 [N], found by name."""
        return np.asarray(self.values[:, self.names.index(name)])

    def only(self, names: Sequence[str]) -> "Readings":
        """These attributes, in this order. Raises InputError naming those that are not there."""
        check_names(names, self.names)
        columns = [self.names.index(name) for name in names]
        return Readings(tuple(names), self.values[:, columns], self.yes_no & set(names))

    def spread(self) -> np.ndarray:
        """The standard deviation of each attribute where it is known, float64 [attributes]."""
        with np.errstate(invalid="ignore"):
            known = np.isfinite(self.values).sum(0) > 1
            return np.where(known, np.nanstd(np.where(known, self.values, 0.0), axis=0), 0.0)


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError naming those of `names` that are not `known`."""
    if missing := [name for name in names if name not in known]:
        raise InputError(f"nobody reads {', '.join(missing)}; there are: {', '.join(known)}")


class ImageReader(Protocol):
    """Reads attributes off images. names: what it gives, one column each."""

    names: tuple[str, ...]

    def read(self, images: Tensor) -> np.ndarray:
        """uint8 [N, C, H, W] to float64 [N, len(names)], NaN where there is nothing to read."""


def _mesh(pixels: np.ndarray, face: Face) -> dict[str, float]:
    assert face.points is not None
    height, width = pixels.shape[:2]
    square = Square((width / 2, height / 2), (float(width), 0.0))
    known = measure(Picture(pixels, width, height, "PNG"), face, square, num_faces=1)
    glasses = float(log_odds(np.array(known.get("glasses", np.nan))))
    pose = {name: known.get(name, np.nan) for name in ("yaw", "pitch", "eyes_open")}
    return pose | {"glasses": glasses} | face_shape(face.points)


# What is measured on a face's mesh: the names, and how.
_MEASURES: dict[str, tuple[tuple[str, ...], Callable[[np.ndarray, Face], dict[str, float]]]] = {
    "mesh": (("yaw", "pitch", "eyes_open", "glasses", *SHAPES), _mesh),
    "colours": (COLOURS, face_colours),
}


class FaceReader:
    """Measures on the mesh of the face in each image; the row of an image without one stays NaN.

    parts: "mesh" (pose, shape of mouth, brows and eyes, log-odds of glasses), "colours" (skin, hair, lips).
    """

    def __init__(self, parts: Sequence[str]) -> None:
        for name in needed_artefacts("mesh"):
            artefacts.obtain(name, announce=lambda line: None)
        self._finder = open_finder("mesh")
        self._measures = [_MEASURES[part][1] for part in parts]
        self.names: tuple[str, ...] = tuple(name for part in parts for name in _MEASURES[part][0])

    def read(self, images: Tensor) -> np.ndarray:
        rows = np.full((len(images), len(self.names)), np.nan)
        for index, image in enumerate(images):
            pixels = rgb(image)
            faces = self._finder.find(pixels, most=1)
            if faces:
                rows[index] = [v for measure in self._measures for v in measure(pixels, faces[0]).values()]
        return rows


@dataclass
class NetworkReader:
    """What `read_once` reads; faces and their mirror images, as happy and as old, halve its noise."""

    names: tuple[str, ...]
    read_once: Callable[[Tensor], np.ndarray]

    def read(self, images: Tensor) -> np.ndarray:
        mean = (self.read_once(images) + self.read_once(images.flip(3))) / 2
        return np.asarray(mean).reshape(len(images), len(self.names))


def _expressions() -> ImageReader:
    """The log-odds of seven expressions; that of "happy" is called smile."""
    artefacts.obtain("expressions", announce=lambda line: None)
    network = ExpressionNetwork.load()
    names = tuple("smile" if name == "happy" else name for name in EXPRESSIONS)
    return NetworkReader(names, lambda faces: log_odds(network.probabilities(faces)))


def _age_and_sex() -> AgeSexNetworks:
    for name in ("age", "sex"):
        artefacts.obtain(name, announce=lambda line: None)
    return AgeSexNetworks.load()


def _age() -> ImageReader:
    """Age in years, as a face looks."""
    networks = _age_and_sex()
    return NetworkReader(("age",), lambda faces: networks.guess(faces).years.astype(np.float64))


def _sex() -> ImageReader:
    """The log-odds that a face looks a woman's."""
    networks = _age_and_sex()
    return NetworkReader(("female",), lambda faces: log_odds(networks.guess(faces).female))


class ModelReader:
    """An attribute model of ours: log-odds of yes-no labels and of each value of a one-of, numbers."""

    def __init__(self, source: Path) -> None:
        self.loaded: LoadedNetwork[AttributeNetwork] = load_network(source, KIND)
        network = self.loaded.network
        self.names = tuple(
            target.name if target.kind == "number" else column
            for target in network.targets
            for column in target.column_names
        )
        self._numbers = np.array([t.kind == "number" for t in network.targets for _ in t.column_names])

    def read(self, images: Tensor) -> np.ndarray:
        spec, rows = self.loaded.network.spec, [np.zeros((0, len(self.names)))]
        for chunk in torch.split(images, _BATCH) if len(images) else ():
            pixels = fitted(chunk, spec.channels, spec.resolution)
            rows.append(self.loaded.network.read(to_float(pixels)).double().numpy())
        values = np.concatenate(rows)
        return np.where(self._numbers, values, log_odds(np.where(self._numbers, 0.5, values)))


_NETWORKS: dict[str, Callable[[], ImageReader]] = {"expressions": _expressions, "age": _age, "sex": _sex}
READERS = (*_MEASURES, *_NETWORKS)


@dataclass(frozen=True)
class Readers:
    """Several readers as one; an attribute that two of them give is the first one's."""

    several: tuple[ImageReader, ...]

    @classmethod
    def open(cls, names: Iterable[str]) -> "Readers":
        """Readers by name (READERS), or an attribute model by its run folder or file. Raises InputError."""
        distinct = list(dict.fromkeys(names))
        measures = [name for name in distinct if name in _MEASURES]
        faces: list[ImageReader] = [FaceReader(measures)] if measures else []  # each face is found once
        return cls((*faces, *(_opened(name) for name in distinct if name not in _MEASURES)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for reader in self.several for name in reader.names))

    def narrowed(self, names: Sequence[str]) -> "Readers":
        """Only the readers that are needed for these attributes."""
        first = {name: reader for reader in reversed(self.several) for name in reader.names}
        needed = [first[name] for name in names if name in first]
        return Readers(tuple(reader for reader in self.several if reader in needed))

    def read(self, images: Tensor, *, progress: Tick | None = None) -> Readings:
        """uint8 [N, C, H, W] to readings, a piece at a time."""
        rows = [np.zeros((0, len(self.names)))]
        for start in range(0, len(images), _BATCH):
            piece = images[start : start + _BATCH]
            columns = {
                name: column
                for reader in reversed(self.several)
                for name, column in zip(reader.names, reader.read(piece).T, strict=True)
            }
            rows.append(np.stack([columns[name] for name in self.names], axis=1))
            if progress:
                progress(start + len(piece), len(images))
        return Readings(self.names, np.concatenate(rows))


def _opened(name: str) -> ImageReader:
    if name in _NETWORKS:
        return _NETWORKS[name]()
    if not Path(name).exists():
        raise InputError(
            f"--reader {name}: {', '.join(READERS)}, an attribute model (a run folder or its file), or a"
            " .csv or .json of labels"
        )
    return ModelReader(Path(name))


def log_odds(chance: np.ndarray) -> np.ndarray:
    """Of probabilities, which are first kept within .001 and .999."""
    return np.asarray(logit(np.clip(chance.astype(np.float64), _LEAST_CHANCE, 1 - _LEAST_CHANCE)))


def fitted(images: Tensor, channels: int, side: int) -> Tensor:
    """uint8 [N, C, H, W] with these channels and this side: gray becomes RGB, RGB becomes its luma."""
    if images.shape[1] != channels:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        luma = (images.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)
        images = images.expand(-1, 3, -1, -1) if channels == 3 else luma
    if images.shape[-1] == side:
        return images.contiguous()
    several = [torch.from_numpy(resize(to_hwc(image), side).transpose(2, 0, 1).copy()) for image in images]
    return torch.stack(several)
