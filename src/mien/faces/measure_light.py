"""What light makes of a face: exposure, contrast, shadows, highlights, tint, colour, and how sharp it is.

Chroma that luma explains is a tint, what is left is colour.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Floats

_LARGEST, _SMALLEST = 96, 40  # pixels across the face that sharpness is measured at, at most and at least
_CALM = 1.0  # pixels by which noise is smoothed before the darkest and the brightest are looked for
_SCALES = (1.0, 1.8, 2.7)  # detail is what a blur by the first takes away; structure lies between the others
_FLAT = 9  # pixels along the side of the window in which noise is looked for
_NOISE_AT = 0.2  # this share of the windows is taken for flat
_NOISE_BIAS = 1.25  # the flattest windows hold less noise than the mean one
_STRUCTURED = 0.7  # share of the face without much structure, which says nothing of sharpness
_FULL = 2.0  # detail over structure that no lens exceeds; sharpness 1
_SIDE = 32  # pixels that the face is looked at: JPEG keeps chroma no finer, and noise in it is no colour
_SMOOTH = 0.6  # of them
_LEAST_SPREAD = 5.0  # of luma, in levels: a flat face has no cubic
_RIDGE = 1e-9
_FULL_CHROMA = 112.0  # levels that a chroma of YCbCr reaches (BT.601)


def face_view(image: Pixels, face: Face) -> Pixels:
    """The face without its surroundings, level: uint8 [S, S, 3], forehead to chin, S 40 to 96 by its size."""
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= face.size / max(float(np.hypot(*right)), 1e-6)
    square = Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))
    return cut(image, square, int(np.clip(round(face.size), _SMALLEST, _LARGEST)))


def measure_light(view: Pixels) -> dict[str, float]:
    """Measurements of a `face_view`, each 0 to 1.

    exposure: mean luma of the face. contrast: luma that 90 % of its pixels span. shadows and highlights: luma
    of its darkest and brightest twentieth, noise smoothed away: features show in a pale face as long as the
    shadows do, in a dark one as long as the highlights do. tint, colour: see `measure_colour`. sharpness: see
    `sharpness`.
    """
    inside = _oval(view.shape[0])
    luma = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    low, high = _twentieths(luma[inside])
    shadows, highlights = _twentieths(cv2.GaussianBlur(luma, (0, 0), _CALM)[inside])
    return {
        "exposure": float(luma[inside].mean() / 255),
        "contrast": (high - low) / 255,
        "shadows": shadows / 255,
        "highlights": highlights / 255,
        "sharpness": sharpness(view),
        **measure_colour(view, _oval(_SIDE)),
    }


def _twentieths(luma: Pixels) -> tuple[float, float]:
    """The luma below which, and the one above which, a twentieth of the pixels lies."""
    reached = np.cumsum(np.bincount(luma, minlength=256))
    low, high = np.searchsorted(reached, np.array((0.05, 0.95)) * len(luma))
    return float(low), float(high)


def sharpness(view: Pixels) -> float:
    """0 (nothing finer than the features themselves) to 1: how much detail the features' edges show.

    The ratio of the energy finer than about a pixel to that of some three pixels, where there is structure,
    with the energy of the flattest skin subtracted from the former as noise. A ratio does not depend on
    contrast, and the view's size makes it independent of the file's. With 96 pixels across the face a
    portrait in focus has 0.4 to 0.7. A blur with a sigma of 1 % of the face's width brings it to 0.33, of
    1.5 % to 0.27 (soft to the eye even in a thumbnail), of 2 % to 0.22, of 3 % to 0.18.
    """
    gray = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = _oval(view.shape[0])
    fine, middle, coarse = (cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in _SCALES)
    detail = (gray - fine) ** 2
    noise = _NOISE_BIAS * float(np.quantile(cv2.blur(detail, (_FLAT, _FLAT))[inside], _NOISE_AT))
    structure = _spread((middle - coarse) ** 2)[inside]
    where = structure > np.quantile(structure, _STRUCTURED)
    if not where.any():
        return 0.0
    energy = float(_spread(detail)[inside][where].mean()) - noise
    return min(float(np.sqrt(max(energy, 0.0) / float(structure[where].mean()))) / _FULL, 1.0)


def _spread(energy: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(energy, (0, 0), 2.0), np.float32)


@cache
def _oval(size: int) -> NDArray[np.bool_]:
    middles = (np.arange(size) + 0.5) * (2 / size) - 1
    return np.asarray(middles[:, np.newaxis] ** 2 + middles**2 < 1)


def measure_colour(view: Pixels, inside: np.ndarray) -> dict[str, float]:
    """tint and colour of a face, 0 to 1. view: uint8 [S, S, 3]; inside: bool [_SIDE, _SIDE], what counts.

    A print of one ink, however toned, has one chroma for each luma: Cb and Cr follow as cubics of it. tint:
    mean chroma of these cubics; gray pictures have 0, sepia 0.05 to 0.4, skin 0.1 to 0.35. colour: root mean
    square of the chroma they leave; tinted monochrome has under 0.02, portraits in colour 0.02 to 0.1.
    """
    small = cv2.GaussianBlur(cv2.resize(view, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), (0, 0), _SMOOTH)
    coded = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[inside].astype(np.float64)
    chroma = (coded[:, 1:] - 128) / _FULL_CHROMA
    fitted = _cubics(coded[:, 0], chroma)
    rest = chroma - fitted
    return {
        "tint": min(float(np.hypot(fitted[:, 0], fitted[:, 1]).mean()), 1.0),
        "colour": min(float(np.sqrt((rest**2).sum(axis=1).mean())), 1.0),
    }


def _cubics(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Least-squares cubics of luma [N], one for each column of chroma [N, 2], at each luma."""
    centred = (luma - luma.mean()) / max(float(luma.std()), _LEAST_SPREAD)
    square = centred * centred
    powers = np.stack([np.ones_like(centred), centred, square, square * centred], axis=1)
    ridge = _RIDGE * len(luma) * np.eye(4)  # a flat face leaves powers that are all 0
    return np.asarray(powers @ np.linalg.solve(powers.T @ powers + ridge, powers.T @ chroma))
