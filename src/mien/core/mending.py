"""Repair of image files whose pixels are complete and something else is damaged."""

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT")
_KEPT = (*_PIXELS, b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf")  # what decides how pixels look
_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_FILL = (b"\x55", b"\xa3", b"\x00")  # whatever stands after the last pixel, it must not matter
_FILL_BYTES = 256
_END = b"\xff\xd9"
_CHUNK = re.compile(rb"[A-Za-z]{4}")


def mend(data: bytes) -> tuple[bytes, str] | None:
    """The bytes of a readable file with the same pixels, and what was wrong in words; None if there is none.

    A PNG loses its texts and whatever else is damaged outside the pixels. A JPEG without its end gets one, if
    all of its pixels are there.
    """
    if data.startswith(_PNG):
        mended = _mended_png(data)
        return (
            None if mended is None else (mended, "damaged outside its pixels; what is no pixel was not read")
        )
    if data.startswith(b"\xff\xd8\xff") and _is_whole_jpeg(data):
        return data + _END, "its end marker is missing; all pixels are there"
    return None


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether all scans are there and the pixels do not depend on the bytes after them, as in gaps."""
    try:
        progressive, complete = _scans(data)
        return complete and _same_whatever_follows(data, progressive)
    except Exception:  # decoders fail in a dozen ways on broken files
        return False


def _same_whatever_follows(data: bytes, progressive: bool) -> bool:
    checksums = set()
    for fill in _FILL:
        with Image.open(io.BytesIO(data + fill * _FILL_BYTES + _END), formats=("JPEG",)) as image:
            if not progressive:
                image.draft(None, (1, 1))  # an eighth of the size, from all of the data
            checksums.add(zlib.crc32(image.tobytes()))
    return len(checksums) == 1


def _scans(data: bytes) -> tuple[bool, bool]:
    """Whether a JPEG is progressive, and whether it lacks no scan: all coefficients to the last bit."""
    at, components, left = 2, b"", dict[int, set[int]]()
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 4:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD9:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xC2:
            components = body[6::3][: body[5]]
            left = {component: set(range(64)) for component in components}
        if marker == 0xDA and components:
            first, last, low = body[-3], body[-2], body[-1] & 15
            for component in body[1 : 1 + 2 * body[0] : 2]:
                left[component] -= set(range(first, last + 1)) if low == 0 else set()
        at += 2 + length
    return bool(components), not any(left.values())


def _mended_png(data: bytes) -> bytes | None:
    """The chunks that decide the pixels, with a right end; None where one of them is damaged."""
    kept = []
    for kind, body, whole in _chunks(data):
        if not whole and kind in _PIXELS:
            return None
        if whole and kind in _KEPT:
            kept.append(
                struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            )
    return _PNG + b"".join(kept) + _IEND if kept else None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, content and whether the checksum is right. After a damaged length the next pixels follow."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data) or not _CHUNK.fullmatch(kind):
            after = data.find(b"IDAT", at + 8)
            if after < 0:
                if kind in _PIXELS:
                    yield kind, b"", False
                return
            at = after - 4
            continue
        body = data[at + 8 : end - 4]
        whole = zlib.crc32(kind + body) == int.from_bytes(data[end - 4 : end])
        yield kind, body, whole
        if kind == b"IEND":
            return
        at = end
