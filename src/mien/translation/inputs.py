"""Pictures that are to be turned into others: files, a folder, a zip, or any dataset, read one by one."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.labels import Label
from mien.core.packed import PackReader
from mien.core.picture import PICTURE_SUFFIXES, Pixels, decode, read_bytes
from mien.datasets.header import FORMATS
from mien.datasets.opening import open_dataset

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Input:
    """One picture. name: unique, relative, with "/". where: for messages.

    read: uint8 [H, W, 3], raises BadPicture. size: from the header alone; None where it cannot be told.
    label, record: what a dataset knows of it.
    """

    name: str
    where: str
    read: Callable[[], Pixels]
    size: Callable[[], Size | None]
    label: Label | None = None
    record: Mapping[str, Any] | None = None


class Inputs(NamedTuple):
    """pictures: in the order given; of a folder or zip sorted by name. class_names: of the labels."""

    pictures: tuple[Input, ...]
    class_names: tuple[str, ...] = ()


def open_inputs(sources: Sequence[str], *, progress: Tick | None = None) -> Inputs:
    """List what is to be read: one dataset with its labels and records, or any number of files and folders.

    Raises InputError for what does not exist, for a source without pictures, for a dataset beside others.
    """
    if not sources:
        raise InputError("say which pictures: files, a folder, a zip, or a dataset like rendered:100")
    if len(sources) == 1 and not Path(sources[0]).exists():
        return _of_dataset(sources[0], progress)
    pictures: list[Input] = []
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise InputError(f"{source}: there is no such file or folder")
        if path.is_dir() or path.suffix.lower() not in PICTURE_SUFFIXES:
            pack = PackReader(path)
            if len(sources) == 1:
                return _of_pack(pack)
            pictures += _of_pack(pack).pictures
        else:
            pictures.append(
                Input(path.name, str(path), partial(_decoded, path, str(path)), partial(_size, path))
            )
    return Inputs(tuple(pictures))


def _of_pack(pack: PackReader) -> Inputs:
    pictures = []
    for index, name in enumerate(pack.names):
        where = f"{pack.path}: {name}"
        data = partial(pack.read, index)
        label = None if pack.labels is None else pack.labels[index]
        record = pack.records[index] or None
        read, size = partial(_decoded, data, where), partial(_size, data)
        pictures.append(Input(name, where, read, size, label, record))
    return Inputs(tuple(pictures), pack.class_names)


def _of_dataset(source: str, progress: Tick | None) -> Inputs:
    dataset = open_dataset(source, progress=progress)
    side = dataset.spec.resolution

    def read(index: int) -> Pixels:
        pixels = dataset.images(np.array([index]))[0].transpose(1, 2, 0)
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))

    labels = dataset.labels
    pictures = tuple(
        Input(
            f"{index:08d}.png",
            f"{source}: picture {index}",
            partial(read, index),
            lambda: (side, side),
            None if labels is None else tuple(map(float, labels[index])),
            record or None,
        )
        for index, record in enumerate(dataset.records)
    )
    return Inputs(pictures, dataset.spec.class_names)


def _decoded(source: Path | Callable[[], bytes], where: str) -> Pixels:
    return decode(source if isinstance(source, Path) else source(), where=where).pixels


def _size(source: Path | Callable[[], bytes]) -> Size | None:
    """Width and height as the header has them, turned upright."""
    try:
        data = read_bytes(source) if isinstance(source, Path) else source()
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, InputError):
        return None  # reading it will say what is wrong
    return (height, width) if turned else (width, height)
