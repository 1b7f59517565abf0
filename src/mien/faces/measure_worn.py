"""Is the lower face covered, and are there glasses? Guesses from colours and edges at places of the mesh."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Floats

_SIZE, _FRAME = 80, 1.25  # pixels of the square that is looked at; its side in sizes of the face

# Places as mesh points. Beards leave nose and cheeks under the eyes free, masks do not.
_UPPER = (151, 9, 108, 337, 69, 299, 8)  # forehead
_NOSE_CHEEKS = (4, 5, 1, 45, 275, 50, 280, 101, 330, 36, 266, 205, 425)
_OVER_LIP, _CHIN = (164, 167, 393, 165, 391), (199, 200, 175, 208, 428, 169, 394)
_LIPS = (0, 37, 267, 17, 84, 314, 12, 15, 72, 302, 85, 315)
_MOUTH_EDGES = (61, 291, 13, 14, 0, 17, 40, 270, 91, 321)
_NOSTRIL_EDGES = (48, 278, 2, 94, 129, 358, 64, 294)
_EYE_EDGES = (33, 133, 362, 263, 159, 145, 386, 374, 158, 385)
_BRIDGE, _NOSE = (168, 6, 122, 351), (197, 196, 419, 195)
_UNDER_EYES, _RIMS = (230, 231, 229, 450, 451, 449), (119, 118, 120, 348, 347, 349)
_TEMPLES = (143, 372, 34, 264, 156, 383)
_PLAIN = (50, 280, 101, 330, 205, 425, 151, 108, 337, 69, 299)  # cheeks and forehead

_MOST_DOUBT = 0.15  # blur and turned heads, too, make the finder doubt: more than this says no more

# Weights of a logistic regression on `mask_signs` and on `glasses_signs`, as `benchmarks/measure_fit.py`
# prints them: masks painted on every other real portrait, glasses of every other rendered head.
_MASK = (0.165, 0.041, -0.37, -0.1, -0.785, -0.549, 56.476)
_MASK_BIAS = -9.504
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


def measure_worn(image: Pixels, face: Face) -> dict[str, float]:
    """mask and glasses: chances, 0 to 1, that a mask hides mouth and nose, that there are glasses."""
    look = look_at(image, face)
    gray = cv2.cvtColor(look.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mask = np.dot(_MASK, mask_signs(look, gray, face.score)) + _MASK_BIAS
    glasses = np.dot(_GLASSES, glasses_signs(look, gray)) + _GLASSES_BIAS
    return {"mask": _chance(float(mask)), "glasses": _chance(float(glasses))}


def mask_signs(look: Look, gray: Floats, score: float) -> list[float]:
    """What speaks of a mask, in units of CIE Lab and logarithms of energy.

    Nose and cheeks against the forehead in chroma and in lightness; lips against their surroundings in
    redness and in lightness; edges of mouth and of nostrils against those of eyes; the finder's doubt.
    """
    smooth = cv2.GaussianBlur(look.pixels, (0, 0), 1.0)
    colours = [_lab(look.at(smooth, places)) for places in (_UPPER, _NOSE_CHEEKS, _OVER_LIP, _CHIN, _LIPS)]
    upper, cheeks, over, chin, lips = colours
    lower = np.median(np.concatenate([cheeks, over]), axis=0) - np.median(upper, axis=0)
    mouth = np.median(lips, axis=0) - np.median(np.concatenate([over, chin]), axis=0)
    band = cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 3.0)
    energy = cv2.GaussianBlur(band**2, (0, 0), 1.5)
    eyes, mouth_edges, nostrils = (
        _log_mean(look.at(energy, places), 4.0) for places in (_EYE_EDGES, _MOUTH_EDGES, _NOSTRIL_EDGES)
    )
    tint = float(np.hypot(lower[1], lower[2]))
    signs = tint, abs(float(lower[0])), float(mouth[1]), -float(mouth[0])
    return [*signs, mouth_edges - eyes, nostrils - eyes, min(1 - score, _MOST_DOUBT)]


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


def _lab(colours: Floats) -> Floats:
    """RGB 0..255 [N, 3] to CIE Lab."""
    return np.asarray(cv2.cvtColor(colours[np.newaxis] / np.float32(255), cv2.COLOR_RGB2LAB)[0], np.float32)


def _log_mean(values: Floats, floor: float) -> float:
    return float(np.log(values.mean() + floor))


def _chance(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))
