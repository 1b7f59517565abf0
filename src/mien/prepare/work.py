"""What is done with one input: read, find, measure, cut. Judging comes later, from what was measured."""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mien.core.packed import encode_png
from mien.core.picture import BadPicture, Picture, decode
from mien.faces.align import crop, ffhq_square, layout_squares
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Finder
from mien.faces.finder import SEES_SMALL
from mien.faces.measure import measure
from mien.faces.mesh import MeshNetwork
from mien.faces.search import ENOUGH
from mien.prepare.dedupe import perceptual_hash
from mien.prepare.judge import NO_FACE, Drop
from mien.prepare.sources import Input, Reader, readable

THUMB = 96
_NEAR = 640  # JPEGs are decoded no larger than finding needs; again larger if the crop then lacks pixels
_HASHED = 128  # pixels along the side of the level crop whose hash tells doubles, whatever is cut out


@dataclass(frozen=True)
class Job:
    """What to make of every input. sizes: of the crops, in pixels. layout: see `align.layout_squares`."""

    sizes: tuple[int, ...]
    layout: str = "ffhq"
    finder: str = "mesh"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"sizes": list(self.sizes), "layout": self.layout, "finder": self.finder}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Job":
        """The inverse of `to_dict`."""
        return Job(tuple(values["sizes"]), values["layout"], values["finder"])


@dataclass(frozen=True)
class Outcome:
    """What was found in one input.

    record: its manifest line without "file", labels and what rules decide; "verdict" only where there is no
    face to judge. crops: PNG by (size, role). thumb: a small JPEG of the picture with the face's box.
    """

    record: dict[str, Any]
    crops: Mapping[tuple[int, str], bytes] = field(default_factory=dict)
    thumb: bytes = b""


def work(
    file: Input, reader: Reader, finder: Finder, job: Job, *, mesh: MeshNetwork | None = None
) -> Outcome:
    """Look at one input. Whatever is wrong with it ends up in the record; raises nothing for bad input.

    mesh: levels faces once more before they are hashed.
    """
    record: dict[str, Any] = {"source": readable(file.name), "sha256": None}
    try:
        data = reader.read(file)
        record["sha256"] = hashlib.sha256(data).hexdigest()
        picture = decode(data, near=_NEAR, where=record["source"])
    except BadPicture as error:
        return Outcome(record | dropped(Drop(error.reason, error.detail)))
    record |= {"width": picture.width, "height": picture.height}
    if picture.notes:
        record["notes"] = list(picture.notes)
    picture, faces = _find(data, picture, finder)
    if not faces:
        return Outcome(record | dropped(NO_FACE), thumb=_thumb(picture, None))
    face = faces[0]
    height, width = picture.pixels.shape[:2]
    squares = layout_squares(face, job.layout, width, height)
    record |= _describe(picture, face, squares, len(faces), mesh)
    crops = _cut(data, picture, squares, job.sizes)
    return Outcome(record, crops, _thumb(picture, face))


def _find(data: bytes, picture: Picture, finder: Finder) -> tuple[Picture, list[Face]]:
    """The faces and the picture they are in: where none is seen, it is decoded larger and searched again."""
    faces = finder.find(picture.pixels)
    height, width = picture.pixels.shape[:2]
    if faces or picture.scale < 1.01 or max(height, width) >= ENOUGH or finder.name not in SEES_SMALL:
        return picture, faces
    larger = decode(data, near=math.ceil(ENOUGH * min(height, width) / max(height, width)))
    faces = finder.find(larger.pixels)
    return (larger, faces) if faces else (picture, faces)


def dropped(drop: Drop) -> dict[str, Any]:
    """The part of a record that says why."""
    return {"verdict": "dropped", "reason": drop.reason, "detail": drop.detail}


def _describe(
    picture: Picture, face: Face, squares: Mapping[str, Square], count: int, mesh: MeshNetwork | None
) -> dict[str, Any]:
    """Box, landmarks, measurements (in the pixels of the file) and hash, the same for every layout."""
    scale, level = picture.scale, ffhq_square(face)
    found = measure(picture, face, level, num_faces=count)
    measurements = {name: value for name, value in found.items() if math.isfinite(value)}
    smallest = min(square.side for square in squares.values())
    measurements["crop_side"] = round(smallest * scale, 2)
    places = {name: [round(x * scale, 2), round(y * scale, 2)] for name, (x, y) in face.landmarks.items()}
    box = [round(value * scale, 2) for value in face.box]
    code = perceptual_hash(cut(picture.pixels, level, _HASHED), mesh=mesh)
    return {"box": box, "landmarks": places, "measurements": measurements, "hash": code}


def _cut(
    data: bytes, picture: Picture, squares: Mapping[str, Square], sizes: Sequence[int]
) -> dict[tuple[int, str], bytes]:
    """PNG of every square in every size, from a picture decoded larger where it lacks pixels."""
    smallest, largest = min(square.side for square in squares.values()), max(sizes)
    grown = 1.0
    if picture.scale > 1.01 and smallest < 2 * largest:
        near = math.ceil(min(picture.pixels.shape[:2]) * 2 * largest / smallest)
        larger = decode(data, near=near)
        grown, picture = picture.scale / larger.scale, larger
    return {
        (size, role): encode_png(crop(picture.pixels, _scaled(square, grown), size))
        for role, square in squares.items()
        for size in sizes
    }


def _scaled(square: Square, factor: float) -> Square:
    centre, across = np.multiply(square.centre, factor), np.multiply(square.across, factor)
    return Square((float(centre[0]), float(centre[1])), (float(across[0]), float(across[1])))


def _thumb(picture: Picture, face: Face | None) -> bytes:
    """A small JPEG of the picture with the face's box, for sheet and report."""
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
