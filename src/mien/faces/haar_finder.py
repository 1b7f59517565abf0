"""The Haar finder: OpenCV's own cascades, nothing to download; slower and blinder than the mesh finder."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mien.core.errors import MienError
from mien.faces.face import Bytes, Face, Point

_LONGER_SIDE = 400  # pictures are searched at this size: cascades take time in proportion to the area
_SMALLEST = 0.08  # of the shorter side
_NEIGHBOURS = 4
# Places in the cascade's box, and the face's size, as shares of its side: medians of what the mesh finder
# measures on 730 portraits of four sets.
_EYES_AT = (0.31, 0.69, 0.398)
_NOSE_AT, _MOUTH_AT, _MOUTH_HALF = 0.638, 0.782, 0.17
_SIZE = 0.92


class HaarFinder:
    """Finds upright frontal faces. Not thread-safe: one object per thread or process."""

    name = "haar"

    def __init__(self) -> None:
        self._faces = _cascade("haarcascade_frontalface_alt2.xml")
        self._eyes = _cascade("haarcascade_eye_tree_eyeglasses.xml")

    def find(self, image: Bytes, *, most: int = 8) -> list[Face]:
        """Up to `most` upright faces in an RGB picture uint8 [H, W, 3], largest first.

        Eyes come from an eye cascade where it finds two that could belong together, else from where they
        usually lie in the box; the mouth is always placed by the eyes.
        """
        scale = max(1.0, max(image.shape[:2]) / _LONGER_SIDE)
        width, height = max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale > 1 else image
        gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        least = max(20, round(_SMALLEST * min(gray.shape)))
        boxes, neighbours = self._faces.detectMultiScale2(
            gray, scaleFactor=1.1, minNeighbors=_NEIGHBOURS, minSize=(least, least)
        )
        detections = sorted(zip(boxes, neighbours, strict=True), key=lambda one: -int(one[0][2]))
        return [self._face(gray, box, int(count), scale) for box, count in detections[:most]]

    def _face(self, gray: Bytes, box: Sequence[int], count: int, scale: float) -> Face:
        x, y, side, _ = (int(value) for value in box)
        left, right = self._eye_pair(gray[y : y + side, x : x + side]) or _usual_eyes(side)
        usual = side * (_EYES_AT[1] - _EYES_AT[0])
        along = np.subtract(right, left) / usual
        down = np.array([-along[1], along[0]])
        middle = np.add(left, right) / 2

        def place(across: float, below: float) -> Point:
            spot = (middle + side * (across * along + below * down) + (x, y)) * scale
            return float(spot[0]), float(spot[1])

        half = (_EYES_AT[1] - _EYES_AT[0]) / 2
        mouth = _MOUTH_AT - _EYES_AT[2]
        return Face(
            box=(x * scale, y * scale, side * scale, side * scale),
            size=_SIZE * side * scale,
            score=1 - 1 / (1 + count / _NEIGHBOURS),
            eye_left=place(-half, 0),
            eye_right=place(half, 0),
            nose=place(0, _NOSE_AT - _EYES_AT[2]),
            mouth_left=place(-_MOUTH_HALF, mouth),
            mouth_right=place(_MOUTH_HALF, mouth),
        )

    def _eye_pair(self, face: Bytes) -> tuple[Point, Point] | None:
        """Centres of two plausible eyes in the upper part of a square face, the left one first."""
        side = face.shape[0]
        least = max(8, side // 8)
        upper = np.ascontiguousarray(face[: round(0.6 * side)])
        eyes = self._eyes.detectMultiScale(upper, scaleFactor=1.1, minNeighbors=3, minSize=(least, least))
        centres = sorted((float(x + w / 2), float(y + h / 2)) for x, y, w, h in eyes)
        pairs = [(one, two) for one in centres for two in centres if _plausible(one, two, side)]
        usual = _usual_eyes(side)
        return min(
            pairs, key=lambda pair: math.dist(pair[0], usual[0]) + math.dist(pair[1], usual[1]), default=None
        )


def _plausible(left: Point, right: Point, side: float) -> bool:
    apart = (right[0] - left[0]) / side
    return 0.25 < apart < 0.55 and abs(right[1] - left[1]) < 0.35 * (right[0] - left[0])


def _usual_eyes(side: float) -> tuple[Point, Point]:
    left, right, down = _EYES_AT
    return (left * side, down * side), (right * side, down * side)


def _cascade(file: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / file))
    if cascade.empty():
        raise MienError(f"OpenCV came without its cascade {file}; use the mesh finder or reinstall opencv")
    return cascade
