"""Provenance marks of synthetic images: XMP with IPTC's DigitalSourceType, model, seed and tool.

Vocabulary: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

import io
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mien.core.atomic import write_bytes
from mien.core.errors import InputError
from mien.core.picture import Pixels

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_OURS = "urn:mien:xmp:1.0/"
_PNG_KEY = "XML:com.adobe.xmp"
PNG_XMP = _PNG_KEY.encode() + bytes(5)  # not compressed, no language, no translated keyword
_MOST_CHUNKS = 1000
_READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_PIXELS = 1 << 27
_LARGEST_XMP = 1 << 20
_LONGEST_TEXT = 200
FILM_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
_XMP_KIND = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_MOST_BOXES = 100_000


class SourceType(StrEnum):
    """Where a picture's pixels come from, in IPTC's words."""

    TRAINED = "trainedAlgorithmicMedia"  # a generative model made it
    ALGORITHMIC = "algorithmicMedia"  # a renderer made it, no training data involved
    ENHANCED = "algorithmicallyEnhanced"  # a photo that a model cleaned or corrected
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # a photo with generated parts


@dataclass(frozen=True)
class Provenance:
    """The provenance of an image: model, seed, tool and source type.

    model: the generator's id ("" where another tool names none). seed: of this picture, None for several
    or none. tool: name and version of the program. Texts are one printable line of at most 200 characters.
    """

    model: str
    seed: int | None
    tool: str
    source_type: SourceType = SourceType.TRAINED

    def __post_init__(self) -> None:
        for text in (self.model, self.tool):
            if text != _clean(text):
                raise ValueError(f"{text[:_LONGEST_TEXT]!r} is not one short printable line")


def encode_picture(image: Pixels, suffix: str, provenance: Provenance, *, png_level: int = 6) -> bytes:
    """Encode uint8 [H, W, 3], [H, W, 1] or [H, W] as PNG, JPEG or WebP with the mark in it.

    suffix: ".png", ".jpg", ".jpeg" or ".webp", otherwise InputError. png_level: 1 (fastest) to 9 (smallest).
    """
    form = _WRITABLE.get(suffix.lower())
    if form is None:
        raise InputError(f"pictures are written as {', '.join(_WRITABLE)}, not {suffix!r}")
    xmp = packet(provenance)
    options: dict[str, Any]
    if form == "PNG":
        text = PngInfo()
        text.add_itxt(_PNG_KEY, xmp.decode())
        options = {"pnginfo": text, "compress_level": png_level}
    elif form == "JPEG":
        options = {"xmp": xmp, "quality": 95, "subsampling": 0}
    else:
        options = {"xmp": xmp, "quality": 95, "method": 4}
    buffer = io.BytesIO()
    _picture(image).save(buffer, format=form, **options)
    return buffer.getvalue()


def save_picture(path: Path, image: Pixels, provenance: Provenance, *, png_level: int = 6) -> None:
    """Write `image` atomically in the format that the suffix of `path` names, with the mark in it."""
    write_bytes(path, encode_picture(image, path.suffix, provenance, png_level=png_level))


def save_animation(
    path: Path, frames: Sequence[Pixels], provenance: Provenance, *, milliseconds: int = 100
) -> None:
    """Write an endless animated WebP: uint8 frames of one size, `milliseconds` each, the mark in it."""
    if path.suffix.lower() != ".webp":
        raise InputError(f"{path}: animations are written as .webp")
    if not frames:
        raise ValueError("an animation needs a frame")
    pictures = [_picture(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        quality=85,
        method=2,
        xmp=packet(provenance),
    )
    write_bytes(path, buffer.getvalue())


def verify(path: Path | str) -> Provenance | None:
    """Read the mark in a picture or film, ours or another tool's; None where a readable one carries none.

    Raises InputError for what is neither (PNG, JPEG, WebP, GIF, BMP, TIFF; MP4, QuickTime), is damaged before
    a mark was reached, or carries XMP that is damaged or hostile (declares entities, is larger than 1 MiB).
    """
    path = Path(path)
    film = path.suffix.lower() in FILM_SUFFIXES
    xmp = read_xmp(path, most=_LARGEST_XMP) if film else _read_packet(path)
    if xmp is None:
        return None
    if len(xmp) > _LARGEST_XMP:
        raise InputError(f"{path}: its XMP is larger than 1 MiB, it is not read")
    try:
        root = defusedxml.ElementTree.fromstring(xmp.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InputError(f"{path}: its XMP is damaged or hostile ({type(error).__name__})") from error
    return _interpret(root)


def _interpret(root: Element) -> Provenance | None:
    fields: dict[str, str] = {}
    for name, value in _properties(root):
        fields.setdefault(name, value)
    kind = fields.get(f"{{{_IPTC}}}DigitalSourceType", "").rstrip("/").rpartition("/")[2]
    if kind not in set(SourceType):
        return None
    tool = fields.get(f"{{{_OURS}}}Tool") or fields.get(f"{{{_XMP}}}CreatorTool") or ""
    seed = fields.get(f"{{{_OURS}}}Seed", "")
    return Provenance(
        model=fields.get(f"{{{_OURS}}}Model", ""),
        seed=int(seed) if re.fullmatch(r"-?[0-9]{1,40}", seed) else None,
        tool=tool,
        source_type=SourceType(kind),
    )


def _properties(root: Element) -> Iterator[tuple[str, str]]:
    """XMP properties in any of RDF's forms: attribute, element, rdf:resource, list item."""
    for element in root.iter():
        for key, value in element.attrib.items():
            yield str(key), _clean(value)
        items = (item.text for container in element for item in container)  # rdf:Bag, rdf:li
        texts = (element.get(f"{{{_RDF}}}resource"), element.text, *items)
        first = next((cleaned for text in texts if text and (cleaned := _clean(text))), None)
        if first is not None:
            yield str(element.tag), first


