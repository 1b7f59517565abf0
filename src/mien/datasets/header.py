"""What a picture's header says, without decoding it."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mien.core.picture import BadPicture, decode
from mien.datasets.index import Problem

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")


@dataclass(frozen=True)
class Header:
    """width, height: pixels as stored, before EXIF turns it. mode: Pillow's, such as "RGB" or "L"."""

    width: int
    height: int
    mode: str

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def gray(self) -> bool:
        return self.mode in GRAY_MODES

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def read_header(path: Path, *, where: str) -> Header:
    """The header of a picture file. Raises BadPicture naming `where`."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return Header(*picture.size, picture.mode)
    except Exception as error:  # Pillow fails in a dozen ways; decoding says which one it is
        decode(path, where=where)
        raise BadPicture(where, "unreadable", "its header cannot be read") from error


def read_headers(root: Path, files: Sequence[str], problems: list[Problem]) -> dict[str, Header]:
    """The headers of `files` under `root`; those that have none are added to `problems`."""

    def one(file: str) -> Header | str:
        try:
            return read_header(root / file, where=file)
        except BadPicture as error:
            return error.detail

    # Opening saves and restores warning filters, which threads do out of order: restore them for good here.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")
        found = dict(zip(files, pool.map(one, files), strict=True))
    problems += [Problem(file, header) for file, header in found.items() if isinstance(header, str)]
    return {file: header for file, header in found.items() if isinstance(header, Header)}
