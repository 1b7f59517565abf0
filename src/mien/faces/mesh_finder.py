"""The mesh finder: detector first, then 468 points on a level crop of each face."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces import detector, mesh
from mien.faces.averted import averted_faces, guessed_faces
from mien.faces.crop import Square, cut
from mien.faces.face import Activations, Bytes, Face, Floats
from mien.faces.search import Search

_CROP = 1.5  # side of the mesh's crop over the detector's box, as the network was trained
_CROPS = (1.0, 1.15, 0.9)  # of that crop, tried until the network sees a face
_MIN_PRESENCE = 0.5
_LEVEL_DEGREES = 12.0  # a crop whose eyes tilt more than this is cut again by the points just found
_CONTRADICTS = 60.0  # degrees between the eyes of detector and mesh beyond which the head is looked at again


class MeshFinder:
    """Finds near and far, upright and rolled faces. Not thread-safe: one object per thread or process."""

    name = "mesh"

    def __init__(self) -> None:
        self._detector = detector.Detector()
        self._search = Search(self._detector)
        self._mesh = mesh.MeshNetwork()

    def find(self, image: Bytes, *, most: int = 8) -> list[Face]:
        """Up to `most` faces in an RGB picture uint8 [H, W, 3], largest first.

        The whole picture is looked at; unless that shows a face for sure, also turned by quarters, then tile
        by tile (distant faces, down to a hundredth of the longer side). What settles the turn: see `search`.
        """
        for heads in self._search.rounds(image):
            order = np.argsort(-heads[:, 3], kind="stable")[:most]
            faces = [self._face(image, heads[index]) for index in order]
            kept = [face for face in faces if face is not None]
            if kept:
                return sorted(kept, key=lambda face: -face.size)
        return []

    def find_averted(self, image: Bytes) -> list[Face]:
        """Faces that the mesh denies, largest first: profiles, drawings. For where `find` finds none."""
        return averted_faces(image, self._detector)

    def guess(self, image: Bytes) -> list[Face]:
        """What may be a face where `find` and `find_averted` find none; it scores under .5, no find does."""
        return guessed_faces(image, self._detector)

    def _face(self, image: Bytes, head: NDArray[np.float32]) -> Face | None:
        """The mesh on one head; where it sees it another way up than the detector, after a closer look."""
        tries = (self._measure(image, _grown(head, factor)) for factor in _CROPS)
        face = next((face for face in tries if face is not None), None)
        if face is None or abs(_between(head[5:9], (*face.eye_left, *face.eye_right))) <= _CONTRADICTS:
            return face
        return next((self._measure(image, again) for again in self._search.close_up(image, head)), None)

    def _measure(self, image: Bytes, candidate: NDArray[np.float32]) -> Face | None:
        """The mesh on one detection, or None if the network sees no face there."""
        score, x, y, width, height, *eyes = (float(value) for value in candidate)
        side, right = _CROP * max(width, height), (eyes[2] - eyes[0], eyes[3] - eyes[1])
        mesh = self._place(image, _level_square((x, y), side, right))
        if mesh.presence >= _MIN_PRESENCE and abs(_tilt(mesh.points, mesh.square)) > _LEVEL_DEGREES:
            mesh = self._place(image, _level_square(_middle(mesh.points), side, _between_eyes(mesh.points)))
        if mesh.presence < _MIN_PRESENCE or abs(_tilt(mesh.points, mesh.square)) > 2 * _LEVEL_DEGREES:
            return None
        face = face_at(mesh.points, mesh.square, min(score, mesh.presence))
        return replace(face, activations=mesh.activations)

    def _place(self, image: Bytes, square: Square) -> "_MeshView":
        """The mesh in one level crop, its points in the picture."""
        points, presence, activations = self._mesh.look(cut(image, square, mesh.INPUT_SIZE))
        placed = np.empty_like(points)
        shares = points[:, :2].astype(np.float64) / mesh.INPUT_SIZE
        placed[:, :2] = square.to_picture(shares)
        placed[:, 2] = points[:, 2] * (square.side / mesh.INPUT_SIZE)
        return _MeshView(square, placed, presence, activations)


class _MeshView(NamedTuple):
    """What the mesh saw in one crop."""

    square: Square
    points: Floats
    presence: float
    activations: Activations


def _grown(head: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The head [9] with a larger or smaller box about the same middle."""
    grown = head.copy()
    grown[3:5] *= factor
    return grown


def _between(one: Sequence[float] | Floats, other: Sequence[float]) -> float:
    """Degrees, -180 to 180, between two lines from eye to eye, each x, y, x, y."""
    turns = [math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0]) for eyes in (one, other)]
    return (math.degrees(turns[1] - turns[0]) + 180) % 360 - 180


def _level_square(centre: tuple[float, float], side: float, right: tuple[float, float]) -> Square:
    length = max(math.hypot(*right), 1e-6)
    return Square(centre, (right[0] / length * side, right[1] / length * side))


def _mean(points: Floats, indexes: tuple[int, ...]) -> tuple[float, float]:
    x, y = points[list(indexes), :2].mean(axis=0)
    return float(x), float(y)


def _between_eyes(points: Floats) -> tuple[float, float]:
    left, right = _mean(points, mesh.EYE_LEFT), _mean(points, mesh.EYE_RIGHT)
    return right[0] - left[0], right[1] - left[1]


def _middle(points: Floats) -> tuple[float, float]:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2


def _tilt(points: Floats, square: Square) -> float:
    """Degrees by which the eyes are off level inside the crop."""
    (x0, y0), (x1, y1) = _between_eyes(points), square.across
    return math.degrees(math.atan2(x1 * y0 - y1 * x0, x0 * x1 + y0 * y1))


def face_at(points: Floats, square: Square, score: float) -> Face:
    """The face of 468 points in pixels of a picture, found in its level `square`."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    inside = square.to_square(points[:, :2].astype(np.float64)) * square.side
    sides = inside.max(axis=0) - inside.min(axis=0)
    return Face(
        box=(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        size=math.sqrt(float(sides[0] * sides[1])),
        score=score,
        eye_left=_mean(points, mesh.EYE_LEFT),
        eye_right=_mean(points, mesh.EYE_RIGHT),
        nose=_mean(points, (mesh.NOSE_TIP,)),
        mouth_left=_mean(points, (mesh.MOUTH_LEFT,)),
        mouth_right=_mean(points, (mesh.MOUTH_RIGHT,)),
        points=points,
    )
