"""Are there glasses? Read off edges at places of the mesh."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Floats

_SIZE, _FRAME = 80, 1.25  # pixels of the square that is looked at; its side in sizes of the face

# Places as mesh points.
_BRIDGE, _NOSE = (168, 6, 122, 351), (197, 196, 419, 195)
_UNDER_EYES, _RIMS = (230, 231, 229, 450, 451, 449), (119, 118, 120, 348, 347, 349)
_TEMPLES = (143, 372, 34, 264, 156, 383)
_PLAIN = (50, 280, 101, 330, 205, 425, 151, 108, 337, 69, 299)  # cheeks and forehead

# Weights of a logistic regression on `glasses_signs`, as `benchmarks/measure_fit.py --glasses` prints them,
# fitted on rendered heads.
_GLASSES = (1.01, 0.16, 2.083, -1.591, -0.818, -0.558)
_GLASSES_BIAS = -0.372


@dataclass(frozen=True)
class Look:
    """A level square of a face, uint8 [80, 80, 3], and where the mesh's points lie in it, int [468, 2]."""

    pixels: Pixels
    places: NDArray[np.intp]

    def at(self, values: NDArray[np.generic], points: tuple[int, ...]) -> Floats:
        """`values` [80, 80, ...] at some mesh points: [N, ...]."""
        x, y = self.places[list(points)].T
        return np.asarray(values[y, x], np.float32)


def look_at(image: Pixels, face: Face) -> Look:
    """Cut out what the guesses look at. The face must have `points`."""
    assert face.points is not None
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= _FRAME * face.size / max(float(np.hypot(*right)), 1e-6)
    square = Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))
    inside = square.to_square(face.points[:, :2].astype(np.float64)) * _SIZE
    return Look(cut(image, square, _SIZE), np.clip(inside, 0, _SIZE - 1).astype(np.intp))


def glasses(image: Pixels, face: Face) -> float:
    """Chance, 0 to 1, that there are glasses."""
    look = look_at(image, face)
    gray = cv2.cvtColor(look.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    logit = float(np.dot(_GLASSES, glasses_signs(look, gray))) + _GLASSES_BIAS
    return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


def glasses_signs(look: Look, gray: Floats) -> list[float]:
    """Edges across the bridge of the nose, below it, along the rims, under the eyes and at the temples.

    Logarithms of energy, against plain skin; all are changes downwards but the last two, sidewards.
    """
    smooth = cv2.GaussianBlur(gray, (0, 0), 0.7)
    along, down = (
        cv2.GaussianBlur(cv2.Sobel(smooth, cv2.CV_32F, *order) ** 2, (0, 0), 1.5)
        for order in ((1, 0), (0, 1))
    )
    plain = (_log_mean(look.at(along, _PLAIN), 30.0) + _log_mean(look.at(down, _PLAIN), 30.0)) / 2
    places = ((down, _BRIDGE), (down, _NOSE), (down, _RIMS), (down, _UNDER_EYES), (along, _UNDER_EYES),
              (along, _TEMPLES))  # fmt: skip
    return [_log_mean(look.at(energy, points), 30.0) - plain for energy, points in places]


def _log_mean(values: Floats, floor: float) -> float:
    return float(np.log(values.mean() + floor))
