"""Are eyes and mouth open?"""

import cv2
import numpy as np

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Floats

_EYES = ((33, 133), (362, 263))  # mesh points of the corners, left to right
_EYE_VIEW, _EYE_FRAME = 32, 1.1  # pixels of a square about an eye; its side in distances of the corners
_IRIS_SCALE = 2.0  # pixels: blobs of about this radius are looked for
_HALF_OPEN = 0.04
# Inner edge of the lips: corners, then points of the upper lip over those of the lower.
_LIP_CORNERS, _UPPER_LIP, _LOWER_LIP = (78, 308), (82, 13, 312), (87, 14, 317)


def measure_parts(image: Pixels, points: Floats) -> dict[str, float]:
    """eyes_open and mouth_open, each 0 to 1; see the functions of these names."""
    return {"eyes_open": eyes_open(image, points), "mouth_open": mouth_open(points)}


def mouth_open(points: Floats) -> float:
    """How far the lips are parted, over the mouth's inner width: 0.1 parted, 0.3 open, 1 a round O."""
    upper, lower = points[list(_UPPER_LIP), :2], points[list(_LOWER_LIP), :2]
    left, right = points[list(_LIP_CORNERS), :2]
    gap = float(np.linalg.norm(upper - lower, axis=1).mean())
    return min(gap / max(float(np.linalg.norm(right - left)), 1e-6), 1.0)


def eyes_open(image: Pixels, points: Floats) -> float:
    """0 (shut) to 1 (wide open), mean of both eyes: is there a dark blob between the lids, or only a line?

    The mesh follows lids badly. But an iris, even a shaded or light one, is dark against all its sides,
    lashes of a shut eye only against two: the smaller eigenvalue of the Hessian tells (Lindeberg 1998,
    "Feature detection with automatic scale selection"). Open eyes have 0.6 to 0.8, shut ones under 0.35.
    """
    roundness = float(np.mean([_iris_strength(image, points[[left, right], :2]) for left, right in _EYES]))
    return roundness / (roundness + _HALF_OPEN)


def _iris_strength(image: Pixels, corners: Floats) -> float:
    """Curvature of luma along the flatter direction, at its greatest between the lids, over skin's luma."""
    middle, across = corners.mean(axis=0), (corners[1] - corners[0]) * _EYE_FRAME
    square = Square((float(middle[0]), float(middle[1])), (float(across[0]), float(across[1])))
    gray = cv2.cvtColor(cut(image, square, _EYE_VIEW), cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(gray, (0, 0), _IRIS_SCALE)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, *order) / 4 for order in ((2, 0), (0, 2), (1, 1)))
    least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    skin = float(np.median(gray[_AROUND])) + 8  # so that noise in the dark counts for little
    return max(float(least[_OPENING].max()), 0.0) * _IRIS_SCALE**2 / skin


def _ellipse(width: float, height: float) -> np.ndarray:
    """bool [S, S]: inside the ellipse with these half axes, in halves of the view."""
    at = np.linspace(-1, 1, _EYE_VIEW)
    return np.asarray((at / width) ** 2 + (at[:, np.newaxis] / height) ** 2 < 1)


_OPENING = _ellipse(0.7, 0.3)
_AROUND = _ellipse(1.0, 0.95) & ~_ellipse(0.9, 0.6)
