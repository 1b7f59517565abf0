"""Pictures of a dataset as a browser may have them."""

import io
import threading

import numpy as np
from PIL import Image

from mien.core.packed import encode_png
from mien.core.picture import Pixels, decode

_SMALL = 320  # pixels of the shorter side that a face of the page needs
_MOST_BYTES = 150_000  # a larger file is made small for the page of faces
_DECODERS = threading.Semaphore(2)  # a folder may hold photos of 100 megapixels


def media_type(data: bytes) -> str | None:
    """The type that the bytes themselves say, of those that browsers show; None for all else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def for_browser(data: bytes, *, small: bool) -> tuple[bytes, str]:
    """The file itself where a browser shows it, else the picture as PNG or JPEG; with its media type.

    small: shrink what is heavy. Raises BadPicture where it is no picture.
    """
    kind = media_type(data)
    if kind is not None and not (small and len(data) > _MOST_BYTES):
        return data, kind
    with _DECODERS:
        if not small:
            return encode_png(decode(data).pixels), "image/png"
        return _shrunk(decode(data, near=_SMALL).pixels), "image/jpeg"


def _shrunk(pixels: Pixels) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    factor = _SMALL / min(image.size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
