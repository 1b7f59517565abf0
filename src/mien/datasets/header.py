"""What a picture's header says, without decoding it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from mien.core.picture import BadPicture, decode
from mien.datasets.index import Problem
from mien.datasets.stored import in_threads

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")


@dataclass(frozen=True)
class Header:
    """width, height: pixels as seen, turned upright by EXIF. mode: Pillow's, such as "RGB" or "L"."""

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


def read_header(source: Path | bytes, *, where: str) -> Header:
    """The header of a picture file or of its bytes. Raises BadPicture naming `where`."""
    try:
        opened = source if isinstance(source, Path) else io.BytesIO(source)
        with Image.open(opened, formats=FORMATS) as picture:
            width, height = reversed(picture.size) if _lies(picture) else picture.size
            return Header(width, height, picture.mode)
    except Exception:  # damaged, of a format that an extra brings, or no picture: decoding knows
        decoded = decode(source, where=where)
        return Header(decoded.width, decoded.height, "RGB")


def _lies(picture: Image.Image) -> bool:
    """Whether EXIF says that the picture is stored on its side."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return False  # Pillow would decode all of it to look behind the pixels
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # broken EXIF turns nothing
        return False


def read_headers(root: Path, files: Sequence[str], problems: list[Problem]) -> dict[str, Header]:
    """The headers of `files` under `root`; those that have none are added to `problems`."""

    def one(file: str) -> Header | str:
        try:
            return read_header(root / file, where=file)
        except BadPicture as error:
            return error.detail

    headers = dict(zip(files, in_threads(one, files), strict=True))
    problems += [Problem(file, header) for file, header in headers.items() if isinstance(header, str)]
    return {file: header for file, header in headers.items() if isinstance(header, Header)}
