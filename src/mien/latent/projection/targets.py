"""What is projected: images drawn from seeds, and faces of photos, cut out as `mien prepare` does."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.image import to_hwc
from mien.core.picture import BadPicture, Pixels, decode, read_bytes
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import Square, scaled
from mien.faces.face import Finder
from mien.faces.finder import SEES_SMALL, open_face_finder
from mien.faces.search import ENOUGH
from mien.generation.drawing import Drawing, rgb
from mien.latent.codes import Codes
from mien.prepare.all_faces import choose_faces, find_faces

_NEAR = 640  # as in `prepare.extract`: JPEGs are decoded no larger than finding needs
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in every conversion of pictures to gray


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


def faces_of(path: Path, finder: Finder, size: int, face: str = "largest") -> list[PhotoFace]:
    """The face of a photo that `face` names, or all, largest first, cut out as [size, size, 3].

    face: "largest", "all", or a number, 1 the largest.

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
    photo_faces = []
    for number, face in enumerate(chosen, start=1):
        square = ffhq_square(face)
        points = None if face.points is None else square.to_square(face.points[:, :2].astype(np.float64))
        cut = crop(larger.pixels, scaled(square, picture.scale / larger.scale), size)
        photo_faces.append(PhotoFace(path, cut, scaled(square, picture.scale), points, number, len(faces)))
    return photo_faces


def collect_faces(paths: Sequence[Path], size: int, events: Events, face: str = "largest") -> list[PhotoFace]:
    """The faces of many photos. One that cannot be used is named and left out; InputError if none can be.

    face: which of each photo, as for `faces_of`.
    """
    if face not in ("largest", "all") and not re.fullmatch("0*[1-9][0-9]{0,3}", face):
        raise InputError(
            f"--face {face!r}: largest, all, or a number: 2 is the second largest face of a photo"
        )
    finder = open_face_finder(events)
    photo_faces: list[PhotoFace] = []
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
            photo_faces += faces
            if face == "largest" and (others := faces[0].count - 1):
                what = "another face" if others == 1 else f"{others} other faces"
                events.note(f"{path}: the largest face is taken, {what} left out; see --face")
        tick(done, len(paths))
    if not photo_faces:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise InputError(f"{reasons[0]}{more}")
    return photo_faces


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


@dataclass(frozen=True)
class Target:
    """An image to find the latent of.

    name: fit for a folder. image: uint8 [C, S, S]. source: where it comes from, in words. latent: the true
    one, [num_ws, w_dim] or [z_dim], of an image that the generator drew. photo: the photo it was cut out of.
    points: float64 [468, 2], its mesh as shares of the side, where it was looked for.
    """

    name: str
    image: Tensor
    source: str
    latent: Tensor | None = None
    photo: PhotoFace | None = None
    points: NDArray[np.float64] | None = None

    @property
    def pixels(self) -> Pixels:
        """The image as uint8 [S, S, C]."""
        return to_hwc(self.image)


def targets_of_seeds(drawing: Drawing, seeds: Sequence[int]) -> list[Target]:
    """Faces that the generator draws, with their true latents."""
    codes = Codes.of_seeds(drawing, seeds)
    images = drawing.faces(list(seeds))
    return [
        Target(f"seed{seed:04d}", image, f"seed {seed}", latent=latent)
        for seed, image, latent in zip(seeds, images, codes.values, strict=True)
    ]


def targets_of_photos(faces: Sequence[PhotoFace], channels: int) -> list[Target]:
    """Aligned faces, gray for a gray generator."""
    stems = [re.sub(r"[^A-Za-z0-9._-]+", "-", face.path.stem).strip("-.")[:60] or "photo" for face in faces]
    numbers = ("" if face.number == 1 else f"-face{face.number}" for face in faces)
    names = _distinct([stem + number for stem, number in zip(stems, numbers, strict=True)])
    return [
        Target(name, _tensor(face.crop, channels), _told(face), photo=face, points=face.points)
        for name, face in zip(names, faces, strict=True)
    ]


def with_meshes(targets: Sequence[Target], events: Events) -> list[Target]:
    """The targets with their meshes; where none is seen, all of that image counts alike, which is said."""
    finder: Finder | None = None
    meshed = []
    for target in targets:
        if target.points is None and target.photo is None:
            finder = finder or open_face_finder(events)
            faces = finder.find(rgb(target.image))
            if faces and (points := faces[0].points) is not None:
                shares = np.asarray(points[:, :2] / target.image.shape[-1], np.float64)
                target = replace(target, points=shares)
        if target.points is None:
            events.warn(f"{target.source}: no mesh of its face; all of it counts alike")
        meshed.append(target)
    return meshed


def face_masks(targets: Sequence[Target]) -> Tensor:
    """float32 [N, 1, S, S]: 1 in the face, 0 outside; 1 all over where there is no mesh."""
    size = targets[0].image.shape[-1]
    whole = np.ones((size, size), np.float32)
    masks = [whole if target.points is None else face_mask(target.points, size) for target in targets]
    return torch.from_numpy(np.stack(masks))[:, None]


def _tensor(crop: Pixels, channels: int) -> Tensor:
    if channels == 1:
        crop = np.round(crop @ np.array(_LUMA)).astype(np.uint8)[..., None]
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def _told(face: PhotoFace) -> str:
    name = "".join(letter if letter.isprintable() else "?" for letter in face.path.name)
    return name if face.count == 1 else f"{name}, face {face.number} of {face.count}"


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where they or their like were there before (some disks know no case)."""
    counts: dict[str, int] = {}
    result = []
    for name in names:
        fresh = name
        while fresh.casefold() in counts:
            counts[name.casefold()] += 1
            fresh = f"{name}-{counts[name.casefold()]}"
        counts[fresh.casefold()] = 1
        result.append(fresh)
    return result
