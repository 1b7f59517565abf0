"""Colours of skin and hair in a face picture, taken where the mesh says that they are."""

import cv2
import numpy as np

from mien.core.picture import Pixels
from mien.faces.crop import Square, cut
from mien.faces.face import Face, Floats

COLOURS = ("skin_lightness", "skin_redness", "hair_lightness", "hair_redness", "lips_redness")

_SIZE, _FRAME = 96, 2.0  # pixels of a level square about the face; its side in sizes of the face
_CHEEKS_FOREHEAD = (50, 280, 101, 330, 205, 425, 151, 108, 337, 69, 299)
_LIPS = (0, 37, 267, 17, 84, 314)
_TOP, _CHIN = 10, 152
_TEMPLES = (127, 356)
_HAIR_FROM, _HAIR_TO = 0.14, 0.34  # heights of the face above its top between which the hair lies
_HAIR_WIDTH = 0.3  # widths of the face to either side of the middle


def face_colours(image: Pixels, face: Face) -> dict[str, float]:
    """The measures COLOURS of a face with mesh points in an RGB picture uint8 [H, W, 3].

    Lightness is L* of CIE Lab (0 black to 100 white), redness its a* (green below 0, red above). Skin:
    the median of cheeks and forehead. Hair: the median of a patch over the forehead, whatever is there (a
    bald head's skin, a hat).
    """
    assert face.points is not None
    square = _about(face)
    view = cv2.GaussianBlur(cut(image, square, _SIZE), (0, 0), 1.0)
    lab = cv2.cvtColor(view.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    places = square.to_square(face.points[:, :2].astype(np.float64)) * _SIZE
    skin, lips = (np.median(_at(lab, places[list(p)]), axis=0) for p in (_CHEEKS_FOREHEAD, _LIPS))
    hair = np.median(_at(lab, _hair_places(places)), axis=0)
    values = (skin[0], skin[1], hair[0], hair[1], lips[1] - skin[1])
    return dict(zip(COLOURS, map(float, values), strict=True))


def _about(face: Face) -> Square:
    """A level square whose middle is that of the face's box."""
    x, y, width, height = face.box
    right = np.subtract(face.eye_right, face.eye_left)
    right *= _FRAME * face.size / max(float(np.hypot(*right)), 1e-6)
    return Square((x + width / 2, y + height / 2), (float(right[0]), float(right[1])))


def _hair_places(places: np.ndarray) -> np.ndarray:
    """A grid [N, 2] of places in the view above the forehead."""
    top, chin = places[_TOP], places[_CHIN]
    left, right = places[list(_TEMPLES)]
    up, across = top - chin, right - left
    rises = np.linspace(_HAIR_FROM, _HAIR_TO, 5)
    steps = np.linspace(-_HAIR_WIDTH, _HAIR_WIDTH, 7)
    return np.array([top + rise * up + step * across for rise in rises for step in steps])


def _at(lab: np.ndarray, places: np.ndarray) -> Floats:
    """The colours at `places` [N, 2]; those outside the view count at its edge."""
    x, y = np.clip(places, 0, _SIZE - 1).astype(np.intp).T
    return np.asarray(lab[y, x], np.float32)
