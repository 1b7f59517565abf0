"""What is done with one input: read, find, judge, cut."""

import hashlib
import io
import math
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mien.core.packed import encode_png
from mien.core.picture import BadPicture, Picture, Pixels, decode
from mien.faces.crop import Square
from mien.faces.face import Face, Finder
from mien.prepare.align import crop, crop_square
from mien.prepare.judge import NO_FACE, Drop, Rules, judge
from mien.prepare.measure import measure
from mien.prepare.sources import Input, Reader, readable

THUMB = 96
_NEAR = 640  # JPEGs are decoded no larger than finding needs; again larger if the crop then lacks pixels


@dataclass(frozen=True)
class Job:
    """What to make of every input. size: of the crop. thumbs: make small pictures of what is dropped."""

    size: int
    rules: Rules
    align: str = "ffhq"
    finder: str = "mesh"
    thumbs: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Job":
        """The inverse of `to_dict`."""
        return Job(**{**values, "rules": Rules(**values["rules"])})


@dataclass(frozen=True)
class Outcome:
    """One input's manifest record (no "file", no labels yet), its PNG if kept, a JPEG thumbnail if not."""

    record: dict[str, Any]
    png: bytes = b""
    thumb: bytes = b""


def work(file: Input, reader: Reader, finder: Finder, job: Job) -> Outcome:
    """Prepare one input. Whatever is wrong with it ends up in the record; raises nothing for bad input."""
    record: dict[str, Any] = {"source": readable(file.name), "sha256": None}
    try:
        data = reader.read(file)
        record["sha256"] = hashlib.sha256(data).hexdigest()
        picture = decode(data, near=_NEAR, where=record["source"])
    except BadPicture as error:
        return Outcome(record | dropped(Drop(error.reason, error.detail)))
    record |= {"width": picture.width, "height": picture.height}
    faces = finder.find(picture.pixels)
    if not faces:
        return Outcome(record | dropped(NO_FACE), thumb=_thumb(picture, None) if job.thumbs else b"")
    face = faces[0]
    square = crop_square(face, job.align)
    record |= _describe(picture, face, square, len(faces))
    drop = judge(record["measurements"], job.rules)
    if drop is not None:
        return Outcome(record | dropped(drop), thumb=_thumb(picture, face) if job.thumbs else b"")
    pixels = _cut(data, picture, square, job.size)
    return Outcome(record | {"verdict": "kept", "reason": None, "detail": None}, png=encode_png(pixels))


def dropped(drop: Drop) -> dict[str, Any]:
    """The part of a record that says why."""
    return {"verdict": "dropped", "reason": drop.reason, "detail": drop.detail}


def _describe(picture: Picture, face: Face, square: Square, count: int) -> dict[str, Any]:
    """Box, landmarks and measurements in the pixels of the file."""
    scale = picture.scale
    measurements = measure(picture, face, square, num_faces=count)
    places = {name: [round(x * scale, 2), round(y * scale, 2)] for name, (x, y) in face.landmarks.items()}
    box = [round(value * scale, 2) for value in face.box]
    return {"box": box, "landmarks": places, "measurements": measurements}


def _cut(data: bytes, picture: Picture, square: Square, size: int) -> Pixels:
    if picture.scale > 1.01 and square.side < 2 * size:
        near = math.ceil(min(picture.pixels.shape[:2]) * 2 * size / square.side)
        larger = decode(data, near=near)
        grown = picture.scale / larger.scale
        centre, across = np.multiply(square.centre, grown), np.multiply(square.across, grown)
        square = Square((float(centre[0]), float(centre[1])), (float(across[0]), float(across[1])))
        picture = larger
    return crop(picture.pixels, square, size)


def _thumb(picture: Picture, face: Face | None) -> bytes:
    """A small JPEG of the picture with the face's box, for the contact sheet."""
    height, width = picture.pixels.shape[:2]
    scale = THUMB / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture.pixels, shape, interpolation=cv2.INTER_AREA)
    if face is not None:
        x, y, w, h = (round(value * scale) for value in face.box)
        cv2.rectangle(small, (x, y), (x + w, y + h), (255, 210, 0), 1)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
