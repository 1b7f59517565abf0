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
from mien.core.picture import BadPicture, Picture, Pixels, decode
from mien.faces.align import crop, ffhq_square, layout_squares
from mien.faces.crop import Square, cut, scaled
from mien.faces.face import Face, Finder
from mien.faces.finder import SEES_SMALL
from mien.faces.measure import measure
from mien.faces.measure_light import measure_light, sharpness
from mien.faces.mesh import MeshNetwork
from mien.faces.mesh_finder import MeshFinder
from mien.faces.search import ENOUGH
from mien.prepare.all_faces import choose_faces, find_faces
from mien.prepare.dedupe import perceptual_hash
from mien.prepare.judge import NO_FACE, Drop
from mien.prepare.sources import Input, Reader, readable
from mien.prepare.store import Crops

_IN_FOCUS = 0.45  # sharpness, at its own size, of what has a detail for nearly every pixel
_SIDES = (40, 56, 80, 112, 160, 224)  # at which sharpness is asked for
_LARGEST = 320  # pixels along the side that `own_sharpness` looks at
_COSTS, _BLURRED = 2.5, 0.02  # tuned on `official` and `old-photos` by benchmarks/copy_quality.py


def face_square(face: Face) -> Square:
    """The level square around a face, forehead to chin."""
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= face.size / max(float(np.hypot(*right)), 1e-6)
    return Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))


def real_size(image: Pixels, square: Square) -> tuple[float, bool]:
    """Pixels along the side of `square` in an RGB picture that show detail of their own, at most all of them.

    The second value says that it is all. The picture is made smaller until it is sharp at its own size;
    between the last two sizes the logarithm is interpolated. Beyond 224 pixels nothing is looked at.
    """
    side = square.side
    usable = [size for size in _SIDES if size <= side]
    last = None
    for size in reversed(usable):
        value = sharpness(cut(image, square, size))
        if value >= _IN_FOCUS:
            if last is None:
                return side, True
            share = (value - _IN_FOCUS) / max(value - last[1], 1e-6)
            return math.exp(math.log(size) + share * math.log(last[0] / size)), False
        last = size, value
    if last is None:
        return side, True
    return last[0] * max(last[1], 0.05) / _IN_FOCUS, False


def own_sharpness(image: Pixels, square: Square) -> float:
    """Sharpness of what `square` shows of an RGB picture at the picture's own size, at most 320 pixels."""
    return sharpness(cut(image, square, max(1, min(round(square.side), _LARGEST))))


def copy_quality(measurements: dict[str, float]) -> float:
    """What decides between copies of one picture: its pixels, if it is sharp at its own size.

    Enlarging by a factor costs sharpness faster than the 2.5th root of the factor, shrinking hardly adds any.
    A picture prepared before `own_sharpness` was measured goes by `real_size`, one before that by sharpness,
    one that was not measured by size.
    """
    side = measurements.get("face_size", measurements.get("crop_side", 0.0))
    sharp = measurements.get("sharpness")
    real, own = measurements.get("real_size"), measurements.get("own_sharpness")
    if own is not None:
        return float(side * max(own, _BLURRED) ** _COSTS)
    if real is None or not side:
        return float(side if sharp is None else sharp)
    return float(real * math.sqrt(min(real / side, 1.0)) * (0.9 + 0.2 * (sharp or 0.0)))


NO_FINDER = "none"  # whole pictures instead of faces
THUMB = 96
_NEAR = 640  # JPEGs are decoded no larger than finding needs; again larger if the crop then lacks pixels
_SMALL_FACE = 24  # pixels: where the smallest face of many has fewer, the photo is decoded larger
_HASHED = 128  # pixels along the side of the level crop whose hash tells doubles, whatever is cut out
_VIEW = 96  # pixels at which whole pictures are measured
_FLAT = 0.02  # contrast under which a whole picture shows nothing by which it could be known


@dataclass(frozen=True)
class CropConfig:
    """What is cut out of every input.

    sizes: of the crops, in pixels. layout: see `align.layout_squares`. finder: of faces, or "none" for the
    middle square of the picture. faces: which of a photo's; see `all_faces.FACES`.
    """

    sizes: tuple[int, ...]
    layout: str = "ffhq"
    finder: str = "mesh"
    faces: str = "largest"


@dataclass(frozen=True)
class Extracted:
    """What was found in one input.

    record: its manifest line without "file", labels and what rules decide; "verdict" only where there is
    nothing to judge. "faces" holds what is each face's own: box, landmarks, measurements, hash. thumb: a
    small JPEG of the picture with the faces' boxes.
    """

    record: dict[str, Any]
    crops: Crops = field(default_factory=dict)
    thumb: bytes = b""


