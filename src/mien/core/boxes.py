"""XMP metadata in the boxes of an MP4 or QuickTime film (ISO/IEC 14496-12).

XMP lies in a top-level box of the kind `uuid` (Adobe's XMP specification, part 3, 1.1.8).
"""

import os
from pathlib import Path
from typing import BinaryIO

from mien.core.errors import InputError

FILM_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
_XMP_KIND = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_MOST_BOXES = 100_000


def xmp_box(packet: bytes) -> bytes:
    """The box to append to a film so that it carries this XMP."""
    return (24 + len(packet)).to_bytes(4, "big") + b"uuid" + _XMP_KIND + packet


def read_xmp(path: Path, *, most: int) -> bytes | None:
    """A film's XMP, None where it has none; no more than `most` + 1 bytes of it. Raises InputError."""
    try:
        with open(path, "rb") as file:
            return _find(file, path, os.fstat(file.fileno()).st_size, most)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror})") from error


def _find(file: BinaryIO, path: Path, total: int, most: int) -> bytes | None:
    position = 0
    for count in range(_MOST_BOXES):
        if position == total and count:
            return None
        file.seek(position)
        head = file.read(32)
        kind, size, skip = head[4:8], int.from_bytes(head[:4], "big"), 8
        if count == 0 and kind not in (b"ftyp", b"wide", b"moov", b"mdat"):
            raise InputError(f"{path}: not an MP4 or QuickTime film")
        if size == 1:  # the real size follows in eight bytes
            size, skip = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:  # up to the end of the file
            size = total - position
        if size < skip or position + size > total:
            raise InputError(f"{path}: the film is damaged or cut off (at byte {position:,})")
        if kind == b"uuid" and head[skip : skip + 16] == _XMP_KIND:
            file.seek(position + skip + 16)
            return file.read(max(0, min(size - skip - 16, most + 1)))
        position += size
    raise InputError(f"{path}: the film has more than {_MOST_BOXES:,} parts")
