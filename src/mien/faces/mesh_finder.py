"""The mesh finder: detector first, then 468 points on a level crop of each face."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces import detector, mesh
from mien.faces.crop import Square, cut
from mien.faces.face import Bytes, Face, Floats

_CROP = 1.5  # side of the mesh's crop over the detector's box, as the network was trained
_MIN_PRESENCE = 0.5
_LEVEL_DEGREES = 12.0  # a crop whose eyes tilt more than this is cut again by the points just found
_TILES = ((0.6, 2), (0.4, 4))  # share of the longer side, tiles along each side
# The detector fires on heads that lie or hang, too, but takes the chin for the forehead. Upright faces score
# 0.80 to 0.99 (one in twenty under 0.88), heads upside down 0.53 to 0.80: below this, all four turns compete.
_SURE = 0.88


@dataclass(frozen=True)
class _View:
    """A square window of the picture given to the detector: corner, side, quarter turns against the clock."""

    x: float
    y: float
    side: float
    turns: int = 0


class MeshFinder:
    """Finds near and far, upright and rolled faces. Not thread-safe: one object per thread or process."""

    name = "mesh"

    def __init__(self) -> None:
        self._detector = detector.Detector()
        self._mesh = mesh.MeshNetwork()

    def find(self, image: Bytes, *, most: int = 8) -> list[Face]:
        """Up to `most` faces in an RGB picture uint8 [H, W, 3], largest first.

        The whole picture is looked at; unless that shows a face for sure, also turned by quarters (rolled
        faces), and if nothing is found, tile by tile (distant faces, down to a twentieth of the longer side).
        """
        for candidates in self._candidates(image):
            order = np.argsort(-candidates[:, 3], kind="stable")[:most]
            faces = [self._measure(image, candidates[index]) for index in order]
            kept = [face for face in faces if face is not None]
            if kept:
                return sorted(kept, key=lambda face: -face.size)
        return []

    def _candidates(self, image: Bytes) -> Iterator[Floats]:
        """Detections [K, 9] in pixels of the picture, from ever closer looks."""
        height, width = image.shape[:2]
        longer = max(width, height)
        whole = _View((width - longer) / 2, (height - longer) / 2, longer)
        found = [self._look(image, whole)]
        if found[0][:, 0].max(initial=0) >= _SURE:
            yield found[0]
        found += [self._look(image, replace(whole, turns=turns)) for turns in (1, 2, 3)]
        yield detector.distinct(np.concatenate(found))
        for share, count in _TILES:
            side = share * longer
            if side < detector.VIEW:
                return  # a tile of fewer pixels than the view shows nothing new
            views = [
                _View(x, y, side) for y in _starts(height, side, count) for x in _starts(width, side, count)
            ]
            yield detector.distinct(np.concatenate([self._look(image, view) for view in views]))

    def _look(self, image: Bytes, view: _View) -> Floats:
        """Detections in one view, in pixels of the picture."""
        square = np.rot90(_window(image, view), view.turns)
        found = detector.merge(self._detector.detect(square))
        for _ in range(view.turns):
            found = _turn_back(found)
        found[:, 1:] *= view.side
        found[:, [1, 5, 7]] += view.x
        found[:, [2, 6, 8]] += view.y
        return found

    def _measure(self, image: Bytes, candidate: NDArray[np.float32]) -> Face | None:
        """The mesh on one detection, or None if the network sees no face there."""
        score, x, y, width, height, *eyes = (float(value) for value in candidate)
        side, right = _CROP * max(width, height), (eyes[2] - eyes[0], eyes[3] - eyes[1])
        square, points, presence = self._place(image, _level_square((x, y), side, right))
        if presence >= _MIN_PRESENCE and abs(_tilt(points, square)) > _LEVEL_DEGREES:
            again = _level_square(_middle(points), side, _between_eyes(points))
            square, points, presence = self._place(image, again)
        if presence < _MIN_PRESENCE or abs(_tilt(points, square)) > 2 * _LEVEL_DEGREES:
            return None
        return face_at(points, square, min(score, presence))

    def _place(self, image: Bytes, square: Square) -> tuple[Square, Floats, float]:
        """The mesh in one level crop: the crop, its points in the picture, presence."""
        points, presence = self._mesh.points(cut(image, square, mesh.INPUT_SIZE))
        placed = np.empty_like(points)
        shares = points[:, :2].astype(np.float64) / mesh.INPUT_SIZE
        placed[:, :2] = square.to_picture(shares)
        placed[:, 2] = points[:, 2] * (square.side / mesh.INPUT_SIZE)
        return square, placed, presence


def _starts(length: int, side: float, count: int) -> list[float]:
    """Where tiles of `side` begin so that they cover `length` evenly."""
    if length <= side:
        return [(length - side) / 2]
    return [float(start) for start in np.linspace(0, length - side, count)]


def _window(image: Bytes, view: _View) -> Bytes:
    """The view's pixels as uint8 [128, 128, 3]; black beyond the picture's edge."""
    height, width = image.shape[:2]
    x0, y0 = max(0, round(view.x)), max(0, round(view.y))
    x1, y1 = min(width, round(view.x + view.side)), min(height, round(view.y + view.side))
    scale = detector.VIEW / view.side
    left, top = round((x0 - view.x) * scale), round((y0 - view.y) * scale)
    inner = (max(1, min(detector.VIEW - left, round((x1 - x0) * scale))),
             max(1, min(detector.VIEW - top, round((y1 - y0) * scale))))  # fmt: skip
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    window = np.zeros((detector.VIEW, detector.VIEW, 3), np.uint8)
    window[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        image[y0:y1, x0:x1], inner, interpolation=how
    )
    return window


def _turn_back(found: Floats) -> Floats:
    """Undo one quarter turn against the clock of a square view, in shares of the view."""
    back = found.copy()
    for x, y in ((1, 2), (5, 6), (7, 8)):
        back[:, x], back[:, y] = 1 - found[:, y], found[:, x]
    back[:, 3], back[:, 4] = found[:, 4], found[:, 3]
    return back


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
