"""Text lists beside pictures: one record a line, fields between any number of spaces."""

from collections.abc import Iterator
from pathlib import Path

from mien.core.errors import InputError
from mien.core.text import decode_text

_MOST_BYTES = 512 << 20


def read_text(path: Path) -> str:
    """A text file of people's making: UTF-8 or UTF-16; other bytes become question marks.

    Raises InputError where it cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; that is no list")
        return decode_text(path.read_bytes(), "replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line from 1, its fields) for each line that is not blank. Raises InputError."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if fields:
            yield number, fields
