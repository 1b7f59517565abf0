"""Faces as a detector is given them: found, and brought to one size in one way, whatever they came from."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from mien.core.atomic import write_bytes
from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.image import evenly_spaced
from mien.core.picture import BadPicture, Pixels, list_pictures, read_picture
from mien.datasets.opening import open_dataset
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import scaled
from mien.faces.face import Face, Finder
from mien.faces.finder import open_face_finder
from mien.generation.drawing import Drawing, rgb
from mien.prepare.all_faces import find_faces

SIDE = 64  # pixels of a face's crop
_VERSION = 1  # of what is cached
_DRAWN = 600  # faces of a generator, unless told
_PSIS = (0.5, 0.7, 1.0)
FRESH = 1_000_000  # first seed of faces to test on, far from those to learn from
T = TypeVar("T")


@dataclass(frozen=True)
class Crops:
    """The largest face of each picture of a source, uint8 [N, SIDE, SIDE, 3], and the pictures' names."""

    source: str
    pixels: np.ndarray
    names: tuple[str, ...]
    missed: int = 0

    def __len__(self) -> int:
        return len(self.names)


def face_crop(image: Pixels, face: Face) -> Pixels:
    """The face's aligned square as uint8 [SIDE, SIDE, 3].

    A larger picture is first averaged down until the square has SIDE pixels, so that the last step, which
    softens, is the same for large faces as for those that are as small as this.
    """
    square = ffhq_square(face)
    share = SIDE / square.side
    if share < 1:
        height, width = image.shape[:2]
        shape = max(1, round(width * share)), max(1, round(height * share))
        image = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
        square = scaled(square, float(np.sqrt(shape[0] * shape[1] / (width * height))))
    return crop(image, square, SIDE)


def crops_of(source: str, events: Events, *, count: int | None = None, first_seed: int = 0) -> Crops:
    """The faces of a folder of pictures, a dataset, or a generator (drawn by seed at psi .5, .7 and 1).

    They are kept in the cache, so that a source is searched once. first_seed: of a generator. Raises
    InputError where it shows no face.
    """
    pictures = _Pictures(source, count, first_seed)
    path = cache_root() / "detection" / f"{pictures.key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return Crops(source, stored["pixels"], tuple(stored["names"].tolist()), int(stored["missed"]))
    finder = open_face_finder(events)
    pixels: list[Pixels] = []
    names: list[str] = []
    tick = events.progress(f"finding faces of {source}")
    for done, (name, image) in enumerate(pictures, start=1):
        faces = find_faces(finder, image, thorough=False)
        if faces:
            pixels.append(face_crop(image, faces[0]))
            names.append(name)
        tick(done, len(pictures))
    if not pixels:
        raise InputError(f"{source}: no face found in it")
    crops = Crops(source, np.stack(pixels), tuple(names), len(pictures) - len(pixels))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=crops.pixels, names=np.array(names), missed=crops.missed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
    return crops


def all_crops(image: Pixels, finder: Finder) -> list[tuple[Face, Pixels]]:
    """All faces of a whole picture, largest first, and their crops."""
    return [(face, face_crop(image, face)) for face in find_faces(finder, image, thorough=True)]


class _Pictures:
    """The pictures of a source, one after another; those that cannot be read are passed over."""

    def __init__(self, source: str, count: int | None, first_seed: int) -> None:
        self._source, self._first, path = source, first_seed, Path(source)
        self._paths: list[Path] = []
        self._drawing: Drawing | None = None
        if path.suffix == ".safetensors" or (path / "config.json").is_file() or source == "packaged":
            self._drawing = Drawing.of(path, trunc=1.0, label=())
            self._size, what = count or _DRAWN, f"{self._drawing.loaded.model} from {first_seed}"
        elif path.is_dir() and list_pictures(path) and not (path / "dataset.json").exists():
            self._paths = _spread(list_pictures(path), count)
            stamps = [(p.relative_to(path).as_posix(), p.stat().st_size) for p in self._paths]
            self._size, what = len(self._paths), f"{path.resolve()} {stamps}"
        else:
            self._dataset = open_dataset(source)
            self._indexes = _spread(list(range(len(self._dataset))), count)
            self._size, what = len(self._indexes), self._dataset.content_hash
        self.key = hashlib.sha256(f"{_VERSION} {SIDE} {count} {what}".encode()).hexdigest()[:32]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[tuple[str, Pixels]]:
        if self._drawing is not None:
            yield from self._drawn(self._drawing)
        elif self._paths:
            for path in self._paths:
                try:
                    yield path.relative_to(self._source).as_posix(), read_picture(path)
                except BadPicture:
                    yield path.name, np.zeros((SIDE, SIDE, 3), np.uint8)
        else:
            for index in self._indexes:
                image = self._dataset.images(np.array([index]))[0].transpose(1, 2, 0)
                yield str(index), np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))

    def _drawn(self, drawing: Drawing) -> Iterator[tuple[str, Pixels]]:
        for seed in range(self._first, self._first + self._size):
            psi = _PSIS[seed % len(_PSIS)]
            yield f"seed{seed} psi{psi:g}", rgb(Drawing(drawing.loaded, psi, ()).faces([seed])[0])


def _spread(items: list[T], count: int | None) -> list[T]:
    """At most `count` of the items, evenly spread."""
    if count is None or len(items) <= count:
        return items
    return [items[place] for place in evenly_spaced(items, count).tolist()]
