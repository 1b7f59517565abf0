"""Files of generated images, which never overwrite another image of the same model."""

import filecmp
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.errors import InputError, MienError
from mien.core.image import grid_rows, to_hwc
from mien.core.network import LoadedNetwork
from mien.core.picture import read_picture
from mien.core.provenance import Provenance, encode_picture, save_picture, verify
from mien.generation.png_rows import png_rows

_LONGEST = 80  # characters of labels in a file's name
_MOST_SIDE = 8192  # pixels of a grid that is not a PNG, which is held as a whole
_ROUNDING = 0.1  # mean difference in levels of 255 that batches of another size may make


def ending_of(label: Sequence[str], psi: float) -> str:
    """The suffix for labels and truncation: "-woman", "-woman-trunc0.5", "-trunc1"."""
    text = "+".join(label)
    plain = re.sub(r"[^\w.=+-]+", "-", text)[:_LONGEST]
    digest = hashlib.sha256(text.encode()).hexdigest()[:6] if plain != text else ""
    truncation = f"trunc{psi:.12g}" if psi != 1 or not text else ""
    return "".join(f"-{part}" for part in (plain, digest, truncation) if part)


def free_path(path: Path, ending: str, data: bytes, model: str) -> Path:
    """`path`, or its name with `ending` where another picture of `model` lies. data: the encoded picture."""
    try:
        mark = verify(path) if path.is_file() else None
        if mark is None or mark.model != model:
            return path
        old, new = (read_picture(source).astype(np.float32) for source in (path, data))
    except InputError:
        return path
    is_another = old.shape != new.shape or float(np.abs(old - new).mean()) > _ROUNDING
    return with_ending(path, ending) if is_another else path


def settled(path: Path, ending: str, write: Callable[[Path], None]) -> Path:
    """Where `write` leaves a picture: `path`, or that with `ending` where another picture lies there."""
    if not path.exists():
        write(path)
        return path
    own = with_ending(path, ending)
    write(own)
    return own.replace(path) if filecmp.cmp(own, path, shallow=False) else own


def with_ending(path: Path, ending: str) -> Path:
    """A path with a suffix in its name: seed0000.png becomes seed0000-woman.png."""
    return path.with_name(f"{path.stem}{ending}{path.suffix}")


def replaced(paths: Sequence[Path], model: str) -> str:
    """A note where pictures that `model` did not make will be written over, or ""; the first is read."""
    there = [path for path in paths if path.is_file()]
    if not there:
        return ""
    try:
        mark = verify(there[0])
    except InputError:
        mark = None
    if mark is not None and mark.model == model:
        return ""
    maker = "that mien did not make" if mark is None else f"of {mark.model}"
    return f"{there[0].parent}: {len(there)} file(s) {maker} are replaced; another --out keeps them"


def save_all(
    model: str, like: Path, ending: str, batches: Iterable[tuple[list[int], Tensor]], count: int
) -> list[Path]:
    """Write each picture. like: "out/seed.png".

    Raises MienError, saying how many there are, where one could not be written.
    """
    written: list[Path] = []
    for batch_seeds, drawn in batches:
        for seed, image in zip(batch_seeds, drawn, strict=True):
            data = encode_picture(to_hwc(image), like.suffix, Provenance(model, seed, TOOL))
            path = free_path(like.with_stem(f"seed{seed:04d}"), ending, data, model)
            try:
                write_bytes(path, data)
            except MienError as error:
                before = f"{len(written)} of {count} pictures were written before"
                raise MienError(f"{error} ({before})") from error
            written.append(path)
    return written


def write_grid(
    path: Path, batches: Iterable[tuple[list[int], Tensor]], count: int, drawing: LoadedNetwork[Any]
) -> None:
    """About a square of `count` faces; a PNG goes to disk row by row."""
    columns, side = math.ceil(math.sqrt(count)), drawing.header.spec.resolution
    width, height = columns * side, math.ceil(count / columns) * side
    mark = Provenance(drawing.model, None, TOOL)
    if path.suffix != ".png" and width > _MOST_SIDE:
        raise InputError(f"{path}: a grid of {width}x{height} pixels; --format png has no such limit")
    rows = grid_rows((drawn for _, drawn in batches), columns)
    if path.suffix != ".png":
        save_picture(path, np.concatenate(list(rows)), mark)
        return
    with png_rows(path, width, height, mark) as png:
        for row in rows:
            png.write(row)