def extract(
    file: Input, reader: Reader, finder: Finder | None, config: CropConfig, *, mesh: MeshNetwork | None = None
) -> Extracted:
    """Find, measure and cut one input. What is wrong with it ends up in the record; it raises nothing.

    finder: None for whole pictures. mesh: levels faces once more before they are hashed.
    """
    record: dict[str, Any] = {"source": readable(file.name), "sha256": None}
    try:
        data = reader.read(file)
        record["sha256"] = hashlib.sha256(data).hexdigest()
        picture = decode(data, near=_NEAR, where=record["source"])
    except BadPicture as error:
        return Extracted(record | dropped(Drop(error.reason, error.detail)))
    record |= {"width": picture.width, "height": picture.height}
    if picture.notes:
        record["notes"] = list(picture.notes)
    if finder is None:
        return _whole(record, data, picture, config)
    picture, faces = _find(data, picture, finder, thorough=config.faces == "all")
    if not faces and isinstance(finder, MeshFinder):
        faces = finder.find_averted(picture.pixels) or finder.guess(picture.pixels)
    if not faces:
        return Extracted(record | dropped(NO_FACE), thumb=_thumb(picture, []))
    height, width = picture.pixels.shape[:2]
    chosen = choose_faces(faces, config.faces, width, height)
    squares = [layout_squares(face, config.layout, width, height) for face in chosen]
    record["faces"] = [
        _describe(picture, face, own, len(faces), mesh) for face, own in zip(chosen, squares, strict=True)
    ]
    return Extracted(record, _cut(data, picture, squares, config.sizes), _thumb(picture, chosen))


def _whole(record: dict[str, Any], data: bytes, picture: Picture, config: CropConfig) -> Extracted:
    """The middle square of a picture that need not show a face, with measurements of its pixels alone."""
    height, width = picture.pixels.shape[:2]
    square = Square((width / 2, height / 2), (float(min(width, height)), 0.0))
    light = measure_light(cut(picture.pixels, square, _VIEW))
    measurements = {name: round(value, 4) for name, value in light.items()}
    measurements["crop_side"] = round(square.side * picture.scale, 2)
    measurements |= _sizes(picture, square)
    code = perceptual_hash(cut(picture.pixels, square, _HASHED))
    shows_something = measurements["contrast"] >= _FLAT  # all flat pictures hash alike
    record["faces"] = [
        {"measurements": dict(sorted(measurements.items())), "hash": code if shows_something else None}
    ]
    return Extracted(record, _cut(data, picture, [{"": square}], config.sizes), _thumb(picture, []))


def _find(data: bytes, picture: Picture, finder: Finder, *, thorough: bool) -> tuple[Picture, list[Face]]:
    """The faces and the picture they are in, which is decoded larger where it shows none or tiny ones."""
    faces = find_faces(finder, picture.pixels, thorough=thorough)
    height, width = picture.pixels.shape[:2]
    if picture.scale < 1.01 or finder.name not in SEES_SMALL:
        return picture, faces
    if faces and not (thorough and faces[-1].size < _SMALL_FACE):
        return picture, faces
    if not faces and max(height, width) >= ENOUGH:
        return picture, faces
    side = ENOUGH * min(height, width) / max(height, width) if not faces else 2 * min(height, width)
    larger = decode(data, near=math.ceil(side))
    in_larger = find_faces(finder, larger.pixels, thorough=thorough)
    return (larger, in_larger) if len(in_larger) >= max(len(faces), 1) else (picture, faces)


def dropped(drop: Drop) -> dict[str, Any]:
    """The part of a record that says why."""
    return {"verdict": "dropped", "reason": drop.reason, "detail": drop.detail}


def _describe(
    picture: Picture, face: Face, squares: Mapping[str, Square], count: int, mesh: MeshNetwork | None
) -> dict[str, Any]:
    """Box, landmarks, measurements (in the pixels of the file) and hash, the same for every layout."""
    scale, level = picture.scale, ffhq_square(face)
    measured = measure(picture, face, level, num_faces=count)
    measurements = {name: value for name, value in measured.items() if math.isfinite(value)}
    smallest = min(square.side for square in squares.values())
    measurements["crop_side"] = round(smallest * scale, 2)
    measurements |= _sizes(picture, face_square(face))
    places = {name: [round(x * scale, 2), round(y * scale, 2)] for name, (x, y) in face.landmarks.items()}
    box = [round(value * scale, 2) for value in face.box]
    code = perceptual_hash(cut(picture.pixels, level, _HASHED), mesh=mesh)
    return {"box": box, "landmarks": places, "measurements": dict(sorted(measurements.items())), "hash": code}


def _sizes(picture: Picture, square: Square) -> dict[str, float]:
    """How much detail there is for the size."""
    size, is_whole = real_size(picture.pixels, square)
    return {
        "real_size": round(size * (picture.scale if is_whole else 1.0), 2),
        "own_sharpness": round(own_sharpness(picture.pixels, square), 4),
    }


def _cut(
    data: bytes, picture: Picture, squares: Sequence[Mapping[str, Square]], sizes: Sequence[int]
) -> Crops:
    """PNG of every square in every size, from a picture decoded larger where it lacks pixels."""
    smallest = min(square.side for own in squares for square in own.values())
    grown, needed = 1.0, 2 * max(sizes)
    if picture.scale > 1.01 and smallest < needed:
        near = math.ceil(min(picture.pixels.shape[:2]) * needed / smallest)
        larger = decode(data, near=near)
        grown, picture = picture.scale / larger.scale, larger
    return {
        (number, size, role): encode_png(crop(picture.pixels, scaled(square, grown), size))
        for number, own in enumerate(squares)
        for role, square in own.items()
        for size in sizes
    }


def _thumb(picture: Picture, faces: Sequence[Face]) -> bytes:
    """A small JPEG of the picture with the faces' boxes, for sheet and report."""
    height, width = picture.pixels.shape[:2]
    scale = THUMB / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture.pixels, shape, interpolation=cv2.INTER_AREA)
    for face in faces:
        x, y, w, h = (round(value * scale) for value in face.box)
        cv2.rectangle(small, (x, y), (x + w, y + h), (255, 210, 0), 1)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