def _early_packet(path: Path) -> bytes | None:
    """The XMP that a PNG has before its pixels, which need not be decoded then, however many they are.

    None where there is none or anything is odd: then Pillow is to say what.
    """
    with open(path, "rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return None
        for _ in range(_MOST_CHUNKS):
            length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
            if kind in (b"IDAT", b"") or length > _LARGEST_XMP:
                return None
            data, checksum = file.read(length), file.read(4)
            if zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big") != checksum:
                return None
            if kind == b"iTXt" and data.startswith(PNG_XMP):
                return data[len(PNG_XMP) :]
    return None


def _read_packet(path: Path) -> bytes | None:
    try:
        if (early := _early_packet(path)) is not None:
            return early
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the errors are what matters
            with Image.open(path, formats=_READABLE) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise InputError(f"{path}: {picture.width}x{picture.height} is too large a picture")
                packet = _info(picture)
                if packet is None:
                    picture.load()  # a PNG may carry its texts behind the pixels
                    packet = _info(picture)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    # Pillow raises these, and more kinds over the years, for files that lie about themselves
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture that can be read ({type(error).__name__})") from error
    return packet


def _info(picture: Image.Image) -> bytes | None:
    packet = picture.info.get("xmp") or picture.info.get(_PNG_KEY)
    return packet.encode() if isinstance(packet, str) else packet


def packet(provenance: Provenance) -> bytes:
    """The mark as XMP, to be put where a file's format keeps it."""
    fields = {
        "Iptc4xmpExt:DigitalSourceType": _VOCABULARY + provenance.source_type,
        "xmp:CreatorTool": provenance.tool,
        "mien:Model": provenance.model,
        "mien:Seed": "" if provenance.seed is None else str(provenance.seed),
        "mien:Tool": provenance.tool,
    }
    lines = "".join(f"<{name}>{escape(value)}</{name}>\n" for name, value in fields.items() if value)
    return (
        '<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:xmp="{_XMP}"'
        f' xmlns:mien="{_OURS}">\n'
        f'{lines}</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def _picture(image: Pixels) -> Image.Image:
    if image.dtype != np.uint8:
        raise TypeError(f"pictures are uint8, not {image.dtype}")
    return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def _clean(text: str) -> str:
    """The text as one printable line, so that a file cannot send control codes to a terminal."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_LONGEST_TEXT].strip()


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
