"""Faces of photos, found and cut out as `mien prepare` does for training data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.picture import BadPicture, Pixels, decode, read_bytes
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import Square, scaled
from mien.faces.face import Face, Finder
from mien.faces.finder import SEES_SMALL, open_face_finder
from mien.faces.search import ENOUGH
from mien.prepare.all_faces import choose_faces, find_faces

_NEAR = 640  # as in `prepare.extract`: JPEGs are decoded no larger than finding needs


@dataclass(frozen=True)
class PhotoFace:
    """One face of a photo, with what is needed to put something in its place.

    crop: uint8 [size, size, 3], aligned by the layout "ffhq". square: where it was cut out, in pixels of the
    file. points: float64 [468, 2] of the mesh, as shares of the square's side; None without the mesh finder.
    number: 1 for the largest face of its photo. count: faces in the photo.
    """

    path: Path
    crop: Pixels
    square: Square
    points: NDArray[np.float64] | None
    number: int
    count: int


def check_face(text: str) -> str:
    """Which faces of a photo to take: "largest", "all", or a number, 1 the largest. Raises InputError."""
    if text in ("largest", "all") or (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
        return text
    raise InputError(f"--face {text!r}: largest, all, or a number: 2 is the second largest face of a photo")


def faces_of(path: Path, finder: Finder, size: int, face: str = "largest") -> list[PhotoFace]:
    """The face of a photo that `check_face` names, or all, largest first, cut out as [size, size, 3].

    Raises BadPicture for what is no picture, InputError where it shows no face, or not so many.
    """
    faces = faces_in(read_bytes(path), path, finder, size, every=face != "largest")
    if not face.isdigit():
        return faces
    if int(face) > len(faces):
        raise InputError(f"{path}: --face {face}, and the number of faces found in it is {len(faces)}")
    return [faces[int(face) - 1]]


def faces_in(data: bytes, path: Path, finder: Finder, size: int, *, every: bool = False) -> list[PhotoFace]:
    """The largest face of a photo whose bytes are here, or all of them. path: how it is named."""
    picture = decode(data, near=_NEAR, where=str(path))
    faces = find_faces(finder, picture.pixels, thorough=every)
    height, width = picture.pixels.shape[:2]
    if not faces and picture.scale > 1.01 and max(height, width) < ENOUGH and finder.name in SEES_SMALL:
        picture = decode(data, near=math.ceil(ENOUGH * min(height, width) / max(height, width)))
        faces = find_faces(finder, picture.pixels, thorough=every)
    if not faces:
        raise InputError(f"{path}: no face found in it")
    chosen = choose_faces(faces, "all" if every else "largest", width, height)
    smallest = min(ffhq_square(face).side for face in chosen)
    larger = picture
    if picture.scale > 1.01 and smallest < 2 * size:
        larger = decode(data, near=math.ceil(min(picture.pixels.shape[:2]) * 2 * size / smallest))
    return [
        _cut(path, face, number, len(faces), larger.pixels, size, picture.scale, larger.scale)
        for number, face in enumerate(chosen, start=1)
    ]


def _cut(
    path: Path, face: Face, number: int, count: int, pixels: Pixels, size: int, scale: float, cut_scale: float
) -> PhotoFace:
    square = ffhq_square(face)
    points = None if face.points is None else square.to_square(face.points[:, :2].astype(np.float64))
    cut = crop(pixels, scaled(square, scale / cut_scale), size)
    return PhotoFace(path, cut, scaled(square, scale), points, number, count)


def collect_faces(paths: Sequence[Path], size: int, events: Events, face: str = "largest") -> list[PhotoFace]:
    """The faces of many photos. One that cannot be used is named and left out; InputError if none can be.

    face: which of each photo, as `check_face` takes it.
    """
    check_face(face)
    finder = open_face_finder(events)
    found: list[PhotoFace] = []
    reasons: list[str] = []
    tick = events.progress("finding faces", unit="photos")
    for done, path in enumerate(paths, start=1):
        try:
            faces = faces_of(path, finder, size, face)
        except (BadPicture, InputError) as error:
            reasons.append(str(error))
            if len(paths) > 1:
                events.warn(str(error))
        else:
            found += faces
            if face == "largest" and (others := faces[0].count - 1):
                what = "another face" if others == 1 else f"{others} other faces"
                events.note(f"{path}: the largest face is taken, {what} left out; see --face")
        tick(done, len(paths))
    if not found:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise InputError(f"{reasons[0]}{more}")
    return found


def face_mask(points: NDArray[np.float64], size: int, *, grown: float = 0.0) -> NDArray[np.float32]:
    """float32 [size, size]: 1 inside the outline of mesh points (shares of the side), 0 outside.

    grown: the outline moved outwards from its middle by this share of the way.
    """
    outline = cv2.convexHull((points * size).astype(np.float32))[:, 0]
    middle = outline.mean(axis=0)
    outline = middle + (outline - middle) * (1 + grown)
    mask = np.zeros((size, size), np.uint8)
    shift = 4  # bits behind the point, so that a small mask is not cut to whole pixels
    corners = np.round((outline - 0.5) * (1 << shift)).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 255, lineType=cv2.LINE_AA, shift=shift)
    return np.asarray(mask / 255, np.float32)


def mesh_points(image: Pixels, finder: Finder) -> NDArray[np.float64] | None:
    """The mesh of the face in an aligned image uint8 [S, S, 3], as shares of its side; None: none is seen."""
    faces = finder.find(image)
    if not faces or faces[0].points is None:
        return None
    return np.asarray(faces[0].points[:, :2] / image.shape[0], np.float64)


def as_rgb(image: Pixels) -> Pixels:
    """uint8 [H, W, 1 or 3] with three channels."""
    return image if image.shape[2] == 3 else image.repeat(3, axis=2)
